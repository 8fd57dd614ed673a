//! Datagrams of one port: a smoltcp socket in a set of its own. Most datagrams leave at once; the others wait for the hardware
//! address of their receiver, or for room in the device.

use super::stack::{AGAIN, Stack};
use super::wire::Sender;
use super::{Error, buffer};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, SocketAddr};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::phy::PacketMeta;
use smoltcp::socket::udp;

/// Most datagrams that wait in a queue, and most bytes of them.
pub const QUEUE: (usize, usize) = (64, 128 << 10);
/// Bytes of the headers of a datagram: Ethernet, IPv4 or IPv6, UDP.
const HEADERS: usize = 14 + 20 + 8;
const HEADERS_V6: usize = 14 + 40 + 8;

/// Queues of a socket for datagrams.
pub struct Datagrams {
    set: SocketSet<'static>,
    handle: SocketHandle,
    /// Time of the timer, in nanoseconds; `u64::MAX` for none.
    alarm: u64,
    /// True if the program has found the send queue full.
    full: bool,
    /// True if the socket is in the stack's list `stalled`.
    stalled: bool,
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams").field("full", &self.full).finish_non_exhaustive()
    }
}

/// Returns a queue for this number of datagrams, and this number of bytes of them.
fn queue((count, length): (usize, usize)) -> Result<udp::PacketBuffer<'static>, Error> {
    let mut entries = Vec::new();
    entries.try_reserve_exact(count).map_err(|_| Error::NoMemory)?;
    entries.resize(count, udp::PacketMetadata::EMPTY);
    Ok(udp::PacketBuffer::new(entries, buffer(length)?))
}

impl Datagrams {
    /// Returns a socket at a port, with queues of this number of datagrams and bytes.
    pub fn new(port: u16, receive: (usize, usize), send: (usize, usize)) -> Result<Self, Error> {
        let mut socket = udp::Socket::new(queue(receive)?, queue(send)?);
        socket.bind(port).map_err(|_| Error::PortTaken)?;
        let mut set = SocketSet::new(vec![]);
        let handle = set.add(socket);
        Ok(Self { set, handle, alarm: u64::MAX, full: false, stalled: false })
    }

    /// Returns the stack's socket.
    pub fn udp(&mut self) -> &mut udp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// Returns true if the program has found the send queue full, and there has been no room since.
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// Queues a datagram of `length` bytes that `fill` writes, in a frame of at most `longest` bytes. Returns the result of
    /// `fill`; [`Error::NotYet`] without room.
    pub fn send<T>(
        &mut self,
        longest: usize,
        (from, to): (IpAddr, SocketAddr),
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<T, Error> {
        if length + if to.is_ipv4() { HEADERS } else { HEADERS_V6 } > longest {
            return Err(Error::TooLong);
        }
        let local_address = Some(from.into());
        let meta = udp::UdpMetadata { endpoint: to.into(), local_address, meta: PacketMeta::default() };
        match self.udp().send(length, meta) {
            Ok(room) => Ok(fill(room)),
            Err(udp::SendError::Unaddressable) => Err(Error::Unreachable),
            Err(udp::SendError::BufferFull) => {
                self.full = true;
                Err(Error::NotYet)
            }
        }
    }

    /// Processes a frame for this port.
    pub fn take(&mut self, stack: &mut Stack, frame: &[u8], sender: &mut dyn Sender, now: u64) {
        stack.take(frame, sender, Some(&mut self.set), now);
    }

    /// Sends the datagrams that can leave, and schedules a retry as socket `slot` for the others. Returns true if there is room
    /// again after an attempt that found none.
    pub(super) fn poll(&mut self, stack: &mut Stack, sender: &mut dyn Sender, slot: u32, now: u64) -> bool {
        if self.alarm <= now {
            self.alarm = u64::MAX;
        }
        let (_, at) = stack.send(sender, &mut self.set, now);
        if self.udp().send_queue() == 0 {
            return core::mem::take(&mut self.full);
        }
        self.alarm = stack.schedule(slot, self.alarm, at.map(|at| at.max(now + AGAIN)));
        stack.stall(slot, &mut self.stalled);
        false
    }

    /// Records that the socket has left the list `stalled`.
    pub(super) const fn unstall(&mut self) {
        self.stalled = false;
    }
}
