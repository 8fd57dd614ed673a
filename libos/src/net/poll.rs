//! Polling of the device: by calls on sockets, by calls that wait for files, and when no thread can run.

use super::Net;
use super::owner::Owner;
use crate::fs::Files;
use crate::fs::device::Devices;
use alloc::boxed::Box;
use core::net::IpAddr;
use husk::abi::device::Network;
use husk::internet::driver::Device;
use husk::internet::wire::Wire;

impl Net {
    /// Takes the program's network device into use; `name` is its name in the image.
    pub fn attach(&mut self, name: &'static [u8], wire: Box<dyn Wire>, network: &Network, devices: &mut dyn Devices) {
        let mut seed = [0; 8];
        devices.random(&mut seed);
        // The device is taken out of here while it admits clients.
        self.is_published = wire.is_published();
        let device = Device::new(wire, network, u64::from_ne_bytes(seed), devices.monotonic_ns());
        (self.device, self.device_name) = (Some(Box::new(device)), name);
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
        self.device.as_mut().is_some_and(|device| device.is_due(now))
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
        self.with_device(|net, device| {
            device.poll(&mut Owner { net, files }, now);
            if let Some(text) = device.stack.resolver() {
                // A program that has replaced this file by something else does not need the resolver's text.
                let _ = files.set_resolver(text);
            }
        });
    }

    /// Runs `work` with the device, then flushes the frames that it has sent.
    pub(super) fn with_device<T>(&mut self, work: impl FnOnce(&mut Self, &mut Device) -> T) -> Option<T> {
        let mut device = self.device.take()?;
        let result = work(self, &mut device);
        device.wire.flush();
        self.device = Some(device);
        Some(result)
    }
}
