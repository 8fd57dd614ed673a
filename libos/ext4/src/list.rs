//! Directories, as records of getdents64(2).
//!
//! The cookie of a record is the place of the next one: an offset in a small directory, hashes in an indexed one, so that names which
//! come and go meanwhile move nothing. Names with equal hashes have one place; a listing that cannot hold all of them ends before.

use crate::errno::{self, EBADF, EINVAL, ENOENT, ENOTDIR, Errno};
use crate::{Data, Disk, Volume};
use alloc::vec::Vec;
use husk_abi::folder::{Answer, Request};
use rsext4::{DirectoryCursor, DirectoryEntry, DirectoryEntryType};

/// Cookie of the end.
const END: u64 = i64::MAX as u64;
/// Bytes of a record before its name.
const HEADER: usize = 19;
/// Most bytes of a listing.
const LIST_MAXIMUM: usize = 64 << 10;
/// Entries that are asked for at once.
const BATCH: usize = 128;

impl<D: Disk> Volume<D> {
    pub(crate) fn list(&mut self, request: &Request, data: &mut dyn Data) -> Result<Answer, Errno> {
        let open = self.files.get(request.handle)?;
        let number = open.inode;
        if !open.reads {
            return Err(EBADF);
        }
        let info = self.info(number)?;
        if !info.is_directory() {
            return Err(ENOTDIR);
        }
        if info.links == 0 {
            return Err(ENOENT);
        }
        let is_indexed = self.system.is_indexed(number).map_err(errno::of)?;
        let maximum = data.length().min(LIST_MAXIMUM as u64) as usize;
        let mut at = cursor(request.offset, is_indexed);
        let mut records = Vec::new();
        // Where the records of the last group of equal hashes begin.
        let mut group = 0;
        'all: while at != DirectoryCursor::End {
            let entries = self.batch(request.handle, at)?;
            let Some(last) = entries.last() else { break };
            at = last.next_cursor;
            for entry in &entries {
                let cookie = cookie(entry.next_cursor);
                if !push(&mut records, entry, cookie, maximum) {
                    records.truncate(group);
                    if group == 0 {
                        return Err(EINVAL);
                    }
                    break 'all;
                }
                if !matches!(entry.next_cursor, DirectoryCursor::HTree { collision: 1.., .. }) {
                    group = records.len();
                }
            }
        }
        data.write(0, &records);
        self.accessed(&info);
        Ok(Answer { count: records.len() as u64, ..Answer::default() })
    }

    /// Returns entries from a place on.
    fn batch(&mut self, handle: u32, at: DirectoryCursor) -> Result<Vec<DirectoryEntry>, Errno> {
        let open = self.files.get_mut(handle)?;
        if open.reader.is_none() {
            open.reader = Some(self.system.open_directory_reader(open.inode).map_err(errno::of)?);
        }
        let Some(reader) = &mut open.reader else { return Err(EBADF) };
        self.system.read_directory_with_reader(reader, at, BATCH).map_err(errno::of)
    }
}

/// Place that a cookie stands for.
fn cursor(cookie: u64, is_indexed: bool) -> DirectoryCursor {
    match cookie {
        0 => DirectoryCursor::Start,
        END.. => DirectoryCursor::End,
        _ if is_indexed => {
            DirectoryCursor::HTree { major: ((cookie >> 32) << 1) as u32, minor: cookie as u32, collision: 0 }
        }
        offset => DirectoryCursor::Linear { offset },
    }
}

/// Cookie of a place: the first one with its hashes.
fn cookie(cursor: DirectoryCursor) -> u64 {
    match cursor {
        DirectoryCursor::Start => 0,
        DirectoryCursor::End => END,
        DirectoryCursor::Linear { offset } => offset,
        DirectoryCursor::HTree { major, minor, .. } => u64::from(major >> 1) << 32 | u64::from(minor),
    }
}

/// Appends a record; false if it does not fit.
fn push(records: &mut Vec<u8>, entry: &DirectoryEntry, cookie: u64, maximum: usize) -> bool {
    let length = (HEADER + entry.name.len() + 1).next_multiple_of(8);
    if records.len() + length > maximum {
        return false;
    }
    let end = records.len() + length;
    records.extend_from_slice(&u64::from(entry.inode.raw()).to_ne_bytes());
    records.extend_from_slice(&cookie.to_ne_bytes());
    records.extend_from_slice(&(length as u16).to_ne_bytes());
    records.push(kind(entry.file_type));
    records.extend_from_slice(&entry.name);
    records.resize(end, 0);
    true
}

/// `d_type` of an entry.
fn kind(kind: DirectoryEntryType) -> u8 {
    match kind {
        DirectoryEntryType::Unknown => 0,
        DirectoryEntryType::Fifo => 1,
        DirectoryEntryType::CharacterDevice => 2,
        DirectoryEntryType::Directory => 4,
        DirectoryEntryType::BlockDevice => 6,
        DirectoryEntryType::RegularFile => 8,
        DirectoryEntryType::Symlink => 10,
        DirectoryEntryType::Socket => 12,
    }
}
