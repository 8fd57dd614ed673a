//! From a request to its answer.

use crate::errno::{
    EBADF, EEXIST, EINVAL, EISDIR, ELOOP, ENAMETOOLONG, ENOSPC, ENOSYS, ENOTDIR, ENXIO, EOPNOTSUPP, EPERM, EROFS, Errno,
};
use crate::files::Open;
use crate::{Data, Disk, Volume};
use core::sync::atomic::Ordering;
use husk_abi::folder::*;
use rsext4::{DirectoryEntryType, InodeFlags, InodeInfo};

/// Flags of open(2).
const O_ACCMODE: u32 = 0o3;
const O_WRONLY: u32 = 0o1;
const O_RDWR: u32 = 0o2;
const O_CREAT: u32 = 0o100;
const O_EXCL: u32 = 0o200;
const O_TRUNC: u32 = 0o1000;
const O_DSYNC: u32 = 0o10000;
const O_DIRECTORY: u32 = 0o200_000;
const O_NOFOLLOW: u32 = 0o400_000;
const O_PATH: u32 = 0o10_000_000;
const O_TMPFILE: u32 = 0o20_000_000 | O_DIRECTORY;

impl<D: Disk> Volume<D> {
    /// Answers a request with these names, as the tender answers those of a folder. `now_ns` is the present, since 1970.
    pub fn answer(
        &mut self,
        operation: u16,
        request: &Request,
        names: [&[u8]; 2],
        data: &mut dyn Data,
        now_ns: u64,
    ) -> Answer {
        self.now_ns.store(now_ns, Ordering::Relaxed);
        let mut answer = self.carry_out(operation, request, names, data);
        let takes_blocks = matches!(operation, OPEN | MAKE_DIRECTORY | RENAME | LINK | SYMLINK);
        // Blocks that the running transaction has freed are free for others once it is committed.
        if takes_blocks && matches!(answer, Err(ENOSPC)) && self.commit().is_ok() {
            answer = self.carry_out(operation, request, names, data);
        }
        if changes(operation, request) || matches!(operation, READ | LIST | CLOSE) {
            self.tidy();
        }
        answer.unwrap_or_else(|error| Answer { error, ..Answer::default() })
    }

    fn carry_out(
        &mut self,
        operation: u16,
        request: &Request,
        [path, second]: [&[u8]; 2],
        data: &mut dyn Data,
    ) -> Result<Answer, Errno> {
        if path.len().max(second.len()) > NAME_MAXIMUM as usize {
            return Err(ENAMETOOLONG);
        }
        if self.read_only && operation != OPEN && changes(operation, request) {
            return Err(EROFS);
        }
        let done = |()| Answer::default();
        match operation {
            STAT => self.stat(request, path),
            OPEN => self.open(request, path),
            CLOSE => self.close(request.handle).map(done),
            READ => self.read(request, data),
            WRITE => self.write(request, data),
            LIST => self.list(request, data),
            SET => {
                let number = self.set(request, path)?.raw().into();
                Ok(Answer { attributes: Attributes { number, ..Attributes::default() }, ..Answer::default() })
            }
            SYNC if request.handle == ROOT => self.sync_all().map(done),
            SYNC => {
                let open = self.files.get(request.handle)?;
                if !open.reads && !open.writes {
                    return Err(EBADF);
                }
                self.sync(request.handle, request.flags & Flags::DATA_ONLY.bits() != 0).map(done)
            }
            MAKE_DIRECTORY => self.make_directory(request, path).map(done),
            UNLINK => self.unlink(request, path).map(done),
            REMOVE_DIRECTORY => self.remove_directory(request, path).map(done),
            RENAME => self.rename(request, path, second).map(done),
            LINK => self.link(request, path, second).map(done),
            SYMLINK => self.make_link(request, path, second).map(done),
            READ_LINK => self.read_link(request, path, data),
            SPACE => self.space(request, path, data).map(done),
            FLOCK => self.flock(request).map(done),
            LOCK | GET_LOCK => self.lock(operation == LOCK, request, data).map(done),
            ALLOCATE => self.allocate(request).map(done),
            SEEK => self.seek(request),
            _ => Err(ENOSYS),
        }
    }

    fn read_link(&mut self, request: &Request, path: &[u8], data: &mut dyn Data) -> Result<Answer, Errno> {
        let number = self.reach(request.handle, path, false)?;
        let info = self.named(number)?;
        if !Self::is_link(&info) || data.length() == 0 {
            return Err(EINVAL);
        }
        let target = self.target(&info)?;
        let count = target.len().min(data.length() as usize);
        data.write(0, &target[..count]);
        Ok(Answer { count: count as u64, ..Answer::default() })
    }

    fn open(&mut self, request: &Request, path: &[u8]) -> Result<Answer, Errno> {
        let flags = request.flags;
        let is_path = flags & O_PATH != 0;
        let writes = !is_path && matches!(flags & O_ACCMODE, O_WRONLY | O_RDWR);
        let reads = !is_path && flags & O_ACCMODE != O_WRONLY;
        if flags & !OPEN_FLAGS != 0 {
            return Err(EINVAL);
        }
        if flags & O_TMPFILE == O_TMPFILE {
            return Err(if writes { EOPNOTSUPP } else { EINVAL });
        }
        if flags & (O_CREAT | O_DIRECTORY) == O_CREAT | O_DIRECTORY {
            return Err(EINVAL);
        }
        self.files.check_room()?;
        let creates = !is_path && flags & O_CREAT != 0;
        let info = match creates {
            true => self.find_or_make(request, path)?,
            false => {
                let number = self.reach(request.handle, path, flags & O_NOFOLLOW == 0)?;
                self.named(number)?
            }
        };
        self.check_open(&info, flags, writes, creates)?;
        let open = Open {
            inode: info.number,
            reads,
            writes,
            durable: writes && flags & O_DSYNC != 0,
            reader: None,
            read_to: 0,
            ahead_to: 0,
            errors_seen: 0,
        };
        let handle = self.files.add(open)?;
        let truncates = !is_path && flags & O_TRUNC != 0 && info.file_type() == DirectoryEntryType::RegularFile;
        if let Err(error) = if truncates { self.resize(info.number, 0) } else { Ok(()) } {
            let _ = self.close(handle);
            return Err(error);
        }
        let info = self.info(info.number)?;
        Ok(Answer { handle, attributes: self.attributes(&info), ..Answer::default() })
    }

    /// The file at a path, which is made if it is not there.
    fn find_or_make(&mut self, request: &Request, path: &[u8]) -> Result<InodeInfo, Errno> {
        let is_new = request.flags & O_EXCL != 0;
        let base = self.inode_of(request.handle)?;
        let follow = !is_new && request.flags & O_NOFOLLOW == 0;
        let place = self.walk(base, path, follow)?;
        match place.inode {
            Some(_) if is_new => Err(EEXIST),
            Some(number) => self.named(number),
            None if place.slash => Err(EISDIR),
            None if self.read_only => Err(EROFS),
            None => self.make_file(place.parent, &place.name, request.mode),
        }
    }

    /// Checks whether a file can be opened in a way.
    fn check_open(&self, info: &InodeInfo, flags: u32, writes: bool, creates: bool) -> Result<(), Errno> {
        let kind = info.file_type();
        if flags & O_DIRECTORY != 0 && kind != DirectoryEntryType::Directory {
            return Err(ENOTDIR);
        }
        if flags & O_PATH != 0 {
            return Ok(());
        }
        let changes = writes || flags & O_TRUNC != 0;
        match kind {
            DirectoryEntryType::Directory if changes || creates => Err(EISDIR),
            DirectoryEntryType::Directory => Ok(()),
            DirectoryEntryType::Symlink => Err(ELOOP),
            DirectoryEntryType::RegularFile if changes && self.read_only => Err(EROFS),
            DirectoryEntryType::RegularFile if changes && info.flags.contains(InodeFlags::IMMUTABLE) => Err(EPERM),
            DirectoryEntryType::RegularFile => Ok(()),
            DirectoryEntryType::Unknown => Err(EBADF),
            _ => Err(ENXIO),
        }
    }
}

/// Returns true if an operation changes the volume.
fn changes(operation: u16, request: &Request) -> bool {
    match operation {
        STAT | READ | LIST | SYNC | READ_LINK | SPACE | FLOCK | LOCK | GET_LOCK | SEEK | CLOSE => false,
        OPEN => request.flags & (O_CREAT | O_TRUNC) != 0,
        _ => true,
    }
}
