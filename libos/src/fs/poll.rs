//! What a file is ready for.

use super::Files;
use super::description::Access;
use super::inode::Kind;
use crate::errno::Errno;
use bitflags::bitflags;
use linux_raw_sys::general as linux;

bitflags! {
    /// What a file is ready for, in the bits of poll(2), which are those of epoll too.
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
    }
}

impl Files {
    /// What a descriptor is ready for. `None` for a file of another part of the libos: ask there.
    pub fn readiness(&self, descriptor: i32) -> Result<Option<Ready>, Errno> {
        let key = self.usable(descriptor)?;
        let description = &self.descriptions[key];
        let access = description.access();
        let mut ready = Ready::empty();
        match &self.nodes[description.node].kind {
            Kind::Foreign(_) => return Ok(None),
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
            _ => ready = Ready::IN | Ready::OUT,
        }
        Ok(Some(ready))
    }

    /// The value of [`Files::changes`] when a descriptor's readiness last changed: for who waits for edges.
    pub fn changed(&self, descriptor: i32) -> Result<u64, Errno> {
        self.description(descriptor).map(|description| self.nodes[description.node].changed)
    }
}
