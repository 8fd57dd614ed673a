//! Contents of files: reading, size, allocation, holes.

use crate::errno::{self, EBADF, EFBIG, EINVAL, EISDIR, ENXIO, EOPNOTSUPP, Errno};
use crate::files::Known;
use crate::{Data, Disk, Volume};
use alloc::vec::Vec;
use husk_abi::folder::{Answer, DATA_MAXIMUM, Request};
use rsext4::{DirectoryEntryType, FileExtent, FileExtentTarget, InodeMetadataUpdate, InodeNumber};
use rsext4::{PreallocationOptions, RangeOperation, ZeroRangeOptions};

/// Flags of fallocate(2).
const KEEP_SIZE: u32 = 1;
const PUNCH_HOLE: u32 = 2;
const ZERO_RANGE: u32 = 0x10;
/// Whence of lseek(2).
const SEEK_SET: u32 = 0;
const SEEK_END: u32 = 2;
const SEEK_DATA: u32 = 3;
const SEEK_HOLE: u32 = 4;
/// Bytes that are read ahead of a file that is read from one end to the other.
const AHEAD: u64 = 128 << 10;

impl<D: Disk> Volume<D> {
    pub(crate) fn read(&mut self, request: &Request, data: &mut dyn Data) -> Result<Answer, Errno> {
        let open = self.files.get(request.handle)?;
        let (number, is_next) = (open.inode, open.read_to == request.offset);
        if !open.reads {
            return Err(EBADF);
        }
        if data.length() > DATA_MAXIMUM.into() || i64::try_from(request.offset).is_err() {
            return Err(EINVAL);
        }
        self.settle(number)?;
        let info = self.info(number)?;
        match info.file_type() {
            DirectoryEntryType::RegularFile => {}
            DirectoryEntryType::Directory => return Err(EISDIR),
            _ => return Err(EINVAL),
        }
        let count = data.length().min(info.size.saturating_sub(request.offset));
        if count == 0 {
            return Ok(Answer::default());
        }
        if is_next && count < AHEAD {
            self.read_ahead(request.handle, request.offset, count, info.size)?;
        }
        for part in self.parts(number, request.offset, count)? {
            self.fetch(part.physical, part.offset - request.offset, part.length, data)?;
        }
        self.files.get_mut(request.handle)?.read_to = request.offset + count;
        self.accessed(&info);
        Ok(Answer { count, ..Answer::default() })
    }

    /// Reads what follows into the cache, once half of what was read ahead is used.
    fn read_ahead(&mut self, handle: u32, offset: u64, count: u64, size: u64) -> Result<(), Errno> {
        let open = self.files.get_mut(handle)?;
        if offset + count + AHEAD / 2 <= open.ahead_to && open.ahead_to <= offset + 2 * AHEAD {
            return Ok(());
        }
        let from = if (offset..=offset + 2 * AHEAD).contains(&open.ahead_to) { open.ahead_to } else { offset };
        let to = (from + AHEAD).min(size);
        if from >= to {
            return Ok(());
        }
        open.ahead_to = to;
        let number = open.inode;
        for part in self.parts(number, from, to - from)? {
            if let Some(physical) = part.physical {
                self.system.device().read_ahead(physical, part.length as usize).map_err(errno::of)?;
            }
        }
        Ok(())
    }

    /// Places of a file on the disk, up to its end.
    pub(crate) fn extents(&mut self, number: InodeNumber) -> Result<&[FileExtent], Errno> {
        let info = self.info(number)?;
        let is_known = self.files.inode(number).and_then(|inode| inode.known.as_ref()?.extents.as_ref()).is_some();
        if !is_known {
            let map = self.system.inode_extents(number, 0, u64::MAX, FileExtentTarget::Data, usize::MAX);
            let extents: Vec<FileExtent> = map.map_err(errno::of)?.extents;
            let inode = self.files.inode(number).ok_or(EBADF)?;
            inode.known = Some(Known { info, extents: Some(extents) });
        }
        self.files.inode(number).and_then(|inode| inode.known.as_ref()?.extents.as_deref()).ok_or(EBADF)
    }

    /// Sets the size of a file.
    pub(crate) fn resize(&mut self, number: InodeNumber, size: u64) -> Result<(), Errno> {
        if i64::try_from(size).is_err() {
            return Err(EINVAL);
        }
        if size > self.system.file_size_maximum(number).map_err(errno::of)? {
            return Err(EFBIG);
        }
        self.settle(number)?;
        if self.info(number)?.size == size {
            let update = InodeMetadataUpdate { mtime: Some(self.present()), ..InodeMetadataUpdate::default() };
            return self.update(number, update);
        }
        self.check_intact()?;
        self.files.changed(number);
        self.commits.changed(number);
        let result = self.system.truncate_inode(number, size);
        self.system.write_out_data().and(result).map_err(errno::of)
    }

    pub(crate) fn allocate(&mut self, request: &Request) -> Result<(), Errno> {
        let open = self.files.get(request.handle)?;
        let number = open.inode;
        if !open.writes {
            return Err(EBADF);
        }
        let operation = match request.flags {
            0 => RangeOperation::Allocate(PreallocationOptions::EXTEND_SIZE),
            KEEP_SIZE => RangeOperation::Allocate(PreallocationOptions::KEEP_SIZE),
            flags if flags == PUNCH_HOLE | KEEP_SIZE => RangeOperation::PunchHole,
            ZERO_RANGE => RangeOperation::Zero(ZeroRangeOptions::EXTEND_SIZE),
            flags if flags == ZERO_RANGE | KEEP_SIZE => RangeOperation::Zero(ZeroRangeOptions::KEEP_SIZE),
            _ => return Err(EOPNOTSUPP),
        };
        let end = request.offset.checked_add(request.count).filter(|end| i64::try_from(*end).is_ok());
        if request.count == 0 || i64::try_from(request.offset).is_err() || i64::try_from(request.count).is_err() {
            return Err(EINVAL);
        }
        let end = end.ok_or(EFBIG)?;
        if end > self.system.file_size_maximum(number).map_err(errno::of)? {
            return Err(EFBIG);
        }
        // Not the space of what is collected of other files.
        self.settle(number)?;
        let _ = self.settle_all();
        self.check_intact()?;
        self.files.changed(number);
        self.commits.changed(number);
        let run = |volume: &mut Self| {
            let result = volume.system.operate_inode_range(number, request.offset, request.count, operation);
            volume.system.write_out_data().and(result).map_err(errno::of)
        };
        match run(self) {
            Err(errno::ENOSPC) => {
                self.commit()?;
                self.commits.changed(number);
                run(self)
            }
            result => result,
        }
    }

    pub(crate) fn seek(&mut self, request: &Request) -> Result<Answer, Errno> {
        let open = self.files.get(request.handle)?;
        let number = open.inode;
        if !open.reads && !open.writes {
            return Err(EBADF);
        }
        self.settle(number)?;
        let (size, offset) = (self.info(number)?.size, request.offset);
        let position = match request.flags {
            SEEK_SET => offset,
            SEEK_END => size.checked_add_signed(offset.cast_signed()).ok_or(EINVAL)?,
            SEEK_DATA | SEEK_HOLE if offset >= size => return Err(ENXIO),
            SEEK_DATA => {
                let parts = self.parts(number, offset, size - offset)?;
                parts.iter().find(|part| part.physical.is_some()).ok_or(ENXIO)?.offset
            }
            SEEK_HOLE => {
                let parts = self.parts(number, offset, size - offset)?;
                parts.iter().find(|part| part.physical.is_none()).map_or(size, |part| part.offset)
            }
            _ => return Err(EINVAL),
        };
        if i64::try_from(position).is_err() { Err(EINVAL) } else { Ok(Answer { position, ..Answer::default() }) }
    }
}
