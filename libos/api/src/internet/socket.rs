//! What a socket is: a connection, or a port for datagrams.

use super::Error;
use super::connection::Connection;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::udp;

/// One socket.
#[derive(Debug)]
pub enum Socket {
    Stream(Stream),
    Datagrams(Datagrams),
}

/// A connection.
#[derive(Debug)]
pub struct Stream {
    pub connection: Connection,
    /// Port of the listener that it will belong to, while it is being opened by the other side.
    pub listener: Option<u16>,
    /// The program has said that it sends no more.
    pub finished: bool,
    /// The program has it no more.
    pub orphaned: bool,
    /// Why it has ended.
    pub error: Option<Error>,
}

/// A socket of datagrams.
pub struct Datagrams {
    pub set: SocketSet<'static>,
    handle: SocketHandle,
    pub alarm: u64,
    /// The program has found no room.
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

    /// The stack's socket.
    pub fn udp(&mut self) -> &mut udp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// The program is to be told when there is room.
    pub fn await_room(&mut self) {
        self.full = true;
    }
}
