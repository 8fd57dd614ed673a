//! Datagrams to the device.

use super::owner::Owner;
use super::{Net, SocketKey};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::device::Devices;
use crate::fs::ready::Ready;
use crate::fs::watch::wait;
use crate::syscall_result::SyscallResult;
use alloc::boxed::Box;
use core::net::SocketAddr;
use husk::internet::Error;
use husk::internet::datagrams::{Datagrams, QUEUE};

impl Net {
    /// Sends a datagram through the device.
    pub(super) fn send_out(
        &mut self,
        files: &mut Files,
        devices: &mut dyn Devices,
        key: SocketKey,
        bytes: Buffers<'_>,
        (from, to): (SocketAddr, SocketAddr),
        nonblocking: bool,
    ) -> SyscallResult {
        let (now, length) = (devices.monotonic_ns(), bytes.length());
        let sent = self.with_device(|net, device| {
            let socket = &mut net.sockets[key];
            let hops = match to.ip().is_multicast() {
                true => Some(socket.options.group_hops(to.is_ipv6())),
                false => socket.options.hop_limit(),
            };
            let queue = match &mut socket.tx_queue {
                Some(queue) => queue,
                none => none.insert(Box::new(Datagrams::new(from.port(), (0, 0), QUEUE)?)),
            };
            queue.set_hop_limit(hops);
            let (longest, neighbour) = (device.stack.limits.longest, device.stack.next_hop(to.ip()));
            let filled =
                queue.send(longest, neighbour, (from.ip(), to), length as usize, |room| bytes.fill(0, room))?;
            device.poll_socket(&mut Owner { net, files }, key.index(), now);
            Ok(filled)
        });
        match sent.unwrap_or(Err(Error::TooLong)) {
            Ok(filled) => Ok(filled.map(|_| length)?),
            Err(Error::NotYet) => {
                self.report_ready(files, key, Ready::empty());
                Err(if nonblocking { Errno::EAGAIN.into() } else { wait(self.sockets[key].node()?) })
            }
            Err(Error::TooLong) => Err(Errno::EMSGSIZE.into()),
            Err(Error::NoMemory) => Err(Errno::ENOMEM.into()),
            Err(_) => Err(Errno::EINVAL.into()),
        }
    }
}
