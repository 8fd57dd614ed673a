//! Size of files, and allocation of space.

use super::Files;
use super::data::SIZE_MAXIMUM;
use super::description::Access;
use super::external::External;
use super::handle::NodeKey;
use super::inode::{Kind, Time};
use crate::errno::Errno;
use crate::syscall_result::SyscallResult;
use linux_raw_sys::general as linux;

impl Files {
    /// truncate(2).
    pub fn truncate(&mut self, path: &[u8], size: i64, now: Time) -> Result<(), Errno> {
        let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
        let node = self.resolve(linux::AT_FDCWD, path, true)?;
        self.set_size(node, size, now)
    }

    /// ftruncate(2).
    pub fn truncate_open(&mut self, descriptor: i32, size: i64, now: Time) -> Result<(), Errno> {
        let size = u64::try_from(size).map_err(|_| Errno::EINVAL)?;
        let description = &self.descriptions[self.usable(descriptor)?];
        if !description.access().contains(Access::WRITE) {
            return Err(Errno::EINVAL);
        }
        self.set_size(description.node, size, now)
    }

    fn set_size(&mut self, node: NodeKey, size: u64, now: Time) -> Result<(), Errno> {
        let inode = &mut self.nodes[node];
        match &mut inode.kind {
            Kind::Regular(data) => {
                data.check_changeable()?;
                data.set_size(&mut self.quota, size);
            }
            Kind::Directory(_) | Kind::Descriptors => return Err(Errno::EISDIR),
            Kind::Generated(_) | Kind::Image => return Err(Errno::EACCES),
            _ => return Err(Errno::EINVAL),
        }
        inode.modified(now);
        self.report(node, linux::IN_MODIFY);
        Ok(())
    }

    /// fallocate(2).
    pub fn allocate(
        &mut self,
        outside: &mut dyn External,
        descriptor: i32,
        mode: u32,
        (offset, length): (i64, i64),
        now: Time,
    ) -> SyscallResult {
        let description = &self.descriptions[self.usable(descriptor)?];
        let node = description.node;
        let (Ok(start), Ok(length @ 1..)) = (u64::try_from(offset), u64::try_from(length)) else {
            return Err(Errno::EINVAL.into());
        };
        let may_write = description.access().contains(Access::WRITE);
        let inode = &mut self.nodes[description.node];
        if let Kind::Disk(disk) = inode.kind {
            return outside.request(disk, disk.allocate(mode, start, length, may_write)?);
        }
        let keep_size = mode & linux::FALLOC_FL_KEEP_SIZE != 0;
        let punch = mode & linux::FALLOC_FL_PUNCH_HOLE != 0;
        let known = linux::FALLOC_FL_KEEP_SIZE | linux::FALLOC_FL_PUNCH_HOLE;
        if mode & !known != 0 || (punch && !keep_size) {
            return Err(Errno::EOPNOTSUPP.into());
        }
        if !may_write {
            return Err(Errno::EBADF.into());
        }
        let data = match &mut inode.kind {
            Kind::Regular(data) => data,
            Kind::Pipe(_) => return Err(Errno::ESPIPE.into()),
            Kind::Directory(_) | Kind::Descriptors => return Err(Errno::EISDIR.into()),
            _ => return Err(Errno::ENODEV.into()),
        };
        data.check_changeable()?;
        let end = start.checked_add(length).filter(|end| *end <= SIZE_MAXIMUM).ok_or(Errno::EFBIG)?;
        if punch {
            data.take_over(&mut self.quota)?;
            data.discard(&mut self.quota, start, end);
        } else {
            data.allocate(&mut self.quota, start, end)?;
            if !keep_size && end > data.size() {
                data.set_size(&mut self.quota, end);
            }
        }
        inode.modified(now);
        self.report(node, linux::IN_MODIFY);
        Ok(0)
    }
}
