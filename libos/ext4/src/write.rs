//! Writes: in place, where the file has blocks already; else collected, until they are [`settled`](Volume::settle).
//!
//! A block is allocated when its contents are known and written (delayed allocation), so that a file which grows by small writes has
//! large extents, and its metadata changes once for many of them. What is collected is [`TOTAL_MAXIMUM`] at most, and less than what
//! the volume has room for: a write that is answered does not lack space later.

use crate::errno::{self, EBADF, EFBIG, EINVAL, EIO, ENOMEM, ENOSPC, EOPNOTSUPP, EROFS, Errno};
use crate::files::Late;
use crate::{Data, Disk, Volume};
use alloc::vec::Vec;
use core::sync::atomic::Ordering;
use husk_abi::folder::{Answer, DATA_MAXIMUM, Flags, Request};
use rsext4::{Ext4ErrorKind, FileExtentState, InodeFlags, InodeInfo, InodeMetadataUpdate, InodeNumber};

/// Bytes that are collected of one file.
const FILE_MAXIMUM: usize = 1 << 20;
/// Bytes that are collected of all files.
const TOTAL_MAXIMUM: usize = 4 << 20;
/// Writes of this size or more are carried out at once.
const DIRECT: usize = 256 << 10;
/// Blocks that stay free of collected writes, for metadata.
const RESERVE: u64 = 128;
/// Time for which a file keeps the time of its last change, as with Linux's clock of 250 Hz.
const TICK_NS: i128 = 4_000_000;

/// The first bytes of the memory of a request.
struct First<'a>(&'a dyn Data, u64);

impl Data for First<'_> {
    fn length(&self) -> u64 {
        self.1
    }

    fn write(&mut self, _: u64, _: &[u8]) {}

    fn read(&self, at: u64, into: &mut [u8]) {
        self.0.read(at, into);
    }

    fn view(&self, at: u64, length: usize) -> Option<&[u8]> {
        self.0.view(at, length)
    }
}

impl<D: Disk> Volume<D> {
    pub(crate) fn write(&mut self, request: &Request, data: &dyn Data) -> Result<Answer, Errno> {
        let result = self.write_at(request, data);
        // The call that has stored the bytes to a mapping is long over: whoever makes the file durable gets the error.
        if let Err(error) = result
            && request.flags & Flags::WITHIN.bits() != 0
            && let Ok(open) = self.files.get(request.handle)
        {
            self.failed_late(open.inode, error);
        }
        result
    }

    /// Keeps the error of a write that no call can return any more.
    fn failed_late(&mut self, number: InodeNumber, error: Errno) {
        if let Some(inode) = self.files.inode(number) {
            inode.late = Late { count: inode.late.count.wrapping_add(1), error, is_seen: false };
        }
    }

    fn write_at(&mut self, request: &Request, data: &dyn Data) -> Result<Answer, Errno> {
        let flags = Flags::from_bits(request.flags).ok_or(EINVAL)?;
        let open = self.files.get(request.handle)?;
        let (number, durable) = (open.inode, open.durable || flags.contains(Flags::DURABLE));
        if !open.writes {
            return Err(EBADF);
        }
        if data.length() > DATA_MAXIMUM.into() {
            return Err(EINVAL);
        }
        let info = self.info(number)?;
        let (size, _) = self.pending.grown(number, info.size);
        let offset = if flags.contains(Flags::APPEND) { size } else { request.offset };
        let end = offset.checked_add(data.length()).filter(|end| i64::try_from(*end).is_ok()).ok_or(EINVAL)?;
        if end > self.system.file_size_maximum(number).map_err(errno::of)? {
            return Err(EFBIG);
        }
        let within = if flags.contains(Flags::WITHIN) { size.saturating_sub(offset) } else { u64::MAX };
        let data: &dyn Data = if within < data.length() { &First(data, within) } else { data };
        let count = if data.length() == 0 { 0 } else { self.put(&info, offset, data)? };
        if flags.contains(Flags::WITHIN) && count < data.length() {
            // No later request writes the rest, so a short count would lose it.
            return Err(ENOSPC);
        }
        if durable {
            self.sync(request.handle, true)?;
        }
        Ok(Answer { count, position: offset + count, ..Answer::default() })
    }

    /// Writes to a file; returns how much there was room for.
    fn put(&mut self, info: &InodeInfo, offset: u64, data: &dyn Data) -> Result<u64, Errno> {
        let (number, length) = (info.number, data.length() as usize);
        let follows = self.pending.follows(number, offset);
        if !follows {
            self.settle(number)?;
            if self.overwrite(info, offset, data)? {
                return Ok(length as u64);
            }
        }
        if length < DIRECT && self.has_room_for(length) {
            if self.pending.total + length > TOTAL_MAXIMUM {
                self.settle_all()?;
            }
            self.pending.collect((number, offset), data, self.now_ns.load(Ordering::Relaxed));
            if self.pending.length(number) >= FILE_MAXIMUM {
                self.settle(number)?;
            }
            return Ok(length as u64);
        }
        self.settle_all()?;
        self.put_now(number, offset, data)
    }

    /// Returns true if bytes can be collected.
    fn has_room_for(&self, length: usize) -> bool {
        let wanted = (length as u64).div_ceil(self.block_size.into()) + 2;
        let free = self.system.statfs().free_blocks;
        free >= self.pending.blocks(self.block_size) + wanted + RESERVE
    }

    /// Writes to blocks that the file has. Returns false if it lacks any of them.
    fn overwrite(&mut self, info: &InodeInfo, offset: u64, data: &dyn Data) -> Result<bool, Errno> {
        let end = offset + data.length();
        if end > info.size {
            return Ok(false);
        }
        let parts = self.parts(info.number, offset, data.length())?;
        if parts.iter().any(|part| part.physical.is_none()) {
            return Ok(false);
        }
        self.check_intact()?;
        self.touch(info)?;
        for part in parts {
            let physical = part.physical.unwrap_or(0);
            self.store(physical, part.offset - offset, part.length, data)?;
        }
        Ok(true)
    }

    /// Sets the time of modification, unless the file has it since this tick.
    fn touch(&mut self, info: &InodeInfo) -> Result<(), Errno> {
        let present = self.present();
        let ns = |stamp: rsext4::Ext4Timestamp| i128::from(stamp.sec) * 1_000_000_000 + i128::from(stamp.nsec);
        if (0..TICK_NS).contains(&(ns(present) - ns(info.mtime))) {
            return Ok(());
        }
        let update = InodeMetadataUpdate { mtime: Some(present), ..InodeMetadataUpdate::default() };
        let extents = self.files.inode(info.number).and_then(|inode| inode.known.take()?.extents);
        self.commits.timed(info.number);
        let info = self.system.update_inode_metadata(info.number, update).map_err(errno::of)?;
        if let Some(inode) = self.files.inode(info.number) {
            inode.known = Some(crate::files::Known { info, extents });
        }
        Ok(())
    }

    /// Allocates blocks and writes to them. Returns how much there was room for.
    fn put_now(&mut self, number: InodeNumber, offset: u64, data: &dyn Data) -> Result<u64, Errno> {
        let (mut done, mut piece, mut buffer) = (0, FILE_MAXIMUM as u64, Vec::new());
        while done < data.length() {
            let length = piece.min(data.length() - done) as usize;
            let written = match data.view(done, length) {
                Some(bytes) => self.allocate_and_write(number, offset + done, bytes),
                None => {
                    buffer.resize(length, 0);
                    data.read(done, &mut buffer);
                    self.allocate_and_write(number, offset + done, &buffer)
                }
            };
            match written {
                Ok(()) => done += length as u64,
                // As much as there is room for.
                Err(ENOSPC) if piece > u64::from(self.block_size) => piece = (piece / 16).max(self.block_size.into()),
                Err(_) if done > 0 => break,
                Err(error) => return Err(error),
            }
        }
        Ok(done)
    }

    /// Writes by the file system, and once more if blocks get free by a commit.
    fn allocate_and_write(&mut self, number: InodeNumber, offset: u64, bytes: &[u8]) -> Result<(), Errno> {
        self.check_intact()?;
        // A block map of ext3, which is not changed in transactions here.
        if !self.info(number)?.flags.contains(InodeFlags::EXTENTS) {
            return Err(EOPNOTSUPP);
        }
        self.files.changed(number);
        self.commits.changed(number);
        let result = match self.system.write_inode(number, offset, bytes) {
            Err(error) if error.kind() == Ext4ErrorKind::NoSpace => {
                self.commit()?;
                self.commits.changed(number);
                self.system.write_inode(number, offset, bytes)
            }
            result => result,
        };
        self.system.write_out_data().and(result).map_err(errno::of)
    }

    /// Carries out the collected writes of a file. The next request that can fail returns their error.
    pub(crate) fn settle(&mut self, number: InodeNumber) -> Result<(), Errno> {
        let Some(file) = self.pending.take(number) else { return Ok(()) };
        let now_ns = self.now_ns.swap(file.at_ns, Ordering::Relaxed);
        let result = self.allocate_and_write(number, file.offset, &file.bytes);
        self.now_ns.store(now_ns, Ordering::Relaxed);
        if let Err(error) = result {
            self.failed_late(number, error);
            // There may be room, or memory, the next time.
            if matches!(error, ENOSPC | ENOMEM) {
                self.pending.put_back(number, file);
            }
        }
        result
    }

    /// Carries out all collected writes.
    pub(crate) fn settle_all(&mut self) -> Result<(), Errno> {
        let numbers: Vec<InodeNumber> = self.pending.files.keys().copied().collect();
        numbers.into_iter().map(|number| self.settle(number)).fold(Ok(()), Result::and)
    }

    /// Returns the error of writes that were answered before, once to each handle; with `is_seen`, not to those opened later.
    pub(crate) fn late(&mut self, handle: u32, is_seen: bool) -> Result<(), Errno> {
        let number = self.files.get(handle)?.inode;
        let Some(Late { count, error, .. }) = self.files.inode(number).map(|inode| inode.late) else { return Ok(()) };
        let open = self.files.get_mut(handle)?;
        if core::mem::replace(&mut open.errors_seen, count) == count {
            return Ok(());
        }
        if let Some(inode) = self.files.inode(number) {
            inode.late.is_seen |= is_seen;
        }
        Err(if error == EROFS { EIO } else { error })
    }

    /// Returns the places of a range of a file, in parts that follow each other.
    pub(crate) fn parts(&mut self, number: InodeNumber, offset: u64, length: u64) -> Result<Vec<Part>, Errno> {
        let end = offset + length;
        let mut parts = Vec::new();
        let mut at = offset;
        let block = u64::from(self.block_size);
        for extent in self.extents(number)?.iter().skip_while(|extent| extent.logical_start + extent.length <= offset) {
            if extent.logical_start >= end {
                break;
            }
            // The map ends with the file, the extent with its block.
            let extent_end = (extent.logical_start + extent.length).next_multiple_of(block);
            let (from, to) = (extent.logical_start.max(at), extent_end.min(end));
            if from > at {
                parts.push(Part { offset: at, length: from - at, physical: None });
            }
            if from < to {
                let is_written = extent.state == FileExtentState::Initialized;
                let physical = is_written.then(|| extent.physical_start + (from - extent.logical_start));
                parts.push(Part { offset: from, length: to - from, physical });
                at = to;
            }
        }
        if at < end {
            parts.push(Part { offset: at, length: end - at, physical: None });
        }
        Ok(parts)
    }
}

/// A part of a file: where it lies on the disk, unless it is a hole.
pub struct Part {
    pub offset: u64,
    pub length: u64,
    pub physical: Option<u64>,
}
