//! Polling of the device: by calls on sockets, by calls that wait for files, and when no thread can run.

use super::device::{Device, Stack};
use super::udp_tx;
use super::{Net, Socket, SocketKey};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::device::Devices;
use crate::fs::ready::Ready;
use crate::fs::socket::address::Arrival;
use alloc::boxed::Box;
use alloc::vec;
use core::net::{IpAddr, SocketAddr};
use husk::abi::device::Network;
use husk::internet::frame::{self, Carried};
use husk::internet::wire::{Sender, Wire};
use smoltcp::iface::SocketSet;
use smoltcp::socket::udp;

/// Most frames handled per poll.
const BATCH: usize = 256;

impl Net {
    /// Takes the program's network device into use; `name` is its name in the image.
    pub fn attach(&mut self, name: &'static [u8], wire: Box<dyn Wire>, network: &Network, devices: &mut dyn Devices) {
        let mut seed = [0; 8];
        devices.random(&mut seed);
        let device = Device::new(name, wire, network, u64::from_ne_bytes(seed), devices.monotonic_ns());
        self.device = Some(Box::new(device));
    }

    /// Returns true if there is a network device.
    #[inline]
    pub fn has_device(&self) -> bool {
        self.device.is_some()
    }

    /// The network device, if there is one.
    pub fn device(&mut self) -> Option<&mut Device> {
        self.device.as_deref_mut()
    }

    /// Returns true if something may still arrive from outside: there is a device, and a socket to receive it.
    pub fn expects(&self) -> bool {
        self.device.is_some() && !self.sockets.is_empty()
    }

    /// Returns true if the device or a timer of the stack is due.
    pub fn is_due(&mut self, now: u64) -> bool {
        self.device
            .as_mut()
            .is_some_and(|device| device.wire.is_ready() || device.deadline().is_some_and(|at| at <= now))
    }

    /// Returns true while the network has been asked for an address (DHCP, SLAAC) and has not answered.
    pub fn is_asking(&self) -> bool {
        self.device.as_ref().is_some_and(|device| device.stack.is_asking())
    }

    /// Returns true while an address from which packets can go to `to` has been requested, without an answer yet.
    pub fn awaits(&self, to: IpAddr) -> bool {
        self.device.as_ref().is_some_and(|device| device.stack.awaits(to))
    }

    /// Takes frames that have arrived, and runs the timers that are due.
    pub fn poll(&mut self, files: &mut Files, devices: &mut dyn Devices) {
        let now = devices.monotonic_ns();
        if !self.is_due(now) {
            return;
        }
        let Some(mut device) = self.device.take() else { return };
        let Device { wire, stack, .. } = &mut *device;
        let mut touched = None;
        for _ in 0..BATCH {
            let mut next = None;
            let more = wire.receive(&mut |frame, sender| next = self.arrive(files, stack, sender, frame, now));
            // A connection answers once the next frame is not for it, so that a run of segments gets one answer.
            if let Some(key) = touched.filter(|key| Some(*key) != next) {
                self.poll_socket(files, stack, wire.sender(), key, now, false);
            }
            touched = next;
            if !more {
                break;
            }
        }
        if let Some(key) = touched {
            self.poll_socket(files, stack, wire.sender(), key, now, false);
        }
        while let Some(alarm) = stack.due(wire.sender(), now) {
            self.woken(files, stack, wire.sender(), alarm, now);
        }
        if !stack.stalled.is_empty() && wire.sender().has_room() {
            self.unstall(files, stack, wire.sender(), now);
        }
        if let Some(text) = stack.resolver() {
            // A program that has replaced this file by something else does not need the resolver's text.
            let _ = files.set_resolver(text);
        }
        wire.flush();
        self.device = Some(device);
    }

    /// Takes a frame. Returns the connection that it was for.
    fn arrive(
        &mut self,
        files: &mut Files,
        stack: &mut Stack,
        sender: &mut dyn Sender,
        frame: &[u8],
        now: u64,
    ) -> Option<SocketKey> {
        match frame::look(frame) {
            Carried::Segment { to, from, opens } => {
                let known = stack.connections.get(&(to, from)).copied();
                let key = match known {
                    None if opens => match self.open_for(files, stack, to, from) {
                        // The peer retransmits.
                        Err(Errno::EAGAIN | Errno::ENOMEM) => return None,
                        opened => opened.ok(),
                    },
                    known => known,
                };
                let connection = key.and_then(|key| self.sockets.get_mut(key)).and_then(Socket::connection_mut);
                match connection {
                    Some(connection) => connection.take(stack, frame, sender, now),
                    None => stack.take(frame, sender, None, now),
                }
                key
            }
            Carried::Datagram { to, .. } if stack.is_for_interface(to) => {
                stack.take_for_interface(frame, sender, now);
                None
            }
            Carried::Datagram { to, from } => {
                match self.receiver_at(to, from) {
                    Some(receiver) => {
                        // A datagram that finds no memory is dropped: there is no caller to return the error to.
                        let _ = self.take_datagram(files, stack, sender, frame, receiver, to, now);
                    }
                    None => stack.take(frame, sender, None, now),
                }
                None
            }
            Carried::Refusal { here, there } => {
                let refused = self.receiver_at(here, there);
                if let Some(key) = refused.filter(|key| self.sockets[*key].remote == Some(there)) {
                    self.sockets[key].error = Some(Errno::ECONNREFUSED);
                    self.report_ready(files, key, Ready::ERROR);
                }
                None
            }
            Carried::Other => {
                stack.take(frame, sender, None, now);
                // The frame may have brought a hardware address (ARP, NDP).
                if !stack.stalled.is_empty() {
                    self.unstall(files, stack, sender, now);
                }
                None
            }
        }
    }

    /// Lets the stack check a datagram, and puts it into the queue of its receiver.
    #[expect(clippy::too_many_arguments, reason = "a frame, and all that it meets")]
    fn take_datagram(
        &mut self,
        files: &mut Files,
        stack: &mut Stack,
        sender: &mut dyn Sender,
        frame: &[u8],
        receiver: SocketKey,
        to: SocketAddr,
        now: u64,
    ) -> Result<(), Errno> {
        let mut socket = udp::Socket::new(udp_tx::room(1, frame.len())?, udp_tx::room(0, 0)?);
        socket.bind(to.port()).map_err(|_| Errno::EINVAL)?;
        let mut set = SocketSet::new(vec![]);
        let handle = set.add(socket);
        stack.take(frame, sender, Some(&mut set), now);
        match set.get_mut::<udp::Socket<'_>>(handle).recv() {
            Ok((bytes, meta)) => {
                let (bytes, from, class) = (Buffers::own(bytes), meta.endpoint.into(), frame::class(frame));
                match to.ip().is_multicast() {
                    true => self.deliver_to_group(files, bytes, (from, to), class),
                    false => self.deliver(files, receiver, bytes, from, Arrival { to: to.ip(), class }),
                }
            }
            Err(_) => Ok(()),
        }
    }
}
