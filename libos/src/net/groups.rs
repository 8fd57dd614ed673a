//! Multicast groups. A datagram to a group reaches its members in the program, and those behind the network device. There is
//! one device, so the interface by which a socket joins makes no difference.

use super::segments::Dispatch;
use super::{Net, Protocol, Socket, SocketKey};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::device::Devices;
use crate::fs::socket::address::Arrival;
use crate::syscall_result::SyscallResult;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};

/// Most groups of one socket; Linux's default.
const MAXIMUM: usize = 20;

impl Net {
    /// `IP_ADD_MEMBERSHIP` and `IPV6_ADD_MEMBERSHIP`, by the interface with this address, or any.
    pub(super) fn join_group(&mut self, key: SocketKey, group: IpAddr, interface: Option<IpAddr>) -> Result<(), Errno> {
        if interface.is_some_and(|interface| !self.is_local(interface)) {
            return Err(Errno::ENODEV);
        }
        let socket = &mut self.sockets[key];
        if !group.is_multicast() || socket.protocol != Protocol::Udp {
            return Err(Errno::EINVAL);
        }
        if socket.groups.contains(&group) {
            return Err(Errno::EADDRINUSE);
        }
        if socket.groups.len() >= MAXIMUM {
            return Err(Errno::ENOBUFS);
        }
        socket.groups.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let now = husk::clock::monotonic_ns();
        if self.with_device(|_, device| device.stack.join(group, device.wire.sender(), now)) == Some(false) {
            return Err(Errno::ENOBUFS);
        }
        self.sockets[key].groups.push(group);
        Ok(())
    }

    /// `IP_DROP_MEMBERSHIP` and `IPV6_DROP_MEMBERSHIP`.
    pub(super) fn leave_group(&mut self, key: SocketKey, group: IpAddr) -> Result<(), Errno> {
        let groups = &mut self.sockets[key].groups;
        let place = groups.iter().position(|joined| *joined == group).ok_or(Errno::EADDRNOTAVAIL)?;
        groups.swap_remove(place);
        self.forget_group(group);
        Ok(())
    }

    /// Leaves a group that a socket has left, on the device.
    pub(super) fn forget_group(&mut self, group: IpAddr) {
        let now = husk::clock::monotonic_ns();
        self.with_device(|_, device| device.stack.leave(group, device.wire.sender(), now));
    }

    /// Sockets that receive a datagram from `from` to the group and port `to`.
    fn members(&self, to: SocketAddr, from: SocketAddr) -> Vec<SocketKey> {
        let is_for = |socket: &Socket| {
            let joined = socket.groups.contains(&to.ip()) || socket.options.hears_all_groups(to.is_ipv6());
            joined && socket.answers(to.ip()).is_some() && socket.remote.is_none_or(|remote| remote == from)
        };
        let sockets = self.ports.at(Protocol::Udp, to.port()).iter();
        sockets.filter(|key| is_for(&self.sockets[**key])).copied().collect()
    }

    /// Puts a datagram into the queues of the sockets that it is for.
    pub(super) fn deliver_to_group(
        &mut self,
        files: &mut Files,
        (bytes, segment): (Buffers<'_>, Option<u64>),
        (from, to): (SocketAddr, SocketAddr),
        arrival: Arrival,
    ) -> Result<(), Errno> {
        for member in self.members(to, from) {
            self.deliver_parts(files, member, bytes, segment, (from, arrival))?;
        }
        Ok(())
    }

    /// Sends a datagram to a group: to the members in the program unless disabled (`IP_MULTICAST_LOOP`), and through the
    /// device.
    pub(super) fn send_to_group(
        &mut self,
        files: &mut Files,
        devices: &mut dyn Devices,
        key: SocketKey,
        bytes: Buffers<'_>,
        dispatch: Dispatch,
    ) -> SyscallResult {
        let Dispatch { from, to, segment, marks, .. } = dispatch;
        let hops = marks.hops.unwrap_or(0);
        if self.sockets[key].options.hears_itself(to.is_ipv6()) {
            let arrival = Arrival::new(to.ip(), marks.class, hops);
            self.deliver_to_group(files, (bytes, segment), (from, to), arrival)?;
        }
        match self.device.is_some() && hops > 0 {
            true => self.send_out(files, devices, key, bytes, dispatch),
            false => Ok(bytes.length()),
        }
    }
}
