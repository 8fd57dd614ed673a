//! Block devices: the requests that a disk takes on its one queue ([`crate::ring`]).
//!
//! A disk is an array of bytes that is read and written in sectors. [`Descriptor::operation`] is the operation, and
//! [`Descriptor::detail`] the byte offset on the disk. Requests run concurrently, in any order: a guest that needs two in order
//! waits for the completion of the first.
//!
//! | operation | memory | which bytes of the disk |
//! |---|---|---|
//! | [`READ`] | is written | from `detail`, as many as there is memory |
//! | [`WRITE`] | is read | from `detail`, as many as there is memory |
//! | [`FLUSH`] | none | all |
//! | [`DISCARD`] | none | from `detail`, as many as `address` says |
//! | [`WRITE_ZEROES`] | none | from `detail`, as many as `address` says |
//!
//! A request without memory is one descriptor with a length of 0. With [`FLUSH`], `detail` and `address` are 0 too.
//!
//! **Durability.** A completed write is visible to every later request, and survives the end of the tender, whatever ends the
//! tender; it survives the end of the host only if a flush follows. A flush covers all requests that the guest had seen
//! complete before it submitted the flush, and guarantees nothing about others.
//!
//! **Refused** ([`status::REFUSED`](crate::ring::status::REFUSED)), without any effect, is a request that begins or ends beyond
//! the end of the disk, or not at a sector boundary; one of more than [`Block::request_maximum`] bytes of memory, or with a
//! part that violates [`Block::alignment`]; and one that would change a disk of [`Flags::READ_ONLY`]. **Input/output errors**
//! ([`status::INPUT_OUTPUT`](crate::ring::status::INPUT_OUTPUT)) are the host's: the bytes that the request was to read or
//! write are then undefined.
//!
//! **Mounts.** A disk of [`Flags::MOUNTED`] has a [`Mount`] behind its [`Block`]: the guest shows the file system on the disk at that
//! path, and does all that takes; the tender never looks at the disk's bytes. A guest is given such a disk only if it carries the note
//! [`crate::note::MOUNTS`], with [`MOUNTS_VERSION`].
//!
//! [`Descriptor::operation`]: crate::ring::Descriptor::operation
//! [`Descriptor::detail`]: crate::ring::Descriptor::detail

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Reads. No operation has the number 0, so that an entry of zeros is invalid.
pub const READ: u16 = 1;
/// Writes.
pub const WRITE: u16 = 2;
/// Makes completed writes durable (flush).
pub const FLUSH: u16 = 3;
/// Makes a range read as zeros, and frees its space on the host.
pub const DISCARD: u16 = 4;
/// Makes a range read as zeros, and keeps its space where the host can.
pub const WRITE_ZEROES: u16 = 5;

/// Smallest sector that a disk may have, in bytes.
pub const SECTOR_MINIMUM: u32 = 512;
/// Largest sector that a disk may have, in bytes.
pub const SECTOR_MAXIMUM: u32 = 4096;

/// Properties of a disk.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Block {
    /// Size of the disk in bytes; a multiple of the sector.
    pub size: u64,
    /// Bytes of a sector: a power of two from [`SECTOR_MINIMUM`] to [`SECTOR_MAXIMUM`].
    pub sector: u32,
    /// Most bytes of memory in one request.
    pub request_maximum: u32,
    /// Required alignment of the address and length of every part of a request's memory: 1, or the sector.
    pub alignment: u32,
    /// [`Flags`].
    pub flags: u32,
}

bitflags::bitflags! {
    /// Switches in [`Block::flags`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// The disk is read-only.
        const READ_ONLY = 1;
        /// A [`Mount`] follows the properties.
        const MOUNTED = 2;
    }
}

/// Version of mounts, in the note of an image: a tender gives them to images of this version or an older one.
pub const MOUNTS_VERSION: u32 = 1;

/// Place at which a guest shows the file system of a disk. The path follows, padded with zeros to a multiple of 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Mount {
    /// [`MountFlags`].
    pub flags: u32,
    /// Length of the absolute path.
    pub path_length: u32,
}

bitflags::bitflags! {
    /// Switches in [`Mount::flags`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        /// Nothing can be changed: EROFS.
        const READ_ONLY = 1;
    }
}

impl Block {
    /// Returns true if `count` bytes at the byte `offset` are whole sectors of this disk.
    pub const fn holds(&self, offset: u64, count: u64) -> bool {
        let sector = self.sector as u64;
        match offset.checked_add(count) {
            Some(end) => end <= self.size && offset.is_multiple_of(sector) && count.is_multiple_of(sector),
            None => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_whole_sectors_inside_are_held() {
        let disk = Block { size: 8192, sector: 512, ..Block::default() };
        for (offset, count) in [(0, 8192), (512, 512), (8192, 0), (7680, 512)] {
            assert!(disk.holds(offset, count), "{offset} {count}");
        }
        let beyond = [(0, 8704), (8192, 512), (u64::MAX - 511, 512), (u64::MAX - 511, 1024), (512, u64::MAX - 511)];
        let odd = [(1, 512), (0, 511), (256, 256)];
        for (offset, count) in beyond.into_iter().chain(odd) {
            assert!(!disk.holds(offset, count), "{offset} {count}");
        }
    }
}
