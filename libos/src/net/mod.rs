//! Sockets of the internet families, `AF_INET` and `AF_INET6`: TCP and UDP; and those that tell of interfaces (`routes`).
//!
//! Who talks to the program itself (127.0.0.1, ::1, its own addresses) does so directly: a connection is two sockets, each with what it has
//! received and nobody has read, and to send is to put something into the other's queue, as for `AF_UNIX`. There are no
//! packets, no timers and nothing that can be lost, and a connection takes the memory of what is in it. Everybody else is
//! behind the network device ([`device`]): there smoltcp speaks TCP/IP.
//!
//! Descriptors, flags and waiting belong to the files ([`crate::fs::foreign`]). Addresses are kept in *canonical* form,
//! in which an IPv4 address is never written as an IPv6 one, and turned into what a socket's family shows on the way out.

pub mod address;
mod connect;
mod control;
mod datagram;
pub mod device;
mod end;
mod far;
mod farewell;
mod follow;
mod groups;
mod options;
mod outbox;
mod poll;
mod ports;
mod routes;
mod stream;
#[cfg(test)]
mod tests;
mod through;

pub use options::takes;

use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::foreign::{Foreign, Owner};
use crate::fs::inode::{NodeKey, Time};
use crate::fs::poll::Ready;
use crate::fs::slab::{Key, Slab};
use crate::fs::socket::Queue;
use address::Family;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use device::Device;
use far::Connection;
use options::Options;
use outbox::Outbox;
use ports::Ports;

/// Refers to a socket.
pub type SocketKey = Key<Socket>;

/// All sockets of the internet families. Without any it takes no memory.
#[derive(Debug, Default)]
pub struct Net {
    sockets: Slab<Socket>,
    ports: Ports,
    /// The way to the rest of the world, if there is one.
    device: Option<Box<Device>>,
}

/// What a socket speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// A stream.
    Tcp,
    /// Datagrams.
    Udp,
}

/// A socket.
#[derive(Debug)]
pub struct Socket {
    protocol: Protocol,
    family: Family,
    /// Its inode, from when it has a descriptor: one that waits to be accepted has none.
    node: Option<NodeKey>,
    /// Its own address and port, once it has one.
    local: Option<SocketAddr>,
    /// The other end of a connection; where a datagram goes that names no receiver.
    remote: Option<SocketAddr>,
    state: State,
    received: Queue,
    /// Datagrams on their way to the device.
    outbox: Option<Box<Outbox>>,
    /// Nobody has it any more, but its other end has still to learn that.
    orphaned: bool,
    /// Nothing more is read, or may be sent.
    read_shut: bool,
    write_shut: bool,
    /// The other end has said that it sends no more.
    finished: bool,
    /// What the next call is told, once.
    error: Option<Errno>,
    options: Options,
    /// Groups that it has joined.
    groups: Vec<IpAddr>,
}

/// What has become of a socket. Datagrams need no connection: they stay [`State::Closed`].
#[derive(Debug)]
enum State {
    /// Not connected yet, or not any more.
    Closed,
    /// Others can connect to it.
    Listening(Box<Listener>),
    /// It waits for a place in the queue of a listener.
    Connecting(SocketKey),
    /// It is connected to a socket of the program; to none, if that has been closed.
    Connected {
        peer: Option<SocketKey>,
        /// connect(2) has said so.
        told: bool,
    },
    /// It is connected through the network device, or about to be, or was.
    Far(Box<Connection>),
}

/// Connections that nobody has accepted.
#[derive(Debug)]
struct Listener {
    /// How many may wait; one more, as on Linux.
    backlog: usize,
    /// Sockets of this side, in order.
    pending: VecDeque<SocketKey>,
    /// Sockets of the other side that found no room.
    waiting: VecDeque<SocketKey>,
}

impl Listener {
    fn is_full(&self) -> bool {
        self.pending.len() > self.backlog
    }
}

impl Socket {
    fn new(protocol: Protocol, family: Family) -> Self {
        Self {
            protocol,
            family,
            node: None,
            local: None,
            remote: None,
            state: State::Closed,
            received: Queue::default(),
            outbox: None,
            orphaned: false,
            read_shut: false,
            write_shut: false,
            finished: false,
            error: None,
            options: Options::new(protocol),
            groups: Vec::new(),
        }
    }

    /// Its inode; EBADF if it has none, which no call can name.
    fn node(&self) -> Result<NodeKey, Errno> {
        self.node.ok_or(Errno::EBADF)
    }

    fn listener(&self) -> Option<&Listener> {
        if let State::Listening(listener) = &self.state { Some(listener) } else { None }
    }

    fn listener_mut(&mut self) -> Option<&mut Listener> {
        if let State::Listening(listener) = &mut self.state { Some(listener) } else { None }
    }

    /// The socket of the program at the other end.
    fn peer(&self) -> Option<SocketKey> {
        if let State::Connected { peer, .. } = self.state { peer } else { None }
    }

    /// Whether it is a stream that is not connected, nor about to be.
    fn is_closed(&self) -> bool {
        match &self.state {
            State::Closed => self.protocol == Protocol::Tcp,
            State::Far(connection) => connection.is_over(),
            _ => false,
        }
    }

    /// Bytes of a stream that a read would find.
    fn unread(&self) -> usize {
        self.connection().map_or(self.received.length(), |connection| connection.unread())
    }

    /// An address in the form of its family.
    fn shown(&self, address: Option<SocketAddr>) -> SocketAddr {
        let address = address.unwrap_or(SocketAddr::new(self.family.any(), 0));
        self.family.shown(address)
    }
}

impl Net {
    /// socket(2), with `O_NONBLOCK` and `O_CLOEXEC` as flags: a descriptor.
    pub fn open(
        &mut self,
        files: &mut Files,
        protocol: Protocol,
        family: Family,
        flags: u32,
        now: Time,
    ) -> Result<i32, Errno> {
        let key = self.sockets.insert(Socket::new(protocol, family))?;
        self.give_descriptor(files, key, flags, now)
    }

    /// Gives a socket that has none a descriptor; it is gone if that fails.
    fn give_descriptor(&mut self, files: &mut Files, key: SocketKey, flags: u32, now: Time) -> Result<i32, Errno> {
        let foreign = Foreign { owner: Owner::Socket, handle: key.index() };
        match files.open_foreign(foreign, flags, now) {
            Ok((descriptor, node)) => {
                self.sockets[key].node = Some(node);
                self.tell(files, key, Ready::empty());
                Ok(descriptor)
            }
            Err(errno) => {
                self.close(files, key);
                Err(errno)
            }
        }
    }

    /// The socket that the files know by this handle.
    pub fn socket(&self, handle: u32) -> Result<SocketKey, Errno> {
        self.sockets.key_at(handle).ok_or(Errno::EBADF)
    }

    /// The family of a socket.
    pub fn family(&self, key: SocketKey) -> Family {
        self.sockets[key].family
    }

    /// Whether a socket is a stream.
    pub fn is_stream(&self, key: SocketKey) -> bool {
        self.sockets[key].protocol == Protocol::Tcp
    }

    /// getsockname(2).
    pub fn name(&self, key: SocketKey) -> SocketAddr {
        let socket = &self.sockets[key];
        socket.shown(socket.local)
    }

    /// getpeername(2).
    pub fn peer_name(&self, key: SocketKey) -> Result<SocketAddr, Errno> {
        let socket = &self.sockets[key];
        let connected = match &socket.state {
            State::Connected { .. } => true,
            State::Far(connection) => !connection.is_opening() && !connection.is_over(),
            _ => socket.protocol == Protocol::Udp,
        };
        let remote = socket.remote.filter(|_| connected).ok_or(Errno::ENOTCONN)?;
        Ok(socket.shown(Some(remote)))
    }

    /// `FIONREAD`: bytes that a read would find.
    pub fn received_bytes(&self, key: SocketKey) -> Result<u64, Errno> {
        let socket = &self.sockets[key];
        match socket.protocol {
            Protocol::Tcp if socket.listener().is_some() => Err(Errno::EINVAL),
            Protocol::Tcp => Ok(socket.unread() as u64),
            Protocol::Udp => Ok(socket.received.first_length() as u64),
        }
    }

    /// What a socket is ready for.
    fn ready(&self, key: SocketKey) -> Ready {
        let socket = &self.sockets[key];
        let mut ready = Ready::empty();
        if let Some(listener) = socket.listener() {
            ready.set(Ready::IN, !listener.pending.is_empty());
            return ready;
        }
        let stream = socket.protocol == Protocol::Tcp;
        let readable = if stream { socket.unread() > 0 } else { !socket.received.is_empty() };
        ready.set(Ready::HANG_UP, socket.is_closed() || (socket.read_shut && socket.write_shut));
        ready.set(Ready::IN, socket.read_shut || readable);
        ready.set(Ready::READ_HANG_UP, socket.read_shut);
        ready.set(Ready::ERROR, socket.error.is_some());
        ready.set(Ready::OUT, if stream { self.is_writable(key) } else { socket.has_room_to_send() });
        ready
    }

    /// Lets the files know what a socket is ready for, and for what something new has happened.
    fn tell(&self, files: &mut Files, key: SocketKey, news: Ready) {
        if let Some(node) = self.sockets[key].node {
            files.set_ready(node, self.ready(key), news);
        }
    }
}
