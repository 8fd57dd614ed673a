//! A connection: one smoltcp socket in a set of its own, and the state that its owner keeps for it.

use super::stack::{AGAIN, Stack};
use super::wire::Sender;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Duration;

/// Timeout of unacknowledged data; about Linux's timeout of an unanswered SYN.
pub const PATIENCE: Duration = Duration::from_secs(130);
/// Timeout of a connection that the program has dropped, or that the peer is opening; Linux's default.
pub const FAREWELL: Duration = Duration::from_secs(60);

/// A connection.
pub struct Connection {
    set: SocketSet<'static>,
    handle: SocketHandle,
    /// Local and peer address.
    ends: (SocketAddr, SocketAddr),
    /// TCP state at the last `observe`.
    seen: tcp::State,
    /// Unread bytes at that time, and whether the connection was writable.
    unread: usize,
    writable: bool,
    /// True after the peer's FIN.
    finished: bool,
    /// True after the connection has ended.
    over: bool,
    /// Time of the timer, in nanoseconds; `u64::MAX` for none.
    alarm: u64,
    /// Arrival time of the last segment, in nanoseconds.
    heard: u64,
    /// Timeout of the peer's silence, once the program has dropped the connection.
    farewell: Option<Duration>,
    /// True if the connection is in the stack's list `stalled`.
    stalled: bool,
}

/// Changes of a connection since the last `observe`.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    /// True if there are more bytes to read.
    pub readable: bool,
    /// True if the send buffer has room again.
    pub writable: bool,
    /// True if opening has ended: the connection is open, or has failed.
    pub opened: bool,
    /// True if the peer's FIN has arrived.
    pub finished: bool,
    /// State before the end, if the connection has ended.
    pub ended: Option<tcp::State>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("ends", &self.ends).field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Connection {
    /// Returns a connection between these ends, the local one first, with these buffers for receiving and sending.
    pub fn new(ends: (SocketAddr, SocketAddr), receive: Vec<u8>, send: Vec<u8>) -> Self {
        let socket = tcp::Socket::new(tcp::SocketBuffer::new(receive), tcp::SocketBuffer::new(send));
        let mut set = SocketSet::new(vec![]);
        let handle = set.add(socket);
        Self {
            set,
            handle,
            ends,
            seen: tcp::State::Closed,
            unread: 0,
            writable: false,
            finished: false,
            over: false,
            alarm: u64::MAX,
            heard: 0,
            farewell: None,
            stalled: false,
        }
    }

    /// Starts an active open. Returns true if the stack accepted it.
    pub fn connect<K>(&mut self, stack: &mut Stack<K>) -> bool {
        let (from, to) = self.ends;
        let tcp = self.tcp();
        tcp.set_timeout(Some(PATIENCE));
        let begun = tcp.connect(stack.interface.context(), to, from).is_ok();
        self.seen = tcp::State::SynSent;
        begun
    }

    /// Starts a passive open, for the next segment from the peer. Returns true if the stack accepted it.
    pub fn listen(&mut self) -> bool {
        let (here, _) = self.ends;
        let tcp = self.tcp();
        tcp.set_timeout(Some(FAREWELL));
        let begun = tcp.listen(here).is_ok();
        self.seen = tcp::State::SynReceived;
        begun
    }

    /// Returns the stack's socket.
    pub fn tcp(&mut self) -> &mut tcp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    fn tcp_ref(&self) -> &tcp::Socket<'static> {
        self.set.get(self.handle)
    }

    /// Returns local and peer address.
    pub const fn ends(&self) -> (SocketAddr, SocketAddr) {
        self.ends
    }

    /// Returns true while the connection is being opened.
    pub fn is_opening(&self) -> bool {
        matches!(self.seen, tcp::State::SynSent | tcp::State::SynReceived)
    }

    /// Returns true after the connection has ended.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Returns true after the peer's FIN.
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Returns true if the peer has acknowledged all data and the FIN.
    pub fn is_acknowledged(&self) -> bool {
        matches!(self.tcp_ref().state(), tcp::State::Closed | tcp::State::FinWait2 | tcp::State::TimeWait)
    }

    /// Returns the number of bytes that a read would find.
    pub fn unread(&self) -> usize {
        self.tcp_ref().recv_queue()
    }

    /// Returns true if the send buffer has room enough to make a write worthwhile.
    pub fn is_writable(&self) -> bool {
        let tcp = self.tcp_ref();
        !self.is_opening() && tcp.send_queue() * 3 <= tcp.send_capacity() * 2
    }

    /// Records the current unread bytes and writability as known to the owner.
    pub fn note(&mut self) {
        (self.unread, self.writable) = (self.unread(), self.is_writable());
    }

    /// Sets the timeout of the peer's silence. smoltcp's timeout counts every silence, but an idle connection must not time
    /// out.
    fn set_patience(&mut self, orphaned: bool, now: u64) {
        if orphaned && self.farewell.is_none() {
            // The connection may have been idle for long, and legitimately.
            let silent = Duration::from_micros(now.saturating_sub(self.heard) / 1000);
            self.farewell = Some(silent + FAREWELL);
        }
        let (opening, farewell) = (self.is_opening(), self.farewell);
        let tcp = self.tcp();
        let patience = match (farewell, tcp.keep_alive()) {
            (Some(farewell), _) => Some(farewell),
            _ if opening || tcp.send_queue() > 0 => Some(PATIENCE),
            (None, Some(interval)) => Some(interval + PATIENCE),
            (None, None) => None,
        };
        tcp.set_timeout(patience);
    }

    /// Processes a frame for this connection.
    pub fn take<K>(&mut self, stack: &mut Stack<K>, frame: &[u8], sender: &mut dyn Sender, now: u64) {
        self.heard = now;
        stack.take(frame, sender, Some(&mut self.set), now);
    }

    /// Sends pending output and sets the timer `index` to the connection's next time; a connection that could not send enters
    /// `stalled` as `key`. `orphaned` if the program has dropped the connection.
    pub fn send<K>(
        &mut self,
        stack: &mut Stack<K>,
        sender: &mut dyn Sender,
        (key, index): (K, u32),
        orphaned: bool,
        now: u64,
    ) {
        self.set_patience(orphaned, now);
        let (sent, at) = stack.send(sender, &mut self.set, now);
        let tcp = self.tcp();
        let busy = tcp.state() == tcp::State::SynSent || tcp.send_queue() > 0 || tcp.state() == tcp::State::Closed;
        // All output that could be sent at once was sent; the rest waits for room in the device, and must not be retried all
        // the time.
        let at = at.map(|at| if at <= now { now + AGAIN } else { at });
        if !sent && busy && !self.stalled && at.is_some() && stack.stalled.try_reserve(1).is_ok() {
            self.stalled = true;
            stack.stalled.push(key);
        }
        self.alarm = stack.schedule(index, self.alarm, at);
    }

    /// Records that the connection has left the list `stalled`.
    pub fn unstall(&mut self) {
        self.stalled = false;
    }

    /// Returns true if a timer that expired at `at` is this connection's current one, and clears it.
    pub fn is_woken(&mut self, at: u64) -> bool {
        let woken = self.alarm == at;
        if woken {
            self.alarm = u64::MAX;
        }
        woken
    }

    /// Returns the changes of the connection. At its end, its addresses are free for another.
    pub fn observe<K>(&mut self, stack: &mut Stack<K>) -> Observed {
        use tcp::State::{CloseWait, Closed, Closing, LastAck, Listen, TimeWait};
        // A socket still or again in Listen got a segment that opens no connection, or a RST after the SYN.
        let state = if self.tcp().state() == Listen { Closed } else { self.tcp().state() };
        let (before, unread, could_write, was_opening) = (self.seen, self.unread, self.writable, self.is_opening());
        // Writability depends on the state before, in `seen`.
        let writable = self.is_writable();
        self.seen = state;
        (self.unread, self.writable) = (self.unread(), writable);
        let opened = was_opening && !self.is_opening();
        let finished = matches!(state, CloseWait | Closing | LastAck | TimeWait) && !self.finished;
        self.finished |= finished;
        let ended = (matches!(state, Closed | TimeWait) && !self.over).then_some(before);
        if ended.is_some() {
            self.over = true;
            stack.connections.remove(&self.ends);
        }
        Observed {
            readable: self.unread > unread,
            writable: (writable && !could_write) || opened,
            opened,
            finished,
            ended,
        }
    }
}
