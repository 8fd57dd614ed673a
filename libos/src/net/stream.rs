//! Data of stream connections.

use super::{Net, SocketKey, State};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::ready::Ready;
use crate::fs::socket::queue::Envelope;
use crate::fs::watch::wait;
use crate::syscall_result::SyscallResult;

impl Net {
    /// Bytes that may wait at the other end of a connection: what the sender may send without being read, and the receiver's
    /// room.
    fn capacity(&self, key: SocketKey, peer: SocketKey) -> usize {
        (self.sockets[key].options.send_room + self.sockets[peer].options.receive_room) as usize
    }

    /// Returns true if poll(2) reports a stream as writable: only with a third of the capacity free, not for each free byte.
    pub(super) fn is_writable(&self, key: SocketKey) -> bool {
        let socket = &self.sockets[key];
        match &socket.state {
            State::Connecting(_) => false,
            State::Remote { connection, .. } if !connection.is_over() && !socket.write_shut => connection.is_writable(),
            &State::Connected { peer: Some(peer), .. } if !socket.write_shut => {
                self.sockets[peer].received.length() * 3 <= self.capacity(key, peer) * 2
            }
            _ => true,
        }
    }

    /// Sends as much as there is room for, which may be less than `from`.
    pub(super) fn send_stream(
        &mut self,
        files: &mut Files,
        key: SocketKey,
        from: Buffers<'_>,
        nonblocking: bool,
    ) -> SyscallResult {
        let socket = &mut self.sockets[key];
        let node = socket.node()?;
        if socket.error.is_some() || socket.write_shut {
            let error = socket.error.take().unwrap_or(Errno::EPIPE);
            self.report_ready(files, key, Ready::empty());
            return Err(error.into());
        }
        let later = || if nonblocking { Errno::EAGAIN.into() } else { wait(node) };
        let peer = match socket.state {
            State::Closed | State::Listening(_) => return Err(Errno::EPIPE.into()),
            State::Remote { .. } => return self.send_remote(files, key, from, nonblocking),
            State::Connecting(_) => return Err(later()),
            State::Connected { peer: Some(peer), .. } => peer,
            State::Connected { peer: None, .. } => {
                // The data counts as sent before the reset arrives: the peer's socket is closed.
                self.reset(files, key);
                return Ok(from.length());
            }
        };
        let room = self.capacity(key, peer).saturating_sub(self.sockets[peer].received.length());
        let length = from.length().min(room as u64);
        if from.length() == 0 {
            return Ok(0);
        }
        if length == 0 {
            return Err(later());
        }
        self.sockets[peer].received.append(&mut files.quota, from, length as usize, (0, 0))?;
        self.report_ready(files, peer, Ready::IN);
        self.report_ready(files, key, Ready::empty());
        Ok(length)
    }

    /// Reads the received data.
    pub(super) fn receive_stream(
        &mut self,
        files: &mut Files,
        key: SocketKey,
        into: Buffers<'_>,
        peek: bool,
        nonblocking: bool,
        envelope: &mut Envelope,
    ) -> SyscallResult {
        let socket = &mut self.sockets[key];
        let node = socket.node()?;
        if socket.listener().is_some() {
            return Err(Errno::ENOTCONN.into());
        }
        if into.length() == 0 {
            return Ok(0);
        }
        if socket.unread() == 0 {
            if socket.finished {
                return Ok(0);
            }
            if let Some(error) = socket.error.take() {
                self.report_ready(files, key, Ready::empty());
                return Err(error.into());
            }
            return match socket.state {
                _ if socket.read_shut => Ok(0),
                State::Closed => Err(Errno::ENOTCONN.into()),
                _ if nonblocking => Err(Errno::EAGAIN.into()),
                _ => Err(wait(node)),
            };
        }
        if socket.connection().is_some() {
            return self.receive_remote(files, key, into, peek);
        }
        let peer = socket.peer();
        let was_writable = peer.is_none_or(|peer| self.is_writable(peer));
        let count = self.sockets[key].received.read_stream(&mut files.quota, into, peek, envelope)?;
        self.report_ready(files, key, Ready::empty());
        if let Some(peer) = peer
            && !was_writable
            && self.is_writable(peer)
        {
            self.report_ready(files, peer, Ready::OUT);
        }
        Ok(count)
    }
}
