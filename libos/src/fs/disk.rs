//! Disks among the files: `/dev/NAME`. For the calls on them see [`crate::disk`].

use crate::errno::Errno;
use crate::user;
use alloc::vec::Vec;
use core::ops::Range;
use husk::abi::block::{Block, DISCARD, FLUSH, Flags, WRITE_ZEROES};
use linux_raw_sys::general as linux;

/// Major number of disks: that of block devices with dynamically assigned numbers.
pub const MAJOR: u32 = 259;

/// Requests of ioctl(2) on block devices, which the bindings lack: `linux/fs.h`.
mod request {
    pub const READ_ONLY: u32 = 0x125e;
    pub const SIZE_IN_512: u32 = 0x1260;
    pub const FLUSH: u32 = 0x1261;
    pub const SECTOR: u32 = 0x1268;
    pub const DISCARD: u32 = 0x1277;
    pub const PHYSICAL_SECTOR: u32 = 0x127b;
    pub const ZERO: u32 = 0x127f;
    pub const BLOCK: u32 = 0x8008_1270;
    pub const SIZE: u32 = 0x8008_1272;
}

/// A disk.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Disk {
    /// Number among all devices.
    pub number: u32,
    /// True if the disk is read-only.
    pub read_only: bool,
    /// Bytes of a sector.
    pub sector: u32,
    /// Bytes of the disk.
    pub size: u64,
    /// True if its file system is mounted, which keeps everything else from opening the disk.
    pub is_mounted: bool,
}

/// Disk with its name, until the tree of files is made.
#[derive(Debug)]
pub struct Attached {
    /// The disk.
    pub disk: Disk,
    /// Name of its file in `/dev`.
    pub name: Vec<u8>,
}

/// Request to a disk without memory.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// `FLUSH`, `DISCARD` or `WRITE_ZEROES` of [`husk::abi::block`].
    pub operation: u16,
    /// Bytes of the disk that the request changes.
    pub range: Range<u64>,
}

/// Request that makes durable what has been written.
pub const SYNC: Request = Request { operation: FLUSH, range: 0..0 };

impl Disk {
    /// Returns the disk with this number and these properties.
    pub fn new(number: u32, block: &Block) -> Self {
        let read_only = block.flags & Flags::READ_ONLY.bits() != 0;
        let is_mounted = block.flags & Flags::MOUNTED.bits() != 0;
        Self { number, read_only, sector: block.sector, size: block.size, is_mounted }
    }

    /// Request of a fallocate(2), which zeroes a range with or without keeping its space.
    pub fn allocate(self, mode: u32, offset: u64, length: u64, may_write: bool) -> Result<Request, Errno> {
        let operation = match mode {
            mode if mode == linux::FALLOC_FL_PUNCH_HOLE | linux::FALLOC_FL_KEEP_SIZE => DISCARD,
            mode if mode & !linux::FALLOC_FL_KEEP_SIZE == linux::FALLOC_FL_ZERO_RANGE => WRITE_ZEROES,
            _ => return Err(Errno::EOPNOTSUPP),
        };
        let end = offset.saturating_add(length).min(self.size);
        let request = self.erase(operation, offset..end, may_write)?;
        if offset < end { Ok(request) } else { Err(Errno::EINVAL) }
    }

    /// Request that fills a range with zeros; EBADF unless `may_write`, EINVAL unless the range is one of whole sectors.
    fn erase(self, operation: u16, range: Range<u64>, may_write: bool) -> Result<Request, Errno> {
        let is_whole = |at: u64| at.is_multiple_of(self.sector.into());
        if !may_write {
            return Err(Errno::EBADF);
        }
        if range.end > self.size || !is_whole(range.start) || !is_whole(range.end) {
            return Err(Errno::EINVAL);
        }
        Ok(Request { operation, range })
    }

    /// ioctl(2). Returns the request that has to be made for it, if it is not done already.
    pub fn control(self, request: u32, argument: u64, may_write: bool) -> Result<Option<Request>, Errno> {
        match request {
            request::SIZE => user::write(argument, &self.size)?,
            request::SIZE_IN_512 => user::write(argument, &(self.size / 512))?,
            request::BLOCK | request::SECTOR | request::PHYSICAL_SECTOR => user::write(argument, &self.sector)?,
            request::READ_ONLY => user::write(argument, &u32::from(self.read_only))?,
            request::FLUSH => return Ok(Some(SYNC)),
            request::DISCARD | request::ZERO => {
                let [start, length]: [u64; 2] = user::read(argument)?;
                let end = start.checked_add(length).ok_or(Errno::EINVAL)?;
                let operation = if request == request::DISCARD { DISCARD } else { WRITE_ZEROES };
                return self.erase(operation, start..end, may_write).map(Some);
            }
            _ => return Err(Errno::ENOTTY),
        }
        Ok(None)
    }
}
