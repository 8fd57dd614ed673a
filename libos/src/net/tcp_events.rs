//! Steps after each event of a connection through the device: send pending data, schedule the next timer, and report changes.

use super::device::Stack;
use super::{Net, Protocol, Socket, SocketKey, State};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::ready::Ready;
use core::net::SocketAddr;
use husk::internet::wire::Sender;
use smoltcp::socket::tcp::State::SynSent;

impl Net {
    /// Lets a connection send and schedule its timer, and reports changes. `late` is true if the connection's timer expired,
    /// false for a segment or a call.
    pub(super) fn poll_socket(
        &mut self,
        files: &mut Files,
        stack: &mut Stack,
        sender: &mut dyn Sender,
        key: SocketKey,
        now: u64,
        late: bool,
    ) {
        let Some(socket) = self.sockets.get_mut(key) else { return };
        let orphaned = socket.orphaned;
        let State::Remote(connection) = &mut socket.state else { return };
        connection.send(stack, sender, (key, key.index()), orphaned, now);
        if self.observe(files, stack, key, late) {
            return;
        }
        // No socket takes the connection: it is aborted (RST), which ends it.
        let socket = &mut self.sockets[key];
        socket.orphaned = true;
        if let Some(connection) = socket.connection_mut() {
            connection.tcp().abort();
        }
        self.poll_socket(files, stack, sender, key, now, false);
    }

    /// Reports the changes of a connection. Returns false if nothing takes the connection.
    fn observe(&mut self, files: &mut Files, stack: &mut Stack, key: SocketKey, late: bool) -> bool {
        let socket = &mut self.sockets[key];
        let State::Remote(connection) = &mut socket.state else { return true };
        let observed = connection.observe(stack);
        let mut news = Ready::empty();
        news.set(Ready::IN, observed.readable);
        news.set(Ready::OUT, observed.writable);
        let opened_by_other = if observed.opened { connection.listener.take() } else { None };
        if opened_by_other.is_some() {
            stack.opening.retain(|opening| *opening != key);
        }
        if observed.finished {
            (socket.finished, socket.read_shut) = (true, true);
            news |= Ready::IN | Ready::READ_HANG_UP | Ready::HANG_UP;
        }
        if let Some(before) = observed.ended {
            let orderly = socket.finished && socket.write_shut;
            let error = match before {
                _ if late => Errno::ETIMEDOUT,
                SynSent => Errno::ECONNREFUSED,
                _ if socket.finished => Errno::EPIPE,
                _ => Errno::ECONNRESET,
            };
            if before == SynSent {
                socket.remote = None;
                socket.state = State::Closed;
            }
            if !orderly {
                (socket.read_shut, socket.write_shut, socket.error) = (true, true, Some(error));
            }
            news = Ready::all();
        }
        if let Some(listener) = opened_by_other {
            return self.has_opened(files, key, listener);
        }
        if self.sockets[key].node.is_some() {
            if !news.is_empty() {
                self.report_ready(files, key, news);
            }
        } else if self.sockets[key].orphaned
            && self.sockets[key].connection().is_none_or(|connection| connection.is_over())
        {
            self.free(files, key);
        }
        true
    }

    /// Queues a connection that the peer has opened for accept(2). Returns false if the connection is over already, or the
    /// listener is gone.
    fn has_opened(&mut self, files: &mut Files, key: SocketKey, listener: SocketKey) -> bool {
        let (over, local) = match self.sockets[key].connection() {
            Some(connection) => (connection.is_over(), connection.ends().0),
            None => (true, SocketAddr::from(([0; 4], 0))),
        };
        let behind = self.sockets.get_mut(listener);
        // The key may by now belong to another socket than the listener.
        let behind = behind.filter(|behind| behind.local.is_some_and(|bound| bound.port() == local.port()));
        match behind.and_then(Socket::listener_mut) {
            Some(behind) if !over => {
                let room = behind.pending.try_reserve(1).is_ok();
                if room {
                    behind.pending.push_back(key);
                    self.report_ready(files, listener, Ready::IN);
                }
                room
            }
            _ => false,
        }
    }

    /// Runs [`Net::poll_socket`] for a connection because of a call.
    pub(super) fn flush_socket(&mut self, files: &mut Files, key: SocketKey) {
        let now = husk::clock::monotonic_ns();
        self.with_device(|net, stack, sender| net.poll_socket(files, stack, sender, key, now, false));
        if self.sockets.get(key).is_some() {
            self.report_ready(files, key, Ready::empty());
        }
    }

    /// Ends a connection after its socket has been closed: in order (FIN), or by a reset.
    pub(super) fn orphan(&mut self, files: &mut Files, key: SocketKey, by_reset: bool) {
        let socket = &mut self.sockets[key];
        (socket.orphaned, socket.write_shut) = (true, true);
        let Some(connection) = socket.connection_mut() else { return };
        let over = connection.is_over();
        let tcp = connection.tcp();
        if by_reset {
            tcp.abort()
        } else {
            tcp.close()
        };
        if over { self.free(files, key) } else { self.flush_socket(files, key) }
    }

    /// Aborts a connection by a reset, and keeps the socket.
    pub(super) fn abort_remote(&mut self, files: &mut Files, key: SocketKey) {
        if let Some(connection) = self.sockets[key].connection_mut() {
            connection.tcp().abort();
        }
        self.flush_socket(files, key);
        self.sockets[key].state = State::Closed;
    }

    /// Handles an expired timer of a socket.
    pub(super) fn woken(
        &mut self,
        files: &mut Files,
        stack: &mut Stack,
        sender: &mut dyn Sender,
        (at, index): (u64, u32),
        now: u64,
    ) {
        let Some(key) = self.sockets.key_at(index) else { return };
        if self.sockets[key].protocol == Protocol::Udp {
            return self.poll_tx_queue(files, stack, sender, key, now);
        }
        if let Some(connection) = self.sockets[key].connection_mut()
            && connection.is_woken(at)
        {
            self.poll_socket(files, stack, sender, key, now, true);
        }
    }

    /// Retries the sockets that could not send.
    pub(super) fn unstall(&mut self, files: &mut Files, stack: &mut Stack, sender: &mut dyn Sender, now: u64) {
        for key in core::mem::take(&mut stack.stalled) {
            if let Some(connection) = self.sockets.get_mut(key).and_then(Socket::connection_mut) {
                connection.unstall();
                self.poll_socket(files, stack, sender, key, now, false);
            } else if self.sockets.get(key).is_some_and(|socket| socket.protocol == Protocol::Udp) {
                self.poll_tx_queue(files, stack, sender, key, now);
            }
        }
    }
}
