//! End of connections: in order, after a FIN of both sides, or at once, by a *reset* (RST).

use super::{Net, Protocol, SocketKey, State};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::ready::Ready;
use linux_raw_sys::net;

impl Net {
    /// shutdown(2).
    pub fn shut_down(&mut self, files: &mut Files, key: SocketKey, how: u32) -> Result<(), Errno> {
        let (read, write) = match how {
            net::SHUT_RD => (true, false),
            net::SHUT_WR => (false, true),
            net::SHUT_RDWR => (true, true),
            _ => return Err(Errno::EINVAL),
        };
        let socket = &mut self.sockets[key];
        match (socket.protocol, &socket.state) {
            (Protocol::Udp, _) => {
                socket.read_shut |= read;
                socket.write_shut |= write;
                let connected = socket.remote.is_some();
                self.report_ready(files, key, Ready::all());
                return if connected { Ok(()) } else { Err(Errno::ENOTCONN) };
            }
            _ if socket.is_closed() => return Err(Errno::ENOTCONN),
            (Protocol::Tcp, State::Listening(_)) if !read => return Ok(()),
            (Protocol::Tcp, State::Remote { connection, .. }) if connection.is_opening() => {
                self.disconnect(files, key);
                return Ok(());
            }
            (Protocol::Tcp, State::Listening(_) | State::Connecting(_)) => {
                self.part(files, key, true);
                self.report_ready(files, key, Ready::all());
                return Ok(());
            }
            (Protocol::Tcp, State::Connected { .. } | State::Remote { .. } | State::Closed) => {}
        }
        socket.read_shut |= read;
        match socket.state {
            State::Remote { .. } if write => self.finish_remote(files, key),
            _ if write => self.finish(files, key),
            _ => {}
        }
        self.report_ready(files, key, Ready::all());
        Ok(())
    }

    /// Ends the sending side of a connected socket, and reports that to the peer.
    fn finish(&mut self, files: &mut Files, key: SocketKey) {
        let socket = &mut self.sockets[key];
        if core::mem::replace(&mut socket.write_shut, true) {
            return;
        }
        let (peer, finished) = (socket.peer(), socket.finished);
        if let Some(peer) = peer {
            let other = &mut self.sockets[peer];
            (other.finished, other.read_shut) = (true, true);
            if finished {
                other.state = State::Closed;
            }
            self.report_ready(files, peer, Ready::IN | Ready::READ_HANG_UP | Ready::HANG_UP);
        }
        if finished {
            self.sockets[key].state = State::Closed;
        }
    }

    /// Resets a socket: its peer, or the listener that it wanted to connect to, has ended the connection.
    pub(super) fn reset(&mut self, files: &mut Files, key: SocketKey) {
        let socket = &mut self.sockets[key];
        let error = match socket.state {
            State::Connecting(_) => {
                socket.remote = None;
                Errno::ECONNREFUSED
            }
            State::Connected { .. } if socket.finished && !socket.write_shut => Errno::EPIPE,
            State::Connected { .. } => Errno::ECONNRESET,
            State::Closed | State::Listening(_) | State::Remote { .. } => return,
        };
        self.fail(files, key, error);
    }

    /// Fails a stream with an error that the next call on it returns.
    pub(super) fn fail(&mut self, files: &mut Files, key: SocketKey, error: Errno) {
        let socket = &mut self.sockets[key];
        socket.state = State::Closed;
        (socket.read_shut, socket.write_shut, socket.error) = (true, true, Some(error));
        self.report_ready(files, key, Ready::all());
    }

    /// Detaches a stream from its peer: in order, or by a reset. Connections that it has not accepted are reset in any case.
    pub(super) fn part(&mut self, files: &mut Files, key: SocketKey, by_reset: bool) {
        let by_reset = by_reset || !self.sockets[key].received.is_empty();
        if let Some(peer) = self.sockets[key].peer() {
            if by_reset {
                self.reset(files, peer);
            } else {
                self.finish(files, key);
                if let State::Connected { peer, .. } = &mut self.sockets[peer].state {
                    *peer = None;
                }
            }
        }
        match core::mem::replace(&mut self.sockets[key].state, State::Closed) {
            State::Connecting(listener) => {
                if let Some(listener) = self.sockets[listener].listener_mut() {
                    listener.waiting.retain(|waiting| *waiting != key);
                }
            }
            State::Listening(listener) => {
                listener.pending.into_iter().for_each(|pending| self.close_by(files, pending, true));
                listener.waiting.into_iter().for_each(|waiting| self.reset(files, waiting));
            }
            _ => {}
        }
    }

    /// Disconnects a stream, which can then be connected again.
    pub(super) fn disconnect(&mut self, files: &mut Files, key: SocketKey) {
        if self.sockets[key].connection().is_some() {
            self.abort_remote(files, key);
        }
        self.part(files, key, true);
        let socket = &mut self.sockets[key];
        socket.received.clear(&mut files.quota);
        (socket.remote, socket.error) = (None, None);
        (socket.read_shut, socket.write_shut, socket.finished) = (false, false, false);
        self.report_ready(files, key, Ready::all());
    }

    /// Forgets the file of a socket, so that readiness is reported to it no longer.
    pub fn forget_file(&mut self, key: SocketKey) {
        self.sockets[key].node = None;
    }

    /// Closes a socket that has no descriptor any more.
    pub fn close(&mut self, files: &mut Files, key: SocketKey) {
        let by_reset = self.sockets[key].options.linger == Some(0);
        self.close_by(files, key, by_reset);
    }

    fn close_by(&mut self, files: &mut Files, key: SocketKey, by_reset: bool) {
        let socket = &mut self.sockets[key];
        socket.node = None;
        if socket.connection().is_some() {
            let by_reset = by_reset || socket.unread() > 0;
            return self.orphan(files, key, by_reset);
        }
        self.part(files, key, by_reset);
        self.free(files, key);
    }

    /// Releases a socket without connections.
    pub(super) fn free(&mut self, files: &mut Files, key: SocketKey) {
        if let Some(mut socket) = self.sockets.release(key) {
            socket.received.clear(&mut files.quota);
            if let Some(local) = socket.local {
                self.ports.remove(socket.protocol, local.port(), key);
            }
            socket.groups.into_iter().for_each(|group| self.forget_group(group));
        }
    }
}
