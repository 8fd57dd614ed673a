//! A connection: one smoltcp socket in a set of its own, and the state that the driver keeps for it.

use super::Error;
use super::patience::{CLOSE_TIMEOUT, Patience};
use super::report::Reason;
use super::stack::{AGAIN, Sent, Stack};
use super::wire::Sender;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Duration;

/// Least time until a segment is sent again that the peer has not acknowledged: Linux's.
const RETRANSMISSION: Duration = Duration::from_millis(200);

/// The smallest buffer of a connection, in bytes.
const BUFFER_MINIMUM: u64 = 4 << 10;

/// Returns the size of a buffer for one more connection, in bytes, when there are `count`: half of `memory` is shared by those
/// and `spare` more. The stack cannot grow buffers, so the first connections get large ones, up to `maximum`.
pub fn buffer_length(memory: u64, count: usize, spare: u64, maximum: u64) -> usize {
    let share = memory / (16 * (count as u64 + spare));
    share.clamp(BUFFER_MINIMUM, maximum) as usize & !4095
}

/// A connection.
pub struct Connection {
    set: SocketSet<'static>,
    handle: SocketHandle,
    /// Local and peer address.
    pub(super) ends: (SocketAddr, SocketAddr),
    /// TCP state at the last `observe`.
    pub(super) seen: tcp::State,
    /// Unread bytes at that time, and whether the connection was writable.
    unread: usize,
    writable: bool,
    /// True after the peer's FIN.
    finished: bool,
    /// True after the connection has ended.
    pub(super) over: bool,
    /// Time of the timer, in nanoseconds; `u64::MAX` for none.
    alarm: u64,
    /// Arrival time of the last segment, in nanoseconds.
    pub(super) last_received: u64,
    /// Timeouts that the owner has set.
    pub(super) patience: Patience,
    /// The last ICMP error about a segment that was under way, since the peer was last heard.
    pub(super) reason: Option<Reason>,
    /// Timeout of the peer's silence, once the program has dropped the connection.
    pub(super) close_timeout: Option<Duration>,
    /// True if the connection has output that waits for its peer's hardware address, or for room in the device.
    blocked: bool,
    /// True if the connection is in the stack's list `stalled`.
    stalled: bool,
    /// True if the peer opens the connection.
    passive: bool,
    /// True after the program has closed the sending direction.
    closed: bool,
    /// True after the program has closed the connection, which lives on until the peer knows.
    pub(super) orphaned: bool,
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
    /// How the connection has ended, if it has: in order, after a FIN of both sides; or by an error.
    pub ended: Option<Result<(), Error>>,
}

impl Observed {
    /// Returns true if something has changed.
    pub(super) const fn is_news(&self) -> bool {
        self.readable || self.writable || self.opened || self.finished || self.ended.is_some()
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("ends", &self.ends).field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Connection {
    /// Returns a connection between these ends, the local one first, with these buffers for receiving and sending.
    pub fn new(ends: (SocketAddr, SocketAddr), receive: Vec<u8>, send: Vec<u8>) -> Self {
        let mut socket = tcp::Socket::new(tcp::SocketBuffer::new(receive), tcp::SocketBuffer::new(send));
        socket.set_min_retransmission_timeout(RETRANSMISSION);
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
            last_received: 0,
            patience: Patience::default(),
            reason: None,
            close_timeout: None,
            blocked: false,
            stalled: false,
            passive: false,
            closed: false,
            orphaned: false,
        }
    }

    /// Starts an active open, as socket `slot`.
    pub fn connect(&mut self, stack: &mut Stack, slot: u32) -> Result<(), Error> {
        let (from, to) = self.ends;
        if stack.connections.contains_key(&self.ends) {
            return Err(Error::PortTaken);
        }
        stack.connections.try_reserve(1).map_err(|_| Error::NoMemory)?;
        let opening = self.patience.opening;
        let tcp = self.tcp();
        tcp.set_timeout(Some(opening));
        tcp.connect(stack.interface.context(), to, from).map_err(|_| Error::Unreachable)?;
        self.seen = tcp::State::SynSent;
        stack.connections.insert(self.ends, slot);
        Ok(())
    }

    /// Starts a passive open as socket `slot`, for the next segment from the peer.
    pub(super) fn listen(&mut self, stack: &mut Stack, slot: u32, now: u64) -> Result<(), Error> {
        stack.connections.try_reserve(1).map_err(|_| Error::NoMemory)?;
        stack.opening.try_reserve(1).map_err(|_| Error::NoMemory)?;
        let (here, _) = self.ends;
        let tcp = self.tcp();
        tcp.set_timeout(Some(CLOSE_TIMEOUT));
        tcp.listen(here).map_err(|_| Error::Unreachable)?;
        (self.seen, self.passive) = (tcp::State::SynReceived, true);
        stack.connections.insert(self.ends, slot);
        stack.opening.push_back((slot, now));
        Ok(())
    }

    /// Closes the sending direction (FIN).
    pub fn close(&mut self) {
        self.closed = true;
        self.tcp().close();
    }

    /// Ends a connection that the program has closed: in order (FIN), or by a reset.
    pub(super) fn orphan(&mut self, by_reset: bool) {
        self.orphaned = true;
        if by_reset { self.tcp().abort() } else { self.close() }
    }

    /// Returns the stack's socket.
    pub fn tcp(&mut self) -> &mut tcp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// Returns the stack's socket, to look at.
    pub fn tcp_ref(&self) -> &tcp::Socket<'static> {
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

    /// Returns true after the program has closed the connection.
    pub const fn is_orphaned(&self) -> bool {
        self.orphaned
    }

    /// Returns true if the peer opens or has opened the connection.
    pub(super) const fn is_passive(&self) -> bool {
        self.passive
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

    /// Processes a frame for this connection.
    pub(super) fn take(&mut self, stack: &mut Stack, frame: &[u8], sender: &mut dyn Sender, now: u64) {
        (self.last_received, self.reason) = (now, None);
        if self.patience.keep_alive.is_some() {
            self.await_silence(now);
        }
        stack.take(frame, sender, Some(&mut self.set), now);
    }

    /// Sends pending output and sets the timer of the socket `slot` to the connection's next time; a connection that could not
    /// send enters `stalled`.
    pub(super) fn send(&mut self, stack: &mut Stack, sender: &mut dyn Sender, slot: u32, now: u64) {
        self.set_patience(now);
        let Sent { sent, blocked, at } = stack.send(sender, &mut self.set, now);
        // While the stack waits for a neighbour it makes no attempt, and has a time for the next one.
        self.blocked = blocked || self.blocked && !sent && at.is_some();
        if self.blocked {
            let neighbour = stack.next_hop(self.ends.1.ip());
            stack.stall(slot, sender, neighbour, &mut self.stalled);
        }
        // All output that could be sent at once was sent; the rest waits for room in the device, and must not be retried all
        // the time.
        let at = at.map(|at| if at <= now { now + AGAIN } else { at });
        self.alarm = stack.schedule(slot, self.alarm, at);
    }

    /// Records that the connection has left the list `stalled`.
    pub(super) const fn unstall(&mut self) {
        self.stalled = false;
    }

    /// Returns true if a timer that expired at `at` is this connection's current one, and clears it.
    pub(super) fn is_woken(&mut self, at: u64) -> bool {
        let woken = self.alarm == at;
        if woken {
            self.alarm = u64::MAX;
        }
        woken
    }

    /// Returns the changes of the connection; `late` if its timer has expired. At its end, its addresses are free for another.
    pub(super) fn observe(&mut self, stack: &mut Stack, late: bool) -> Observed {
        use tcp::State::{CloseWait, Closed, Closing, LastAck, Listen, SynSent, TimeWait};
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
        let ended = (matches!(state, Closed | TimeWait) && !self.over).then_some(match before {
            _ if self.finished && self.closed => Ok(()),
            _ if late => Err(if self.reason.is_some() { Error::Unreachable } else { Error::TimedOut }),
            SynSent => Err(Error::Refused),
            _ => Err(Error::Reset),
        });
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
