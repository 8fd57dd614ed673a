//! UDP sockets.

use super::host::Host;
use super::socket::Datagrams;
use super::{Error, buffer};
use crate::clock;
use alloc::rc::Rc;
use alloc::vec;
use core::cell::RefCell;
use core::net::SocketAddr;
use smoltcp::iface::SocketSet;
use smoltcp::phy::PacketMeta;
use smoltcp::socket::udp;

/// Most queued datagrams in each direction, and most bytes of them.
const DATAGRAMS: usize = 64;
const BYTES: usize = 128 << 10;
/// Bytes of the headers of a datagram: Ethernet, IPv4 or IPv6, UDP.
const HEADERS: usize = 14 + 20 + 8;
const HEADERS_V6: usize = 14 + 40 + 8;

/// A port for datagrams. A datagram that finds no room is lost, as it may be anywhere on its way.
#[derive(Debug)]
pub struct UdpSocket {
    host: Rc<RefCell<Host>>,
    slot: usize,
    port: u16,
}

impl UdpSocket {
    pub(super) fn new(host: &Rc<RefCell<Host>>, port: u16) -> Result<Self, Error> {
        let (slot, port) = host.borrow_mut().sockets().bind(port, make)?;
        Ok(Self { host: Rc::clone(host), slot, port })
    }

    /// Returns the socket's port.
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// Receives a datagram. Returns the number of bytes stored in `into` (the rest of a longer datagram is lost) and its
    /// sender.
    pub fn receive_from(&self, into: &mut [u8]) -> Result<(usize, SocketAddr), Error> {
        let mut host = self.host.borrow_mut();
        let udp = host.sockets().datagrams(self.slot).ok_or(Error::NotYet)?.udp();
        let (bytes, meta) = udp.recv().map_err(|_| Error::NotYet)?;
        let count = bytes.len().min(into.len());
        into[..count].copy_from_slice(&bytes[..count]);
        Ok((count, meta.endpoint.into()))
    }

    /// Sends a datagram; it is published with the next wait.
    pub fn send_to(&self, bytes: &[u8], to: SocketAddr) -> Result<(), Error> {
        let mut host = self.host.borrow_mut();
        let sockets = host.sockets();
        let source = sockets.source(to.ip())?;
        if bytes.len() + if to.is_ipv4() { HEADERS } else { HEADERS_V6 } > sockets.stack.limits.longest {
            return Err(Error::TooLong);
        }
        let datagrams = sockets.datagrams(self.slot).ok_or(Error::NotYet)?;
        let local_address = Some(source.into());
        let meta = udp::UdpMetadata { endpoint: to.into(), local_address, meta: PacketMeta::default() };
        match datagrams.udp().send_slice(bytes, meta) {
            Ok(()) => {}
            Err(udp::SendError::Unaddressable) => return Err(Error::Unreachable),
            Err(udp::SendError::BufferFull) => {
                datagrams.await_room();
                return Err(Error::NotYet);
            }
        }
        host.flush_socket(self.slot, clock::monotonic_ns());
        Ok(())
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.host.borrow_mut().sockets().unbind(self.slot, self.port);
    }
}

/// Returns the stack's socket for a port.
fn make(port: u16) -> Result<Datagrams, Error> {
    let room = || Ok(udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; DATAGRAMS], buffer(BYTES)?));
    let mut socket = udp::Socket::new(room()?, room()?);
    socket.bind(port).map_err(|_| Error::PortTaken)?;
    let mut set = SocketSet::new(vec![]);
    let handle = set.add(socket);
    Ok(Datagrams::new(set, handle))
}
