//! Datagrams to the device.

use super::owner::Owner;
use super::segments::{Dispatch, parts};
use super::{Net, SocketKey};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::device::Devices;
use crate::fs::ready::Ready;
use crate::fs::watch::wait;
use crate::syscall_result::SyscallResult;
use alloc::boxed::Box;
use husk::internet::Error;
use husk::internet::datagrams::{Datagrams, QUEUE};

impl Net {
    /// Sends a datagram through the device, or several of the length `segment`.
    pub(super) fn send_out(
        &mut self,
        files: &mut Files,
        devices: &mut dyn Devices,
        key: SocketKey,
        bytes: Buffers<'_>,
        Dispatch { from, to, segment, marks, nonblocking }: Dispatch,
    ) -> SyscallResult {
        let (now, length) = (devices.monotonic_ns(), bytes.length());
        let sent = self.with_device(|net, device| {
            let socket = &mut net.sockets[key];
            let queue = match &mut socket.tx_queue {
                Some(queue) => queue,
                none => none.insert(Box::new(Datagrams::new(from.port(), (0, 0), QUEUE)?)),
            };
            queue.set_marks(marks);
            let (longest, neighbour) = (device.stack.limits.longest, device.stack.next_hop(to.ip()));
            if segment.is_some() && queue.is_backed_up() {
                return Err(Error::NotYet);
            }
            let mut filled = Ok(0);
            for (at, (part, length)) in parts(bytes, segment).enumerate() {
                match queue.send(longest, neighbour, (from.ip(), to), length, |room| part.fill(0, room)) {
                    Ok(done) => filled = filled.and(done),
                    Err(error) if at == 0 => return Err(error),
                    // Datagrams without room behind others are lost, as anywhere on the way.
                    Err(_) => break,
                }
            }
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
