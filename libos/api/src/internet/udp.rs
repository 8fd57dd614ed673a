//! UDP sockets.

use super::Error;
use super::host::Host;
use crate::clock;
use alloc::rc::Rc;
use core::cell::RefCell;
use core::net::SocketAddr;

/// A port for datagrams. A datagram that finds no room is lost, as it may be anywhere on its way.
#[derive(Debug)]
pub struct UdpSocket {
    host: Rc<RefCell<Host>>,
    slot: u32,
    port: u16,
}

impl UdpSocket {
    pub(super) fn new(host: &Rc<RefCell<Host>>, port: u16) -> Result<Self, Error> {
        let (slot, port) = host.borrow_mut().sockets().bind(port)?;
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
        self.host.borrow_mut().send(self.slot, bytes, to, clock::monotonic_ns())
    }
}

impl Drop for UdpSocket {
    fn drop(&mut self) {
        self.host.borrow_mut().sockets().unbind(self.slot, self.port);
    }
}
