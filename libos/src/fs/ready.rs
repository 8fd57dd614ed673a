//! Readiness of a file: the events of poll(2).

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
