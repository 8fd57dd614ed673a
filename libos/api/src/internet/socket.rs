//! Sockets: connections, and ports for datagrams.

use super::Error;
use super::connection::Connection;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp;

/// A socket.
#[derive(Debug)]
pub enum Socket {
    Stream(Stream),
    Datagrams(Datagrams),
}

/// A connection.
#[derive(Debug)]
pub struct Stream {
    pub connection: Connection,
    /// Port of the listener that will own the connection, while the peer opens it.
    pub listener: Option<u16>,
    /// True after the program has closed the sending direction.
    pub finished: bool,
    /// True after the program has dropped the connection.
    pub orphaned: bool,
    /// Reason for the connection's end.
    pub error: Option<Error>,
}

/// A socket of datagrams.
pub struct Datagrams {
    pub set: SocketSet<'static>,
    handle: SocketHandle,
    pub alarm: u64,
    /// True if the program has found the send buffer full.
    pub full: bool,
}

impl core::fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Datagrams").field("full", &self.full).finish_non_exhaustive()
    }
}

impl Datagrams {
    pub fn new(set: SocketSet<'static>, handle: SocketHandle) -> Self {
        Self { set, handle, alarm: u64::MAX, full: false }
    }

    /// Returns the stack's socket.
    pub fn udp(&mut self) -> &mut udp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// Requests a notification when the send buffer has room.
    pub fn await_room(&mut self) {
        self.full = true;
    }
}
