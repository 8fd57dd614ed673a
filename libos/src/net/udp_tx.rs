//! Datagrams on their way to the device. Most leave at once; the others wait for the hardware address of their receiver, or for
//! room in the device.

use super::device::Stack;
use super::{Net, Socket, SocketKey};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::device::Devices;
use crate::fs::ready::Ready;
use crate::fs::watch::wait;
use crate::syscall_result::{Stop, SyscallResult};
use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::SocketAddr;
use husk::internet::stack::AGAIN;
use husk::internet::wire::Sender;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::phy::PacketMeta;
use smoltcp::socket::udp;

/// Most datagrams that wait per socket, and most bytes of them.
const DATAGRAMS: usize = 64;
const BYTES: usize = 128 << 10;

/// Unsent datagrams of a socket.
pub(super) struct TxQueue {
    set: SocketSet<'static>,
    handle: SocketHandle,
    alarm: u64,
    /// A send has found no room.
    full: bool,
}

impl fmt::Debug for TxQueue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox").field("full", &self.full).finish_non_exhaustive()
    }
}

/// Returns room for `count` datagrams of `length` bytes altogether.
pub(super) fn room(count: usize, length: usize) -> Result<udp::PacketBuffer<'static>, Errno> {
    let (mut entries, mut bytes) = (Vec::new(), Vec::new());
    entries.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
    entries.resize(count, udp::PacketMetadata::EMPTY);
    bytes.resize(length, 0);
    Ok(udp::PacketBuffer::new(entries, bytes))
}

impl TxQueue {
    fn new(port: u16) -> Result<Self, Errno> {
        let mut socket = udp::Socket::new(room(0, 0)?, room(DATAGRAMS, BYTES)?);
        socket.bind(port).map_err(|_| Errno::EINVAL)?;
        let mut set = SocketSet::new(vec![]);
        let handle = set.add(socket);
        Ok(Self { set, handle, alarm: u64::MAX, full: false })
    }
}

impl Socket {
    /// Returns true if a datagram would find room.
    pub(super) fn has_room_to_send(&self) -> bool {
        self.tx_queue.as_ref().is_none_or(|tx_queue| !tx_queue.full)
    }
}

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
        let headers = if to.is_ipv4() { 14 + 20 + 8 } else { 14 + 40 + 8 };
        let longest = self.device.as_ref().map_or(0, |device| device.stack.limits.longest);
        let length = bytes.length() as usize;
        if length + headers > longest {
            return Err(Errno::EMSGSIZE.into());
        }
        let options = &self.sockets[key].options;
        let hops = match to.ip().is_multicast() {
            true => Some(options.group_hops(to.is_ipv6())),
            false => options.hop_limit(),
        };
        let socket = &mut self.sockets[key];
        let node = socket.node()?;
        if socket.tx_queue.is_none() {
            socket.tx_queue = Some(Box::new(TxQueue::new(from.port())?));
        }
        let Some(tx_queue) = socket.tx_queue.as_deref_mut() else { return Err(Errno::ENOMEM.into()) };
        let udp = tx_queue.set.get_mut::<udp::Socket<'_>>(tx_queue.handle);
        udp.set_hop_limit(hops);
        let meta = udp::UdpMetadata {
            endpoint: to.into(),
            local_address: Some(from.ip().into()),
            meta: PacketMeta::default(),
        };
        match udp.send(length, meta) {
            Ok(room) => bytes.fill(0, room).map(|_| ())?,
            Err(udp::SendError::Unaddressable) => return Err(Errno::EINVAL.into()),
            Err(udp::SendError::BufferFull) => {
                tx_queue.full = true;
                self.report_ready(files, key, Ready::empty());
                let stop: Stop = if nonblocking { Errno::EAGAIN.into() } else { wait(node) };
                return Err(stop);
            }
        }
        let now = devices.monotonic_ns();
        self.with_device(|net, stack, sender| net.poll_tx_queue(files, stack, sender, key, now));
        Ok(length as u64)
    }

    /// Sends the datagrams that can leave, and schedules a retry for the others.
    pub(super) fn poll_tx_queue(
        &mut self,
        files: &mut Files,
        stack: &mut Stack,
        sender: &mut dyn Sender,
        key: SocketKey,
        now: u64,
    ) {
        let Some(tx_queue) = self.sockets[key].tx_queue.as_deref_mut() else { return };
        if tx_queue.alarm <= now {
            tx_queue.alarm = u64::MAX;
        }
        let (_, at) = stack.send(sender, &mut tx_queue.set, now);
        let waiting = tx_queue.set.get::<udp::Socket<'_>>(tx_queue.handle).send_queue() > 0;
        if waiting {
            let at = at.map(|at| at.max(now + AGAIN));
            tx_queue.alarm = stack.schedule(key.index(), tx_queue.alarm, at);
            if !stack.stalled.contains(&key) && stack.stalled.try_reserve(1).is_ok() {
                stack.stalled.push(key);
            }
        } else if core::mem::take(&mut tx_queue.full) {
            self.report_ready(files, key, Ready::OUT);
        }
    }
}
