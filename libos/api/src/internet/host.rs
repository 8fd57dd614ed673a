//! State that an [`Internet`](super::Internet) shares with its sockets: the device and the sockets on it.

use super::Error;
use super::driver::Device;
use super::sockets::Sockets;
use crate::net::Link;
use crate::wait::Source;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use husk_abi::boot::Info;

/// A device with all its sockets.
#[derive(Debug)]
pub struct Host {
    device: Device,
    sockets: Sockets,
    /// True if frames may have been sent that are not published to the tender.
    unflushed: bool,
}

impl Host {
    pub fn new(link: Link, now: u64) -> Self {
        let network = *link.properties();
        let seed = seed(crate::boot::info());
        let device = Device::new(Box::new(link), &network, seed, now);
        Self { device, sockets: Sockets::new(seed), unflushed: true }
    }

    pub fn addresses(&self) -> Vec<(IpAddr, u8)> {
        let addresses = self.device.stack.interface.ip_addrs().iter();
        addresses.map(|cidr| (cidr.address().into(), cidr.prefix_len())).collect()
    }

    pub fn is_asking(&self) -> bool {
        self.device.stack.is_asking()
    }

    pub fn name_servers(&self) -> Vec<IpAddr> {
        self.device.stack.name_servers().to_vec()
    }

    /// Returns the time of the next timer, as a monotonic time in nanoseconds.
    pub fn deadline_ns(&self) -> u64 {
        self.device.stack.deadline().unwrap_or(u64::MAX)
    }

    /// Returns true if an event has occurred since the last query.
    pub fn has_news(&mut self) -> bool {
        core::mem::take(&mut self.sockets.news)
    }

    /// Returns the device as a source that can be waited for.
    pub fn source(&mut self) -> &mut dyn Source {
        self.device.wire.source()
    }

    /// Processes arrived frames and expired timers.
    pub fn work(&mut self, now: u64) {
        if self.device.is_due(now) {
            let asking = self.is_asking();
            self.device.poll(&mut self.sockets, now);
            self.sockets.news |= asking != self.is_asking();
        } else if !self.unflushed {
            return;
        }
        self.unflushed = false;
        self.device.wire.flush();
    }

    /// Lets a socket send; the frames are published with the next wait.
    pub fn flush_socket(&mut self, slot: u32, now: u64) {
        self.unflushed = true;
        self.device.poll_socket(&mut self.sockets, slot, now);
    }

    /// Starts to connect. Returns the connection's slot.
    pub fn connect(&mut self, to: SocketAddr, now: u64) -> Result<u32, Error> {
        let from = self.local_address(to.ip())?;
        let slot = self.sockets.connect(&mut self.device.stack, from, to)?;
        self.flush_socket(slot, now);
        Ok(slot)
    }

    /// Ends a connection that the program has dropped, by FIN or RST.
    pub fn orphan(&mut self, slot: u32, by_reset: bool, now: u64) {
        self.unflushed = true;
        self.device.orphan(&mut self.sockets, slot, by_reset, now);
    }

    /// Sends a datagram.
    pub fn send(&mut self, slot: u32, bytes: &[u8], to: SocketAddr, now: u64) -> Result<(), Error> {
        let from = self.local_address(to.ip())?;
        let (longest, neighbour) = (self.device.stack.limits.longest, self.device.stack.next_hop(to.ip()));
        let datagrams = self.sockets.datagrams(slot).ok_or(Error::NotYet)?;
        datagrams.send(longest, neighbour, (from, to), bytes.len(), |room| room.copy_from_slice(bytes))?;
        self.flush_socket(slot, now);
        Ok(())
    }

    /// Returns the source address of packets to `to`.
    fn local_address(&self, to: IpAddr) -> Result<IpAddr, Error> {
        let missing = || if to.is_ipv4() && self.is_asking() { Error::NotYet } else { Error::Unreachable };
        self.device.stack.source(to).ok_or_else(missing)
    }

    /// Returns true if the peers have acknowledged all sent data, and all frames have left.
    pub fn is_settled(&mut self) -> bool {
        self.sockets.are_settled() && self.device.wire.is_done()
    }

    pub fn sockets(&mut self) -> &mut Sockets {
        &mut self.sockets
    }
}

/// Returns a secret random number.
fn seed(info: &Info) -> u64 {
    info.entropy.first_chunk().map_or(0, |bytes| u64::from_ne_bytes(*bytes))
}
