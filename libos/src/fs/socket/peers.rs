//! Sockets as peers of each other: how they refer to each other, when they are ready, and how they end.

use super::{Reference, Socket, Style};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::handle::NodeKey;
use crate::fs::inode::{Kind, Mount, Time};
use crate::fs::ready::Ready;
use alloc::boxed::Box;

impl Files {
    /// Makes a socket without a descriptor.
    pub(super) fn add_socket(&mut self, socket: Socket, now: Time) -> Result<NodeKey, Errno> {
        let node = self.add_node(Kind::Unix(Box::new(socket)), Mount::Nameless, 0o777, now)?;
        self.nodes[node].links = 1;
        Ok(node)
    }

    /// The socket with this inode; ENOTSOCK for another file.
    pub(super) fn unix(&self, node: NodeKey) -> Result<&Socket, Errno> {
        if let Kind::Unix(socket) = &self.nodes[node].kind { Ok(socket) } else { Err(Errno::ENOTSOCK) }
    }

    /// Returns the socket like [`Files::unix`], mutably.
    pub(super) fn unix_mut(&mut self, node: NodeKey) -> Result<&mut Socket, Errno> {
        if let Kind::Unix(socket) = &mut self.nodes[node].kind { Ok(socket) } else { Err(Errno::ENOTSOCK) }
    }

    /// Reference to a socket.
    pub(super) fn reference(&self, node: NodeKey) -> Reference {
        Reference { node, number: self.nodes[node].number }
    }

    /// Inode of a socket that may be gone.
    pub(super) fn referred(&self, Reference { node, number }: Reference) -> Option<NodeKey> {
        self.nodes.get(node).filter(|inode| inode.number == number).map(|_| node)
    }

    /// The peer of a connection, or the default destination of datagrams, if it still exists.
    pub(super) fn peer(&self, node: NodeKey) -> Option<NodeKey> {
        self.referred(self.unix(node).ok()?.peer?)
    }

    /// Returns true if two sockets send to each other.
    pub(super) fn are_peers(&self, node: NodeKey, other: NodeKey) -> bool {
        self.peer(node) == Some(other) && self.peer(other) == Some(node)
    }

    /// Events that a socket is ready for.
    pub(in crate::fs) fn socket_ready(&self, node: NodeKey) -> Ready {
        let mut ready = Ready::empty();
        let Ok(socket) = self.unix(node) else { return ready };
        if let Some(listener) = &socket.listener {
            ready.set(Ready::IN, !listener.pending.is_empty());
            return ready;
        }
        let unconnected = socket.style != Style::Datagram && socket.peer.is_none();
        ready.set(Ready::IN, !socket.received.is_empty() || socket.read_shut || socket.error.is_some());
        ready.set(Ready::READ_HANG_UP, socket.read_shut);
        ready.set(Ready::HANG_UP, (socket.read_shut && socket.write_shut) || unconnected);
        ready.set(Ready::ERROR, socket.error.is_some());
        ready.set(Ready::OUT, self.is_writable(node));
        ready
    }

    fn is_writable(&self, node: NodeKey) -> bool {
        self.peer(node).and_then(|peer| self.unix(peer).ok()).is_none_or(Socket::is_roomy)
    }

    /// Ends a socket: its peer is notified, and unread data is lost. The peer of one that was never accepted gets ECONNRESET.
    pub(in crate::fs) fn hang_up(&mut self, node: NodeKey, unaccepted: bool) {
        let peer = self.peer(node);
        let Kind::Unix(socket) = &mut self.nodes[node].kind else { return };
        let style = socket.style;
        let mut closed = core::mem::replace(&mut **socket, Socket::new(style));
        self.forget_name(node, &closed);
        let unread = unaccepted || !closed.received.is_empty();
        if style != Style::Datagram
            && let Some(peer) = peer
            && let Ok(other) = self.unix_mut(peer)
        {
            (other.read_shut, other.write_shut) = (true, true);
            if unread {
                other.error = Some(Errno::ECONNRESET);
            }
            self.notify(peer, Ready::all());
        }
        for reference in closed.turned_away {
            self.notify_referred(reference);
        }
        for pending in closed.listener.into_iter().flat_map(|listener| listener.pending) {
            self.hang_up(pending, true);
            self.release(pending);
        }
        while let Some(message) = closed.received.pop(&mut self.quota) {
            for description in message.rights {
                self.release_description(description);
            }
        }
        // Threads that wait for room in its queue, or in its queue of connections, must see that the queue is gone.
        self.notify(node, Ready::empty());
    }

    /// Notifies a socket that may be gone of room for its messages.
    pub(super) fn notify_referred(&mut self, reference: Reference) {
        if let Some(node) = self.referred(reference) {
            self.notify(node, Ready::OUT);
        }
    }
}
