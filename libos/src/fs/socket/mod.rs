//! Sockets between threads of the program: `AF_UNIX`.
//!
//! Each socket keeps what it has received; a send appends to the queue of another socket. Sockets refer to each other without
//! references that count: a socket that is gone is not found any more. A connection has two sockets, of which the server's
//! exists as soon as the client connects, and waits in the listener's queue to be accepted.

pub mod address;
mod calls;
mod connect;
pub mod name;
mod named;
pub mod options;
mod peers;
pub mod queue;
pub mod transfer;

use super::handle::{NodeKey, SocketKey};
use crate::errno::Errno;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use linux_raw_sys::net;
use name::Name;
use options::Options;
use queue::{CAPACITY, MESSAGES_MAXIMUM, Queue};

/// A socket of any family.
#[derive(Clone, Copy, Debug)]
pub enum AnySocket {
    /// One of `AF_UNIX`.
    Unix(NodeKey),
    /// One of `AF_INET`, `AF_INET6` or `AF_NETLINK`.
    Internet(SocketKey),
}

/// Way in which a socket sends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Bytes, to the peer.
    Stream,
    /// Messages, to any socket.
    Datagram,
    /// Messages, to the peer.
    Packet,
}

impl Style {
    /// The style of a `SOCK_*` number, without flags.
    pub fn from_raw(number: u32) -> Result<Self, Errno> {
        match number {
            net::SOCK_STREAM => Ok(Self::Stream),
            net::SOCK_DGRAM | net::SOCK_RAW => Ok(Self::Datagram),
            net::SOCK_SEQPACKET => Ok(Self::Packet),
            // `SOCK_MAX` of Linux.
            11.. => Err(Errno::EINVAL),
            _ => Err(Errno::ESOCKTNOSUPPORT),
        }
    }

    /// `SOCK_*` number of the style.
    pub fn number(self) -> u32 {
        match self {
            Self::Stream => net::SOCK_STREAM,
            Self::Datagram => net::SOCK_DGRAM,
            Self::Packet => net::SOCK_SEQPACKET,
        }
    }
}

/// Reference to a socket that may be gone: its inode, and the inode's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reference {
    node: NodeKey,
    number: u64,
}

/// Connections to accept.
#[derive(Debug)]
struct Listener {
    /// Backlog of listen(2); `pending` may hold one more, as on Linux.
    backlog: usize,
    /// Server-side sockets; counted.
    pending: VecDeque<NodeKey>,
}

/// A socket.
#[derive(Debug)]
pub struct Socket {
    style: Style,
    name: Option<Name>,
    /// The other end of a connection; for datagrams, the default destination.
    peer: Option<Reference>,
    peer_name: Option<Name>,
    /// User and group of the peer (`SO_PEERCRED`), those that it had when the sockets were connected; of a listener, its own.
    credentials: Option<(u32, u32)>,
    listener: Option<Listener>,
    received: Queue,
    /// True if no more is received (`read_shut`) or sent (`write_shut`).
    read_shut: bool,
    write_shut: bool,
    /// Error that the next call returns, once.
    error: Option<Errno>,
    options: Options,
    /// Sockets that found no room here for a datagram.
    turned_away: Vec<Reference>,
}

impl Socket {
    fn new(style: Style) -> Self {
        Self {
            style,
            name: None,
            peer: None,
            peer_name: None,
            credentials: None,
            listener: None,
            received: Queue::default(),
            read_shut: false,
            write_shut: false,
            error: None,
            options: Options::default(),
            turned_away: Vec::new(),
        }
    }

    /// Number of bytes that a read would find.
    pub fn received_bytes(&self) -> u64 {
        match self.style {
            Style::Stream | Style::Packet => self.received.length() as u64,
            Style::Datagram => self.received.first_length() as u64,
        }
    }

    /// Returns true if the socket takes no more messages.
    fn is_full(&self) -> bool {
        self.received.length() >= CAPACITY || (self.style != Style::Stream && self.received.count() >= MESSAGES_MAXIMUM)
    }

    /// Returns true if so little is queued that poll(2) reports other sockets as able to send here.
    fn is_roomy(&self) -> bool {
        self.received.length() * 4 <= CAPACITY && !self.is_full()
    }

    /// Returns true if the socket has, or has had, a peer.
    fn is_connected(&self) -> bool {
        self.style != Style::Datagram && self.peer.is_some()
    }
}
