//! Disks among the files: metadata of `/dev/NAME`. For their contents see [`crate::disk`].

use super::Files;
use super::description::Access;
use super::foreign::{Foreign, Owner};
use super::inode::{Kind, Time};
use super::poll::Ready;
use crate::errno::Errno;
use alloc::vec::Vec;
use husk::abi::block::{Block, Flags};

/// Major number of disks: that of block devices with dynamically assigned numbers.
pub const MAJOR: u32 = 259;

/// Attached disk.
#[derive(Debug)]
pub struct Attached {
    /// Number among all devices.
    pub number: u32,
    name: Vec<u8>,
    block: Block,
}

/// Facts about an open disk, for a call on it.
#[derive(Clone, Copy, Debug)]
pub struct Place {
    /// Flags of the description.
    pub flags: u32,
    /// Offset of the description.
    pub offset: u64,
    /// Bytes of the disk.
    pub size: u64,
    /// Bytes of a sector.
    pub sector: u64,
    /// True if the disk is read-only.
    pub read_only: bool,
}

impl Files {
    /// Adds a disk, before the tree is made.
    pub fn add_disk(&mut self, number: u32, name: &[u8], block: &Block) -> Result<(), Errno> {
        self.disks.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let mut path = Vec::new();
        path.try_reserve(name.len()).map_err(|_| Errno::ENOMEM)?;
        path.extend_from_slice(name);
        self.disks.push(Attached { number, name: path, block: *block });
        Ok(())
    }

    /// Adds the disks to `/dev`. A disk with a name that exists already is not visible.
    pub(super) fn seed_disks(&mut self, now: Time) {
        for disk in core::mem::take(&mut self.disks) {
            let path = [b"/dev/", &disk.name[..]].concat();
            let foreign = Foreign { owner: Owner::Disk, handle: disk.number };
            let _ = self.seed(&path, Kind::Foreign(foreign, Ready::IN | Ready::OUT), 0o660, now);
            self.disks.push(disk);
        }
    }

    /// Geometry and flags of the disk behind a file of another part, if the file is a disk.
    pub(super) fn disk(&self, foreign: &Foreign) -> Option<&Block> {
        let number = (foreign.owner == Owner::Disk).then_some(foreign.handle)?;
        self.disks.iter().find(|disk| disk.number == number).map(|disk| &disk.block)
    }

    /// Returns true for a disk that is read-only.
    pub(super) fn is_read_only(&self, foreign: &Foreign) -> bool {
        self.disk(foreign).is_some_and(|block| block.flags & Flags::READ_ONLY.bits() != 0)
    }

    /// Offset and other facts of a descriptor on its disk; EBADF if it is not open for `access`.
    pub fn disk_place(&self, descriptor: i32, access: Access) -> Result<Place, Errno> {
        let description = &self.descriptions[self.usable_to(descriptor, access)?];
        let Kind::Foreign(foreign, _) = &self.nodes[description.node].kind else { return Err(Errno::ENXIO) };
        let block = self.disk(foreign).ok_or(Errno::ENXIO)?;
        Ok(Place {
            flags: description.flags,
            offset: description.offset,
            size: block.size,
            sector: block.sector.into(),
            read_only: self.is_read_only(foreign),
        })
    }

    /// Advances the offset of a descriptor, unless the descriptor has been closed since.
    pub fn move_on(&mut self, descriptor: i32, count: u64) {
        if let Ok(key) = self.usable(descriptor) {
            self.descriptions[key].offset += count;
        }
    }
}
