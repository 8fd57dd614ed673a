//! Sockets of the internet families, `AF_INET` and `AF_INET6`: TCP and UDP; and of `AF_NETLINK`, which describe interfaces
//! (`routes`).
//!
//! Traffic to the program itself (127.0.0.1, ::1, its own addresses) takes no network stack: a connection is two sockets, each
//! with a queue of received and unread data, and a send appends to the queue of the other socket, as for `AF_UNIX`. Such a
//! connection has no packets and no timers, loses nothing, and takes only the memory of its contents. All other addresses are
//! behind the network device ([`husk::internet`]): there smoltcp speaks TCP/IP.
//!
//! Descriptors, flags and waiting belong to the files ([`crate::fs::file`]). Addresses are kept in *canonical* form, in
//! which an IPv4 address is never written as an IPv6 one, and converted to the form of a socket's family on the way out.

pub mod address;
mod connect;
mod control;
mod datagram;
mod destinations;
mod drain;
mod failures;
mod groups;
mod info;
pub mod interface;
mod known;
mod links;
mod messages;
mod neighbours;
mod options;
mod owner;
mod poll;
mod ports;
mod remote;
mod remote_io;
mod routes;
mod segments;
mod shutdown;
pub mod sockopt;
mod stream;
#[cfg(test)]
mod tests;
mod texts;
mod udp_tx;

pub use crate::fs::handle::SocketKey;
pub use known::numbers::UDP_SEGMENT;

use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::handle::{Internet, NodeKey};
use crate::fs::inode::Time;
use crate::fs::ready::Ready;
use crate::fs::slab::Slab;
use crate::fs::socket::queue::Queue;
use address::Family;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use failures::Failures;
use husk::internet::connection::Connection;
use husk::internet::datagrams::Datagrams;
use husk::internet::driver::Device;
use options::Options;
use ports::Ports;

/// Sockets of the internet families; takes no memory without sockets.
#[derive(Debug, Default)]
pub struct Net {
    sockets: Slab<Socket, Internet>,
    ports: Ports,
    /// The network device, if there is one.
    device: Option<Box<Device>>,
    /// Its name in the image.
    device_name: &'static [u8],
    /// True if clients from outside reach published ports only.
    is_published: bool,
}

/// Transport protocol of a socket.
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
    /// Inode, from when the socket has a descriptor: a socket that waits to be accepted has none.
    node: Option<NodeKey>,
    /// Own address and port, once there is one.
    local: Option<SocketAddr>,
    /// The other end of a connection; for datagrams, the default destination.
    remote: Option<SocketAddr>,
    state: State,
    received: Queue,
    /// Datagrams on their way to the device.
    tx_queue: Option<Box<Datagrams>>,
    /// True if no more is read (`read_shut`) or sent (`write_shut`).
    read_shut: bool,
    write_shut: bool,
    /// True if the peer has sent its FIN, or what corresponds to it within the program.
    finished: bool,
    /// Error that the next call returns, once.
    error: Option<Errno>,
    options: Options,
    /// Errors of datagrams that the program has asked for (`IP_RECVERR`).
    failures: Option<Box<Failures>>,
    /// Multicast groups that the socket has joined.
    groups: Vec<IpAddr>,
}

/// Connection state of a socket. Datagrams need no connection: they stay [`State::Closed`].
#[derive(Debug)]
enum State {
    /// Not connected, or no longer.
    Closed,
    /// Accepts connections.
    Listening(Box<Listener>),
    /// Waits for a place in the queue of a listener.
    Connecting(SocketKey),
    /// Connected to a socket of the program; `peer` is `None` if that has been closed.
    Connected {
        peer: Option<SocketKey>,
        /// connect(2) has reported success.
        reported: bool,
    },
    /// Connection through the network device: being opened, open, or over.
    Remote {
        connection: Box<Connection>,
        /// connect(2) has reported success.
        reported: bool,
    },
}

/// Connections to accept.
#[derive(Debug)]
struct Listener {
    /// Backlog of listen(2); `pending` may hold one more, as on Linux.
    backlog: usize,
    /// Server-side sockets, ready for accept(2), in order.
    pending: VecDeque<SocketKey>,
    /// Client-side sockets that found no room in `pending`.
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
            tx_queue: None,
            read_shut: false,
            write_shut: false,
            finished: false,
            error: None,
            failures: None,
            options: Options::new(protocol),
            groups: Vec::new(),
        }
    }

    /// Inode of the socket; EBADF if there is none, which no call can name.
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

    /// Returns true if the socket is a stream that is neither connected nor connecting.
    fn is_closed(&self) -> bool {
        match &self.state {
            State::Closed => self.protocol == Protocol::Tcp,
            State::Remote { connection, .. } => connection.is_over(),
            _ => false,
        }
    }

    /// Bytes of a stream that a read would find.
    fn unread(&self) -> usize {
        self.connection().map_or(self.received.length(), |connection| connection.unread())
    }

    /// Bytes of a stream that the peer has not acknowledged.
    fn unsent(&self) -> usize {
        self.connection().map_or(0, |connection| connection.tcp_ref().send_queue())
    }

    /// Returns an address in the form of the socket's family.
    fn shown(&self, address: Option<SocketAddr>) -> SocketAddr {
        let address = address.unwrap_or(SocketAddr::new(self.family.any(), 0));
        self.family.shown(address)
    }
}

impl Net {
    /// socket(2), with `O_NONBLOCK` and `O_CLOEXEC` as flags: returns a descriptor.
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

    /// Gives a socket without a descriptor one; closes the socket if that fails.
    fn give_descriptor(&mut self, files: &mut Files, key: SocketKey, flags: u32, now: Time) -> Result<i32, Errno> {
        match files.open_internet(key, flags, now) {
            Ok((descriptor, node)) => {
                self.sockets[key].node = Some(node);
                self.report_ready(files, key, Ready::empty());
                Ok(descriptor)
            }
            Err(errno) => {
                self.close(files, key);
                Err(errno)
            }
        }
    }

    /// The family of a socket.
    pub fn family(&self, key: SocketKey) -> Family {
        self.sockets[key].family
    }

    /// Returns true if a socket is a stream.
    pub fn is_stream(&self, key: SocketKey) -> bool {
        self.sockets[key].protocol == Protocol::Tcp
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

    /// Events that a socket is ready for.
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
        ready.set(Ready::ERROR, socket.error.is_some() || socket.failures.is_some());
        ready.set(
            Ready::OUT,
            if stream { self.is_writable(key) } else { socket.tx_queue.as_ref().is_none_or(|queue| !queue.is_full()) },
        );
        ready
    }

    /// Reports to the files what a socket is ready for, and for which events there is news.
    fn report_ready(&self, files: &mut Files, key: SocketKey, news: Ready) {
        if let Some(node) = self.sockets[key].node {
            files.set_ready(node, self.ready(key), news);
        }
    }
}
