//! Readiness of files.

use super::Files;
use super::description::{Access, DescriptionKey};
use super::device::{Device, Devices};
use super::foreign::Owner;
use super::inode::{Kind, NodeKey};
use crate::errno::Errno;
use bitflags::bitflags;
use linux_raw_sys::general as linux;

bitflags! {
    /// Events that a file is ready for, in the bits of poll(2), which are those of epoll too.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Ready: u32 {
        /// A read does not wait.
        const IN = linux::POLLIN | linux::POLLRDNORM;
        /// A write does not wait.
        const OUT = linux::POLLOUT | linux::POLLWRNORM;
        /// The other end of a pipe to write to is gone.
        const ERROR = linux::POLLERR;
        /// The other end of a pipe to read from is gone.
        const HANG_UP = linux::POLLHUP;
        /// The other end of a socket writes no more.
        const READ_HANG_UP = linux::POLLRDHUP;
        /// Reported even if not asked for.
        const ALWAYS = Self::ERROR.bits() | Self::HANG_UP.bits();
    }
}

impl Files {
    /// Events of `asked` that a descriptor is ready for.
    pub fn readiness(&mut self, devices: &mut dyn Devices, descriptor: i32, asked: Ready) -> Result<Ready, Errno> {
        let key = self.usable(descriptor)?;
        Ok(self.ready(devices, key, asked))
    }

    /// Events of `asked` that a description is ready for. Checking for input leaves the guest, so it is done only if asked for.
    pub(super) fn ready(&mut self, devices: &mut dyn Devices, key: DescriptionKey, asked: Ready) -> Ready {
        let description = &self.descriptions[key];
        let (node, access) = (description.node, description.access());
        let mut ready = Ready::empty();
        match &self.nodes[node].kind {
            Kind::Foreign(_, told) => ready = *told,
            Kind::Pipe(pipe) => {
                if access.contains(Access::READ) {
                    ready.set(Ready::IN, pipe.length() > 0);
                    ready.set(Ready::HANG_UP, !pipe.has_writers());
                }
                if access.contains(Access::WRITE) {
                    ready.set(Ready::OUT, pipe.has_room());
                    ready.set(Ready::ERROR, !pipe.has_readers());
                }
            }
            Kind::Event(event) => {
                ready.set(Ready::IN, event.is_set());
                ready.set(Ready::OUT, event.has_room());
            }
            Kind::Timer(timer) => ready.set(Ready::IN, timer.is_ready()),
            Kind::Socket(_) => ready = self.socket_ready(node),
            Kind::Epoll(_) => ready.set(Ready::IN, self.any_ready(devices, node)),
            Kind::Device(Device::Console(_)) => {
                ready.set(Ready::OUT, access.contains(Access::WRITE));
                let may_read = access.contains(Access::READ) && asked.intersects(Ready::IN);
                ready.set(Ready::IN, may_read && self.has_input(devices));
            }
            _ => ready = Ready::IN | Ready::OUT,
        }
        ready & asked
    }

    /// Returns true if waiting for a file makes sense.
    pub(super) fn can_wait_for(&self, node: NodeKey) -> bool {
        match &self.nodes[node].kind {
            Kind::Pipe(_) | Kind::Event(_) | Kind::Timer(_) | Kind::Epoll(_) => true,
            Kind::Foreign(foreign, _) => foreign.owner != Owner::Disk,
            Kind::Socket(_) => true,
            Kind::Device(device) => matches!(device, Device::Console(_) | Device::Random(_)),
            _ => false,
        }
    }

    /// Inode of a descriptor's file, to sleep for.
    pub fn node(&self, descriptor: i32) -> Result<NodeKey, Errno> {
        self.usable(descriptor).map(|key| self.descriptions[key].node)
    }
}
