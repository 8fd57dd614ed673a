//! A connection: one smoltcp socket in a set of its own, and what whoever looks after it has to remember.

use super::stack::{AGAIN, Stack};
use super::wire::Sender;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Duration;

/// How long the other side may be silent while it has something to answer; about what Linux waits for an answer to its
/// first segment.
pub const PATIENCE: Duration = Duration::from_secs(130);
/// How long it may be silent when nobody here wants to hear of it any more, or while it opens a connection; Linux's
/// default.
pub const FAREWELL: Duration = Duration::from_secs(60);

/// A connection.
pub struct Connection {
    set: SocketSet<'static>,
    handle: SocketHandle,
    /// Its own address and that of the other end.
    ends: (SocketAddr, SocketAddr),
    /// What it was when somebody last looked.
    seen: tcp::State,
    /// Bytes that there were to read then, and whether it could be written to.
    unread: usize,
    writable: bool,
    /// The other side has said that it sends no more.
    finished: bool,
    /// There is nothing more to come of it.
    over: bool,
    /// When it will be looked after, in nanoseconds; never at the end of time.
    alarm: u64,
    /// When a segment came last, in nanoseconds.
    heard: u64,
    /// How long the other side may be silent, once nobody wants to hear of it any more.
    farewell: Option<Duration>,
    /// It is in the list of those that are stalled.
    stalled: bool,
}

/// What has become of a connection since somebody last looked.
#[derive(Clone, Copy, Debug)]
pub struct Observed {
    /// There is more to read.
    pub readable: bool,
    /// There is room again for what is to be sent.
    pub writable: bool,
    /// It is not being opened any more: it is open, or has come to nothing.
    pub opened: bool,
    /// The other side has said that it sends no more.
    pub finished: bool,
    /// It has come to its end, and was this before.
    pub ended: Option<tcp::State>,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("ends", &self.ends).field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Connection {
    /// A connection between these ends, its own first, with these buffers for what it receives and sends.
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

    /// Begins to open it. Whether the stack could.
    pub fn connect<K>(&mut self, stack: &mut Stack<K>) -> bool {
        let (from, to) = self.ends;
        let tcp = self.tcp();
        tcp.set_timeout(Some(PATIENCE));
        let begun = tcp.connect(stack.interface.context(), to, from).is_ok();
        self.seen = tcp::State::SynSent;
        begun
    }

    /// Lets the other side open it with the next segment. Whether the stack could.
    pub fn listen(&mut self) -> bool {
        let (here, _) = self.ends;
        let tcp = self.tcp();
        tcp.set_timeout(Some(FAREWELL));
        let begun = tcp.listen(here).is_ok();
        self.seen = tcp::State::SynReceived;
        begun
    }

    /// The stack's socket.
    pub fn tcp(&mut self) -> &mut tcp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    fn tcp_ref(&self) -> &tcp::Socket<'static> {
        self.set.get(self.handle)
    }

    /// Its own address and that of the other end.
    pub const fn ends(&self) -> (SocketAddr, SocketAddr) {
        self.ends
    }

    /// Whether it is still being opened.
    pub fn is_opening(&self) -> bool {
        matches!(self.seen, tcp::State::SynSent | tcp::State::SynReceived)
    }

    /// Whether there is nothing more to come of it.
    pub const fn is_over(&self) -> bool {
        self.over
    }

    /// Whether the other side has said that it sends no more.
    pub const fn is_finished(&self) -> bool {
        self.finished
    }

    /// Whether the other side has got everything, and knows that there is no more.
    pub fn has_said_all(&self) -> bool {
        matches!(self.tcp_ref().state(), tcp::State::Closed | tcp::State::FinWait2 | tcp::State::TimeWait)
    }

    /// Bytes that a read would find.
    pub fn unread(&self) -> usize {
        self.tcp_ref().recv_queue()
    }

    /// Whether there is room that makes it worth while to send.
    pub fn is_writable(&self) -> bool {
        let tcp = self.tcp_ref();
        !self.is_opening() && tcp.send_queue() * 3 <= tcp.send_capacity() * 2
    }

    /// What is there to read, and whether there is room, is known to whoever looks after it.
    pub fn note(&mut self) {
        (self.unread, self.writable) = (self.unread(), self.is_writable());
    }

    /// Says how long the other side may be silent now. The stack counts every silence, but there is nothing wrong with two
    /// sides that have nothing to say.
    fn set_patience(&mut self, orphaned: bool, now: u64) {
        if orphaned && self.farewell.is_none() {
            // It may have been silent for long, and with reason.
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

    /// Takes a frame that is for it.
    pub fn take<K>(&mut self, stack: &mut Stack<K>, frame: &[u8], sender: &mut dyn Sender, now: u64) {
        self.heard = now;
        stack.take(frame, sender, Some(&mut self.set), now);
    }

    /// Lets it send what it has, and say when it wants to be looked after next: as `key`, whose alarm is that of
    /// `index`. `orphaned` if nobody here wants to hear of it any more.
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
        // What could be sent at once was; the rest waits for room in the device, and is not to be tried all the time.
        let at = at.map(|at| if at <= now { now + AGAIN } else { at });
        if !sent && busy && !self.stalled && at.is_some() && stack.stalled.try_reserve(1).is_ok() {
            self.stalled = true;
            stack.stalled.push(key);
        }
        self.alarm = stack.schedule(index, self.alarm, at);
    }

    /// It is not in the list of those that are stalled any more.
    pub fn unstall(&mut self) {
        self.stalled = false;
    }

    /// Whether an alarm that has gone off at `at` is its own, which has gone off then.
    pub fn is_woken(&mut self, at: u64) -> bool {
        let woken = self.alarm == at;
        if woken {
            self.alarm = u64::MAX;
        }
        woken
    }

    /// What has become of it. At its end its ends are free for another.
    pub fn observe<K>(&mut self, stack: &mut Stack<K>) -> Observed {
        use tcp::State::{CloseWait, Closed, Closing, LastAck, Listen, TimeWait};
        // What wanted to open it was nothing of the kind, or has been taken back.
        let state = if self.tcp().state() == Listen { Closed } else { self.tcp().state() };
        let (before, unread, could_write, was_opening) = (self.seen, self.unread, self.writable, self.is_opening());
        // Whether it can be written to is reckoned with the state that it was in.
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
