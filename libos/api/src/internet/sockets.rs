//! The sockets of a link: their ports, the demultiplexing of frames, and their timers.

use super::connection::Connection;
use super::frame::{self, Carried};
use super::socket::{Datagrams, Socket, Stream};
use super::stack::{AGAIN, Stack};
use super::wire::Sender;
use super::{Error, buffer, share};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use smoltcp::socket::tcp::State;

/// Most connections that peers are opening at once. Beyond that, the oldest is dropped.
const OPENING_MAXIMUM: usize = 256;
/// First ephemeral port: RFC 6335. The last is 65,535.
const ANY: u16 = 49_152;

/// The sockets of a link.
#[derive(Debug)]
pub struct Sockets {
    pub stack: Stack<usize>,
    slots: Vec<Option<Socket>>,
    free: Vec<usize>,
    /// Listeners by port.
    listeners: BTreeMap<u16, Listener>,
    datagrams: BTreeMap<u16, usize>,
    /// Next candidate for an ephemeral port.
    next_port: u16,
    /// True if an event has occurred that may interest the program.
    news: bool,
}

/// A listening port and the connections that wait to be accepted there.
#[derive(Debug)]
struct Listener {
    backlog: usize,
    pending: VecDeque<usize>,
}

impl Sockets {
    /// Returns an empty set of sockets on this stack. `seed` is random.
    pub fn new(stack: Stack<usize>, seed: u64) -> Self {
        Self {
            stack,
            slots: Vec::new(),
            free: Vec::new(),
            listeners: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            next_port: ANY + (seed % u64::from(u16::MAX - ANY)) as u16,
            news: true,
        }
    }

    /// Returns true if an event has occurred since the last query.
    pub fn have_news(&mut self) -> bool {
        core::mem::take(&mut self.news)
    }

    /// Returns true if the peers have acknowledged all sent data, and all datagrams have left.
    pub fn are_settled(&mut self) -> bool {
        self.slots.iter_mut().flatten().all(|socket| match socket {
            Socket::Stream(stream) if stream.orphaned => stream.connection.is_acknowledged(),
            Socket::Stream(stream) => stream.connection.is_over() || stream.connection.tcp().send_queue() == 0,
            Socket::Datagrams(datagrams) => datagrams.udp().send_queue() == 0,
        })
    }

    /// Stores a socket. Returns its slot.
    fn insert(&mut self, socket: Socket) -> usize {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() - 1
        });
        self.slots[slot] = Some(socket);
        slot
    }

    fn remove(&mut self, slot: usize) {
        self.slots[slot] = None;
        self.free.push(slot);
    }

    /// Returns the connection in a slot, if there is one.
    pub fn stream(&mut self, slot: usize) -> Option<&mut Stream> {
        if let Some(Some(Socket::Stream(stream))) = self.slots.get_mut(slot) { Some(stream) } else { None }
    }

    /// Returns the UDP socket in a slot, if there is one.
    pub fn datagrams(&mut self, slot: usize) -> Option<&mut Datagrams> {
        if let Some(Some(Socket::Datagrams(datagrams))) = self.slots.get_mut(slot) { Some(datagrams) } else { None }
    }

    /// Returns an ephemeral port that satisfies `is_free`.
    fn any_port(&mut self, is_free: impl Fn(&Self, u16) -> bool) -> Result<u16, Error> {
        for _ in ANY..=u16::MAX {
            let port = self.next_port;
            self.next_port = port.checked_add(1).unwrap_or(ANY);
            if is_free(self, port) {
                return Ok(port);
            }
        }
        Err(Error::PortTaken)
    }

    /// Returns the source address of packets to `to`.
    pub fn source(&self, to: IpAddr) -> Result<IpAddr, Error> {
        let missing = || if to.is_ipv4() && self.stack.is_asking() { Error::NotYet } else { Error::Unreachable };
        self.stack.source(to).ok_or_else(missing)
    }

    /// Starts to listen.
    pub fn listen(&mut self, port: u16, backlog: usize) -> Result<(), Error> {
        if port == 0 || self.listeners.contains_key(&port) {
            return Err(Error::PortTaken);
        }
        self.listeners.insert(port, Listener { backlog, pending: VecDeque::new() });
        Ok(())
    }

    /// Stops listening. Returns the connections that waited to be accepted.
    pub fn listen_no_more(&mut self, port: u16) -> VecDeque<usize> {
        self.listeners.remove(&port).map(|listener| listener.pending).unwrap_or_default()
    }

    /// Returns the connection that has waited longest to be accepted.
    pub fn accept(&mut self, port: u16) -> Option<usize> {
        self.listeners.get_mut(&port)?.pending.pop_front()
    }

    /// Starts to connect.
    pub fn connect(&mut self, to: SocketAddr) -> Result<usize, Error> {
        let ip = self.source(to.ip())?;
        let is_free = |sockets: &Self, port| {
            !sockets.listeners.contains_key(&port)
                && !sockets.stack.connections.contains_key(&(SocketAddr::new(ip, port), to))
        };
        let from = SocketAddr::new(ip, self.any_port(is_free)?);
        let mut connection = self.connection((from, to))?;
        if !connection.connect(&mut self.stack) {
            return Err(Error::Unreachable);
        }
        let slot = self.insert(Socket::Stream(Stream {
            connection,
            listener: None,
            finished: false,
            orphaned: false,
            error: None,
        }));
        self.stack.connections.insert((from, to), slot);
        Ok(slot)
    }

    fn connection(&mut self, ends: (SocketAddr, SocketAddr)) -> Result<Connection, Error> {
        self.stack.connections.try_reserve(1).map_err(|_| Error::NoMemory)?;
        let length = share(self.stack.connections.len());
        let mut connection = Connection::new(ends, buffer(length)?, buffer(length)?);
        // A program that wants its bytes to travel together writes them together.
        connection.tcp().set_nagle_enabled(false);
        Ok(connection)
    }

    /// Binds a port for datagrams.
    pub fn bind(
        &mut self,
        port: u16,
        make: impl FnOnce(u16) -> Result<Datagrams, Error>,
    ) -> Result<(usize, u16), Error> {
        let port = match port {
            0 => self.any_port(|sockets, port| !sockets.datagrams.contains_key(&port))?,
            port if self.datagrams.contains_key(&port) => return Err(Error::PortTaken),
            port => port,
        };
        let slot = self.insert(Socket::Datagrams(make(port)?));
        self.datagrams.insert(port, slot);
        Ok((slot, port))
    }

    /// Releases a port for datagrams.
    pub fn unbind(&mut self, slot: usize, port: u16) {
        self.datagrams.remove(&port);
        self.remove(slot);
    }

    /// Processes a frame. Returns its connection, if it has one.
    pub fn arrive(&mut self, frame: &[u8], sender: &mut dyn Sender, now: u64) -> Option<usize> {
        match frame::look(frame) {
            Carried::Segment { to, from, opens } => {
                let slot = match self.stack.connections.get(&(to, from)).copied() {
                    // The peer will send its SYN again if there is no room yet.
                    None if opens && self.listeners.contains_key(&to.port()) => Some(self.open_for(to, from)?),
                    known => known,
                };
                match slot.and_then(|slot| self.slots.get_mut(slot)) {
                    Some(Some(Socket::Stream(stream))) => stream.connection.take(&mut self.stack, frame, sender, now),
                    _ => self.stack.take(frame, sender, None, now),
                }
                slot
            }
            Carried::Datagram { to, .. } if self.stack.is_for_interface(to) => {
                let asking = self.stack.is_asking();
                self.stack.take_for_interface(frame, sender, now);
                self.news |= asking != self.stack.is_asking();
                None
            }
            Carried::Datagram { to, .. } => {
                match self.datagrams.get(&to.port()).and_then(|slot| self.slots.get_mut(*slot)) {
                    Some(Some(Socket::Datagrams(datagrams))) => {
                        self.stack.take(frame, sender, Some(&mut datagrams.set), now);
                        self.news |= datagrams.udp().can_recv();
                    }
                    _ => self.stack.take(frame, sender, None, now),
                }
                None
            }
            Carried::Refusal { .. } | Carried::Other => {
                self.stack.take(frame, sender, None, now);
                // The frame may have resolved a neighbour's hardware address.
                self.unstall(sender, now);
                None
            }
        }
    }

    /// Creates a connection that the peer opens; `None` if there is no room for it.
    fn open_for(&mut self, to: SocketAddr, from: SocketAddr) -> Option<usize> {
        let listener = self.listeners.get(&to.port())?;
        if !self.stack.interface.has_ip_addr(to.ip()) || listener.pending.len() >= listener.backlog {
            return None;
        }
        if self.stack.opening.len() >= OPENING_MAXIMUM
            && let Some(oldest) = self.stack.opening.pop_front()
        {
            // The oldest one's peer most likely does not exist (SYN flood).
            if let Some(stream) = self.stream(oldest) {
                let ends = stream.connection.ends();
                self.stack.connections.remove(&ends);
            }
            self.remove(oldest);
        }
        let mut connection = self.connection((to, from)).ok()?;
        if !connection.listen() {
            return None;
        }
        let stream = Stream { connection, listener: Some(to.port()), finished: false, orphaned: false, error: None };
        let slot = self.insert(Socket::Stream(stream));
        self.stack.connections.insert((to, from), slot);
        self.stack.opening.push_back(slot);
        Some(slot)
    }

    /// Handles the expired timers of sockets.
    pub fn keep_appointments(&mut self, sender: &mut dyn Sender, now: u64) {
        let asking = self.stack.is_asking();
        while let Some((at, index)) = self.stack.due(sender, now) {
            let slot = index as usize;
            let late = match self.slots.get_mut(slot) {
                Some(Some(Socket::Stream(stream))) => stream.connection.is_woken(at),
                Some(Some(Socket::Datagrams(_))) => true,
                _ => false,
            };
            if late {
                self.poll_socket(sender, slot, now, true);
            }
        }
        self.news |= asking != self.stack.is_asking();
        if sender.has_room() {
            self.unstall(sender, now);
        }
    }

    /// Retries the sockets that could not send.
    fn unstall(&mut self, sender: &mut dyn Sender, now: u64) {
        for slot in core::mem::take(&mut self.stack.stalled) {
            if let Some(stream) = self.stream(slot) {
                stream.connection.unstall();
            }
            self.poll_socket(sender, slot, now, false);
        }
    }

    /// Sends a socket's pending output and updates its state. `late` if its timer has expired.
    pub fn poll_socket(&mut self, sender: &mut dyn Sender, slot: usize, now: u64, late: bool) {
        match self.slots.get_mut(slot) {
            Some(Some(Socket::Stream(_))) => self.look_after_stream(sender, slot, now, late),
            Some(Some(Socket::Datagrams(datagrams))) => {
                if datagrams.alarm <= now {
                    datagrams.alarm = u64::MAX;
                }
                let (_, at) = self.stack.send(sender, &mut datagrams.set, now);
                if datagrams.udp().send_queue() > 0 {
                    let at = at.map(|at| at.max(now + AGAIN));
                    datagrams.alarm = self.stack.schedule(slot as u32, datagrams.alarm, at);
                    if !self.stack.stalled.contains(&slot) {
                        self.stack.stalled.push(slot);
                    }
                } else {
                    self.news |= core::mem::take(&mut datagrams.full);
                }
            }
            _ => {}
        }
    }

    fn look_after_stream(&mut self, sender: &mut dyn Sender, slot: usize, now: u64, late: bool) {
        let Some(Some(Socket::Stream(stream))) = self.slots.get_mut(slot) else { return };
        stream.connection.send(&mut self.stack, sender, (slot, slot as u32), stream.orphaned, now);
        let observed = stream.connection.observe(&mut self.stack);
        if let Some(before) = observed.ended {
            stream.error = match before {
                _ if stream.finished && stream.connection.is_finished() => None,
                _ if late => Some(Error::TimedOut),
                State::SynSent => Some(Error::Refused),
                _ => Some(Error::Reset),
            };
        }
        let is_news = observed.readable || observed.writable || observed.finished || observed.ended.is_some();
        self.news |= is_news && !stream.orphaned && stream.listener.is_none();
        let (over, orphaned) = (stream.connection.is_over(), stream.orphaned);
        let listener = if observed.opened { stream.listener.take() } else { None };
        let Some(port) = listener else {
            return if over && orphaned {
                self.remove(slot)
            };
        };
        self.stack.opening.retain(|opening| *opening != slot);
        match self.listeners.get_mut(&port) {
            _ if over => self.remove(slot),
            Some(listener) => {
                listener.pending.push_back(slot);
                self.news = true;
            }
            // The listener is closed.
            None => {
                self.orphan(slot, true);
                self.poll_socket(sender, slot, now, false);
            }
        }
    }

    /// Records that the program has dropped a connection, and ends it by FIN or RST. The caller must then call `poll_socket`.
    pub fn orphan(&mut self, slot: usize, by_reset: bool) {
        let Some(stream) = self.stream(slot) else { return };
        stream.orphaned = true;
        if by_reset {
            stream.connection.tcp().abort();
        } else {
            stream.connection.tcp().close();
        }
        if stream.connection.is_over() {
            self.remove(slot);
        }
    }
}
