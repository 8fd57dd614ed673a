//! Structures of system calls on files, in Linux's layout for 64-bit processors.
//!
//! linux-raw-sys has them too, but does not promise that any bytes are valid; a test compares the sizes.

use super::inode::Time;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// `struct timespec`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Timespec {
    /// Seconds.
    pub seconds: i64,
    /// Nanoseconds, or `UTIME_NOW` or `UTIME_OMIT`.
    pub nanoseconds: i64,
}

impl From<Time> for Timespec {
    fn from(time: Time) -> Self {
        Self { seconds: time.seconds, nanoseconds: time.nanoseconds.into() }
    }
}

/// `struct stat`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "stat(2) explains them")]
pub struct Stat {
    pub device: u64,
    pub number: u64,
    pub links: u64,
    pub mode: u32,
    pub user: u32,
    pub group: u32,
    pub reserved: u32,
    pub device_number: u64,
    pub size: i64,
    pub block_size: i64,
    pub blocks: i64,
    pub accessed: Timespec,
    pub modified: Timespec,
    pub changed: Timespec,
    pub reserved_end: [i64; 3],
}

/// `struct statx_timestamp`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "statx(2) explains them")]
pub struct StatxTime {
    pub seconds: i64,
    pub nanoseconds: u32,
    pub reserved: i32,
}

impl From<Time> for StatxTime {
    fn from(time: Time) -> Self {
        Self { seconds: time.seconds, nanoseconds: time.nanoseconds, reserved: 0 }
    }
}

/// `struct statx`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "statx(2) explains them")]
pub struct Statx {
    pub mask: u32,
    pub block_size: u32,
    pub attributes: u64,
    pub links: u32,
    pub user: u32,
    pub group: u32,
    pub mode: u16,
    pub reserved: u16,
    pub number: u64,
    pub size: u64,
    pub blocks: u64,
    pub attributes_mask: u64,
    pub accessed: StatxTime,
    pub born: StatxTime,
    pub changed: StatxTime,
    pub modified: StatxTime,
    pub device_number: [u32; 2],
    pub device: [u32; 2],
    pub mount: u64,
    pub reserved_end: [u64; 13],
}

/// `struct statfs`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "statfs(2) explains them")]
pub struct Statfs {
    pub magic: u64,
    pub block_size: u64,
    pub blocks: u64,
    pub blocks_free: u64,
    pub blocks_available: u64,
    pub files: u64,
    pub files_free: u64,
    pub id: u64,
    pub name_maximum: u64,
    pub fragment_size: u64,
    pub flags: u64,
    pub reserved: [u64; 4],
}

/// `struct iovec`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct Vector {
    /// Address of the first byte.
    pub address: u64,
    /// Number of bytes.
    pub length: u64,
}

/// `struct flock`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "fcntl(2) explains them")]
pub struct Flock {
    pub kind: i16,
    pub whence: i16,
    pub reserved: u32,
    pub start: i64,
    pub length: i64,
    pub process: i32,
    pub reserved_end: u32,
}

/// `struct pollfd`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct PollEntry {
    /// File to check; the entry is ignored if negative.
    pub descriptor: i32,
    /// Events asked for.
    pub events: u16,
    /// Events that have occurred.
    pub returned: u16,
}

/// `struct msghdr`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
#[expect(missing_docs, reason = "recvmsg(2) explains them")]
pub struct MessageHeader {
    pub name: u64,
    pub name_length: u32,
    pub reserved: u32,
    pub vectors: u64,
    pub count: u64,
    pub control: u64,
    pub control_length: u64,
    pub flags: u32,
    pub reserved_end: u32,
}

/// `struct cmsghdr`.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
pub struct ControlHeader {
    /// Bytes, with this header.
    pub length: u64,
    /// Protocol that defines `kind`.
    pub level: i32,
    /// Kind of the data that follows.
    pub kind: i32,
}

#[cfg(test)]
mod tests {
    use super::*;
    use core::mem::offset_of;
    use linux_raw_sys::general as linux;

    #[test]
    fn layouts_are_those_of_linux() {
        assert_eq!(size_of::<Timespec>(), size_of::<linux::__kernel_timespec>());
        assert_eq!(size_of::<Stat>(), size_of::<linux::stat>());
        assert_eq!(offset_of!(Stat, blocks), offset_of!(linux::stat, st_blocks));
        assert_eq!(offset_of!(Stat, changed), offset_of!(linux::stat, st_ctime));
        assert_eq!(size_of::<Statx>(), size_of::<linux::statx>());
        assert_eq!(offset_of!(Statx, modified), offset_of!(linux::statx, stx_mtime));
        assert_eq!(offset_of!(Statx, mount), offset_of!(linux::statx, stx_mnt_id));
        assert_eq!(size_of::<Statfs>(), size_of::<linux::statfs>());
        assert_eq!(offset_of!(Statfs, flags), offset_of!(linux::statfs, f_flags));
        assert_eq!(size_of::<Vector>(), size_of::<linux::iovec>());
        assert_eq!(size_of::<Flock>(), size_of::<linux::flock>());
        assert_eq!(offset_of!(Flock, process), offset_of!(linux::flock, l_pid));
        assert_eq!(size_of::<PollEntry>(), size_of::<linux::pollfd>());
        assert_eq!(size_of::<MessageHeader>(), size_of::<linux_raw_sys::net::msghdr>());
        assert_eq!(size_of::<ControlHeader>(), size_of::<linux_raw_sys::net::cmsghdr>());
    }
}
