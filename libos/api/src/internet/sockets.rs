//! The sockets of a native program, and their ports.

use super::connection::{Connection, Observed, buffer_length};
use super::datagrams::{Datagrams, QUEUE};
use super::driver::{Admission, Owner, Transport};
use super::stack::Stack;
use super::wire::Sender;
use super::{Error, buffer};
use crate::boot;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// First ephemeral port: RFC 6335. The last is 65,535.
const ANY: u16 = 49_152;
/// The largest buffer of a connection, in bytes.
const BUFFER_MAXIMUM: u64 = 256 << 10;
/// Number of connections that the shares of the heap are computed for in addition to the existing ones.
const SHARES: u64 = 128;

/// The sockets of a program.
#[derive(Debug)]
pub struct Sockets {
    slots: Vec<Option<Socket>>,
    free: Vec<u32>,
    /// Listeners by port.
    listeners: BTreeMap<u16, Listener>,
    datagrams: BTreeMap<u16, u32>,
    /// Next candidate for an ephemeral port.
    next_port: u16,
    /// True if an event has occurred that may interest the program.
    pub news: bool,
}

/// A socket.
#[derive(Debug)]
enum Socket {
    Stream(Stream),
    Datagrams(Datagrams),
}

/// A connection.
#[derive(Debug)]
pub struct Stream {
    pub connection: Connection,
    /// Reason for the connection's end.
    pub error: Option<Error>,
}

/// A listening port and the connections that wait to be accepted there.
#[derive(Debug)]
struct Listener {
    backlog: usize,
    pending: VecDeque<u32>,
}

impl Sockets {
    /// Returns an empty set of sockets. `seed` is random.
    pub fn new(seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            listeners: BTreeMap::new(),
            datagrams: BTreeMap::new(),
            next_port: ANY + (seed % u64::from(u16::MAX - ANY)) as u16,
            news: true,
        }
    }

    /// Returns true if the peers have acknowledged all sent data, and all datagrams have left.
    pub fn are_settled(&mut self) -> bool {
        self.slots.iter_mut().flatten().all(|socket| match socket {
            Socket::Stream(stream) if stream.connection.is_orphaned() => stream.connection.is_acknowledged(),
            Socket::Stream(stream) => stream.connection.is_over() || stream.connection.tcp().send_queue() == 0,
            Socket::Datagrams(datagrams) => datagrams.is_sent(),
        })
    }

    /// Stores a socket. Returns its slot.
    fn insert(&mut self, socket: Socket) -> u32 {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.slots.push(None);
            self.slots.len() as u32 - 1
        });
        self.slots[slot as usize] = Some(socket);
        slot
    }

    fn get(&mut self, slot: u32) -> Option<&mut Socket> {
        self.slots.get_mut(slot as usize)?.as_mut()
    }

    /// Returns the connection in a slot, if there is one.
    pub fn stream(&mut self, slot: u32) -> Option<&mut Stream> {
        if let Some(Socket::Stream(stream)) = self.get(slot) { Some(stream) } else { None }
    }

    /// Returns the UDP socket in a slot, if there is one.
    pub fn datagrams(&mut self, slot: u32) -> Option<&mut Datagrams> {
        if let Some(Socket::Datagrams(datagrams)) = self.get(slot) { Some(datagrams) } else { None }
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

    /// Starts to listen.
    pub fn listen(&mut self, port: u16, backlog: usize) -> Result<(), Error> {
        if port == 0 || self.listeners.contains_key(&port) {
            return Err(Error::PortTaken);
        }
        self.listeners.insert(port, Listener { backlog, pending: VecDeque::new() });
        Ok(())
    }

    /// Stops listening. Returns the connections that waited to be accepted.
    pub fn listen_no_more(&mut self, port: u16) -> VecDeque<u32> {
        self.listeners.remove(&port).map(|listener| listener.pending).unwrap_or_default()
    }

    /// Returns the connection that has waited longest to be accepted.
    pub fn next_pending(&mut self, port: u16) -> Option<u32> {
        self.listeners.get_mut(&port)?.pending.pop_front()
    }

    /// Starts to connect, from the address `from`. Returns the connection's slot.
    pub fn connect(&mut self, stack: &mut Stack, from: IpAddr, to: SocketAddr) -> Result<u32, Error> {
        let is_free = |sockets: &Self, port| {
            !sockets.listeners.contains_key(&port)
                && !stack.connections.contains_key(&(SocketAddr::new(from, port), to))
        };
        let from = SocketAddr::new(from, self.any_port(is_free)?);
        let slot = self.add_connection((from, to), stack.connections.len())?;
        let started = self.stream(slot).map_or(Ok(()), |stream| stream.connection.connect(stack, slot));
        started.inspect_err(|_| self.remove(slot))?;
        Ok(slot)
    }

    /// Adds a connection, the stack having `count` already. Returns its slot.
    fn add_connection(&mut self, ends: (SocketAddr, SocketAddr), count: usize) -> Result<u32, Error> {
        let length = buffer_length(boot::info().heap.length, count, SHARES, BUFFER_MAXIMUM);
        let mut connection = Connection::new(ends, buffer(length)?, buffer(length)?);
        // A program that wants its bytes to travel together writes them together.
        connection.tcp().set_nagle_enabled(false);
        Ok(self.insert(Socket::Stream(Stream { connection, error: None })))
    }

    /// Binds a port for datagrams; 0 selects a free one. Returns the socket's slot and the port.
    pub fn bind(&mut self, port: u16) -> Result<(u32, u16), Error> {
        let port = match port {
            0 => self.any_port(|sockets, port| !sockets.datagrams.contains_key(&port))?,
            port if self.datagrams.contains_key(&port) => return Err(Error::PortTaken),
            port => port,
        };
        let slot = self.insert(Socket::Datagrams(Datagrams::new(port, QUEUE, QUEUE)?));
        self.datagrams.insert(port, slot);
        Ok((slot, port))
    }

    /// Releases a port for datagrams.
    pub fn unbind(&mut self, slot: u32, port: u16) {
        self.datagrams.remove(&port);
        self.remove(slot);
    }
}

impl Owner for Sockets {
    fn opening_maximum(&self) -> usize {
        256
    }

    fn socket(&mut self, slot: u32) -> Option<Transport<'_>> {
        Some(match self.get(slot)? {
            Socket::Stream(stream) => Transport::Tcp(&mut stream.connection),
            Socket::Datagrams(datagrams) => Transport::Udp(datagrams),
        })
    }

    fn admission(&self, (to, _): (SocketAddr, SocketAddr)) -> Admission {
        match self.listeners.get(&to.port()) {
            Some(listener) if listener.pending.len() < listener.backlog => Admission::Open,
            Some(_) => Admission::Drop,
            None => Admission::Refuse,
        }
    }

    fn open(&mut self, ends: (SocketAddr, SocketAddr), count: usize) -> Option<u32> {
        self.add_connection(ends, count).ok()
    }

    fn accept(&mut self, slot: u32) -> bool {
        let port = self.stream(slot).map(|stream| stream.connection.ends().0.port());
        let Some(listener) = port.and_then(|port| self.listeners.get_mut(&port)) else { return false };
        listener.pending.push_back(slot);
        self.news = true;
        true
    }

    fn changed(&mut self, slot: u32, observed: &Observed) {
        self.news = true;
        if let Some(stream) = self.stream(slot)
            && let Some(ended) = observed.ended
        {
            stream.error = ended.err();
        }
    }

    fn has_room(&mut self, _: u32) {
        self.news = true;
    }

    fn receive(
        &mut self,
        stack: &mut Stack,
        sender: &mut dyn Sender,
        frame: &[u8],
        (to, _): (SocketAddr, SocketAddr),
        now: u64,
    ) {
        let slot = self.datagrams.get(&to.port()).copied();
        match slot.and_then(|slot| self.datagrams(slot)) {
            Some(datagrams) => {
                datagrams.take(stack, frame, sender, now);
                self.news |= datagrams.udp().can_recv();
            }
            None => stack.take(frame, sender, None, now),
        }
    }

    fn remove(&mut self, slot: u32) {
        self.slots[slot as usize] = None;
        self.free.push(slot);
    }
}
