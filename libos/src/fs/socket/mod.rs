//! Sockets between threads of the program: `AF_UNIX`.
//!
//! Each socket keeps what it has received; a send appends to the queue of another socket. Sockets refer to each other without
//! references that count: a socket that is gone is not found any more. A connection has two sockets, of which the server's
//! exists as soon as the client connects, and waits in the listener's queue to be accepted.

pub mod address;
mod connect;
pub mod name;
mod options;
mod queue;
mod transfer;

pub use address::{Address, Arrival};
pub use options::{Takes, Value};
pub use queue::{Message, Queue, Received};
pub use transfer::Sending;

use super::Files;
use super::inode::{Kind, NodeKey, Time, Volume};
use super::poll::Ready;
use crate::errno::Errno;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;
use linux_raw_sys::net;
use name::Name;
use options::Options;
use queue::{CAPACITY, MESSAGES_MAXIMUM};

/// Way in which a socket sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Bytes, to the peer.
    Stream,
    /// Messages, to any socket.
    Datagram,
    /// Messages, to the peer.
    Packet,
}

impl Style {
    /// The style of a `SOCK_*` number, without flags.
    pub fn from_raw(number: u32) -> Result<Self, Errno> {
        match number {
            net::SOCK_STREAM => Ok(Self::Stream),
            net::SOCK_DGRAM | net::SOCK_RAW => Ok(Self::Datagram),
            net::SOCK_SEQPACKET => Ok(Self::Packet),
            // `SOCK_MAX` of Linux.
            11.. => Err(Errno::EINVAL),
            _ => Err(Errno::ESOCKTNOSUPPORT),
        }
    }

    /// `SOCK_*` number of the style.
    pub fn number(self) -> u32 {
        match self {
            Self::Stream => net::SOCK_STREAM,
            Self::Datagram => net::SOCK_DGRAM,
            Self::Packet => net::SOCK_SEQPACKET,
        }
    }
}

/// Reference to a socket that may be gone: its inode, and the inode's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    node: NodeKey,
    number: u64,
}

/// Connections to accept.
#[derive(Debug)]
struct Listener {
    /// Backlog of listen(2); `pending` may hold one more, as on Linux.
    backlog: usize,
    /// Server-side sockets; counted.
    pending: VecDeque<NodeKey>,
}

/// A socket.
#[derive(Debug)]
pub struct Socket {
    style: Style,
    name: Option<Name>,
    /// The other end of a connection; for datagrams, the default destination.
    peer: Option<Reference>,
    peer_name: Option<Name>,
    listener: Option<Listener>,
    received: Queue,
    /// True if no more is received (`read_shut`) or sent (`write_shut`).
    read_shut: bool,
    write_shut: bool,
    /// Error that the next call returns, once.
    error: Option<Errno>,
    options: Options,
    /// Sockets that found no room here for a datagram.
    turned_away: Vec<Reference>,
}

impl Socket {
    fn new(style: Style) -> Self {
        Self {
            style,
            name: None,
            peer: None,
            peer_name: None,
            listener: None,
            received: Queue::default(),
            read_shut: false,
            write_shut: false,
            error: None,
            options: Options::default(),
            turned_away: Vec::new(),
        }
    }

    /// Returns true if the socket takes no more messages.
    fn is_full(&self) -> bool {
        self.received.length() >= CAPACITY || (self.style != Style::Stream && self.received.count() >= MESSAGES_MAXIMUM)
    }

    /// Returns true if so little is queued that poll(2) reports other sockets as able to send here.
    fn is_roomy(&self) -> bool {
        self.received.length() * 4 <= CAPACITY && !self.is_full()
    }

    /// Returns true if the socket has, or has had, a peer.
    fn is_connected(&self) -> bool {
        self.style != Style::Datagram && self.peer.is_some()
    }
}

impl Files {
    /// socket(2), with `SOCK_NONBLOCK` and `SOCK_CLOEXEC` as flags of open(2).
    pub fn open_socket(&mut self, style: Style, flags: u32, now: Time) -> Result<i32, Errno> {
        let node = self.add_socket(Socket::new(style), now)?;
        self.open_node(node, linux::O_RDWR | flags)
    }

    /// socketpair(2).
    pub fn socket_pair(&mut self, style: Style, flags: u32, now: Time) -> Result<(i32, i32), Errno> {
        let first = self.open_socket(style, flags, now)?;
        let second = self.open_socket(style, flags, now).inspect_err(|_| {
            let _ = self.close(first);
        })?;
        let ends = [self.socket_node(first)?, self.socket_node(second)?];
        for (end, other) in [(ends[0], ends[1]), (ends[1], ends[0])] {
            self.socket_mut(end)?.peer = Some(self.reference(other));
        }
        Ok((first, second))
    }

    fn add_socket(&mut self, socket: Socket, now: Time) -> Result<NodeKey, Errno> {
        let node = self.add_node(Kind::Socket(Box::new(socket)), Volume::Nameless, 0o777, now)?;
        self.nodes[node].links = 1;
        Ok(node)
    }

    /// Inode of the socket behind a descriptor; ENOTSOCK for another file.
    pub fn socket_node(&self, descriptor: i32) -> Result<NodeKey, Errno> {
        let node = self.node(descriptor)?;
        self.socket(node).map(|_| node)
    }

    /// Returns true if a descriptor is a stream socket, which has no message boundaries.
    pub fn is_stream(&self, descriptor: i32) -> bool {
        self.node(descriptor).and_then(|node| self.socket(node)).is_ok_and(|socket| socket.style == Style::Stream)
    }

    fn socket(&self, node: NodeKey) -> Result<&Socket, Errno> {
        if let Kind::Socket(socket) = &self.nodes[node].kind { Ok(socket) } else { Err(Errno::ENOTSOCK) }
    }

    fn socket_mut(&mut self, node: NodeKey) -> Result<&mut Socket, Errno> {
        if let Kind::Socket(socket) = &mut self.nodes[node].kind { Ok(socket) } else { Err(Errno::ENOTSOCK) }
    }

    fn reference(&self, node: NodeKey) -> Reference {
        Reference { node, number: self.nodes[node].number }
    }

    /// Inode of a socket that may be gone.
    fn referred(&self, Reference { node, number }: Reference) -> Option<NodeKey> {
        self.nodes.get(node).filter(|inode| inode.number == number).map(|_| node)
    }

    /// The peer of a connection, or the default destination of datagrams, if it still exists.
    fn peer(&self, node: NodeKey) -> Option<NodeKey> {
        self.referred(self.socket(node).ok()?.peer?)
    }

    /// Returns true if two sockets send to each other.
    fn are_peers(&self, node: NodeKey, other: NodeKey) -> bool {
        self.peer(node) == Some(other) && self.peer(other) == Some(node)
    }

    /// Events that a socket is ready for.
    pub(super) fn socket_ready(&self, node: NodeKey) -> Ready {
        let mut ready = Ready::empty();
        let Ok(socket) = self.socket(node) else { return ready };
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
        self.peer(node).and_then(|peer| self.socket(peer).ok()).is_none_or(Socket::is_roomy)
    }

    /// Closes a socket: its peer is notified, and unread data is lost.
    pub(super) fn socket_closed(&mut self, node: NodeKey) {
        self.hang_up(node, false);
    }

    /// Ends a socket; the peer of one that was never accepted gets ECONNRESET.
    fn hang_up(&mut self, node: NodeKey, unaccepted: bool) {
        let peer = self.peer(node);
        let Kind::Socket(socket) = &mut self.nodes[node].kind else { return };
        let style = socket.style;
        let mut closed = core::mem::replace(&mut **socket, Socket::new(style));
        self.forget_name(node, &closed);
        let unread = unaccepted || !closed.received.is_empty();
        if style != Style::Datagram
            && let Some(peer) = peer
            && let Ok(other) = self.socket_mut(peer)
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
        while let Some(message) = closed.received.pop(&mut self.space) {
            for description in message.rights {
                self.release_description(description);
            }
        }
        // Threads that wait for room in its queue, or in its queue of connections, must see that the queue is gone.
        self.notify(node, Ready::empty());
    }

    fn notify_referred(&mut self, reference: Reference) {
        if let Some(node) = self.referred(reference) {
            self.notify(node, Ready::OUT);
        }
    }
}
