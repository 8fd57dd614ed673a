//! Connections: listen(2), connect(2), accept(2) and shutdown(2).

use super::name::Name;
use super::{Listener, Socket, Style};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::handle::NodeKey;
use crate::fs::inode::Time;
use crate::fs::ready::Ready;
use crate::fs::watch::wait;
use crate::syscall_result::Stop;
use alloc::collections::VecDeque;
use linux_raw_sys::general as linux;
use linux_raw_sys::net;

/// Longest queue of connections to accept; Linux's default.
const BACKLOG_MAXIMUM: i32 = 4096;

impl Files {
    /// listen(2).
    pub fn listen(&mut self, descriptor: i32, backlog: i32) -> Result<(), Errno> {
        let node = self.socket_node(descriptor)?;
        let own = self.caller.effective;
        let socket = self.unix_mut(node)?;
        if socket.style == Style::Datagram {
            return Err(Errno::EOPNOTSUPP);
        }
        if socket.name.is_none() || socket.peer.is_some() {
            return Err(Errno::EINVAL);
        }
        let backlog = if backlog < 0 { BACKLOG_MAXIMUM } else { backlog.min(BACKLOG_MAXIMUM) } as usize;
        match &mut socket.listener {
            Some(listener) => listener.backlog = backlog,
            none => *none = Some(Listener { backlog, pending: VecDeque::new() }),
        }
        socket.credentials = Some(own);
        self.notify(node, Ready::empty());
        Ok(())
    }

    /// connect(2); disconnects a datagram socket if there is no name.
    pub fn connect(&mut self, descriptor: i32, name: Option<Name>, now: Time) -> Result<(), Stop> {
        let node = self.socket_node(descriptor)?;
        let style = self.unix(node)?.style;
        if style != Style::Datagram {
            return self.connect_stream(descriptor, node, &name.ok_or(Errno::EINVAL)?, now);
        }
        let peer = match &name {
            Some(name) => Some(self.named_socket(name, style)?),
            None => None,
        };
        if let Some(peer) = peer
            && self.peer(peer).is_some_and(|theirs| theirs != node)
        {
            return Err(Errno::EPERM.into());
        }
        let peer = peer.map(|peer| self.reference(peer));
        let socket = self.unix_mut(node)?;
        (socket.peer, socket.peer_name) = (peer, name);
        self.notify(node, Ready::OUT);
        Ok(())
    }

    fn connect_stream(&mut self, descriptor: i32, node: NodeKey, name: &Name, now: Time) -> Result<(), Stop> {
        let client = self.unix(node)?;
        if client.listener.is_some() {
            return Err(Errno::EINVAL.into());
        }
        if client.peer.is_some() {
            return Err(Errno::EISCONN.into());
        }
        let (style, client_name) = (client.style, client.name.clone());
        let listening = self.named_socket(name, style)?;
        let listener = self.unix(listening)?.listener.as_ref().ok_or(Errno::ECONNREFUSED)?;
        if listener.pending.len() > listener.backlog {
            let nonblocking = self.description(descriptor)?.is_nonblocking();
            return Err(if nonblocking { Errno::EAGAIN.into() } else { wait(listening) });
        }
        let (server_name, credentials) = (self.unix(listening)?.name.clone(), self.unix(listening)?.credentials);
        let server = Socket {
            name: server_name.clone(),
            peer: Some(self.reference(node)),
            peer_name: client_name,
            credentials: Some(self.caller.effective),
            ..Socket::new(style)
        };
        let server = self.add_socket(server, now)?;
        let queued = self.unix_mut(listening)?.listener.as_mut().map(|listener| {
            listener.pending.try_reserve(1).map(|()| listener.pending.push_back(server)).map_err(|_| Errno::ENOMEM)
        });
        if let Some(Err(errno)) = queued {
            self.release(server);
            return Err(errno.into());
        }
        let peer = Some(self.reference(server));
        let client = self.unix_mut(node)?;
        (client.peer, client.peer_name, client.credentials) = (peer, server_name, credentials);
        self.notify(node, Ready::OUT);
        self.notify(listening, Ready::IN);
        Ok(())
    }

    /// accept4(2), with the flags of open(2): returns the descriptor, and the name of the peer.
    pub fn accept(&mut self, descriptor: i32, flags: u32) -> Result<(i32, Option<Name>), Stop> {
        let node = self.socket_node(descriptor)?;
        let nonblocking = self.description(descriptor)?.is_nonblocking();
        if self.unix(node)?.style == Style::Datagram {
            return Err(Errno::EOPNOTSUPP.into());
        }
        if self.unix(node)?.listener.is_none() {
            return Err(Errno::EINVAL.into());
        }
        self.check_descriptor_free()?;
        let listener = self.unix_mut(node)?.listener.as_mut();
        let Some(accepted) = listener.and_then(|listener| listener.pending.pop_front()) else {
            return Err(if nonblocking { Errno::EAGAIN.into() } else { wait(node) });
        };
        let name = self.unix(accepted)?.peer_name.clone();
        let descriptor = self.open_node(accepted, linux::O_RDWR | flags)?;
        self.notify(node, Ready::empty());
        Ok((descriptor, name))
    }

    /// shutdown(2).
    pub fn shut_down(&mut self, descriptor: i32, how: u32) -> Result<(), Errno> {
        let node = self.socket_node(descriptor)?;
        let (read, write) = match how {
            net::SHUT_RD => (true, false),
            net::SHUT_WR => (false, true),
            net::SHUT_RDWR => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        let socket = self.unix_mut(node)?;
        socket.read_shut |= read;
        socket.write_shut |= write;
        let connected = socket.is_connected();
        self.notify(node, Ready::all());
        if connected
            && let Some(peer) = self.peer(node)
            && let Ok(other) = self.unix_mut(peer)
        {
            other.read_shut |= write;
            other.write_shut |= read;
            self.notify(peer, Ready::all());
        }
        Ok(())
    }
}
