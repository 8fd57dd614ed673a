//! Copies from file to file, without the program in between.

use super::Files;
use super::buffers::Buffers;
use super::data::{PAGE, SIZE_MAXIMUM};
use super::description::Access;
use super::external::External;
use super::file::TRANSFER_MAXIMUM;
use super::handle::DescriptionKey;
use super::inode::{Kind, Time};
use super::offset::check_area;
use crate::errno::Errno;
use crate::syscall_result::{Stop, SyscallResult};
use linux_raw_sys::general as linux;

impl Files {
    /// sendfile(2) and copy_file_range(2), after their arguments have been checked: copies up to `count` bytes. An end without
    /// an offset of its own advances that of its description.
    #[expect(clippy::too_many_arguments, reason = "two ends, each with an offset")]
    pub(super) fn copy(
        &mut self,
        outside: &mut dyn External,
        from: DescriptionKey,
        from_offset: Option<u64>,
        to: DescriptionKey,
        to_offset: Option<u64>,
        count: u64,
        now: Time,
    ) -> SyscallResult {
        let count = count.min(TRANSFER_MAXIMUM);
        let mut page = alloc::vec::Vec::new();
        page.try_reserve_exact(PAGE as usize).map_err(|_| Errno::ENOMEM)?;
        let mut done = 0;
        while done < count {
            let description = &self.descriptions[from];
            let offset = from_offset.map_or(description.offset, |offset| offset + done);
            let wanted = (PAGE - offset % PAGE).min(count - done);
            let Kind::Regular(data) = &self.nodes[description.node].kind else { return Err(Errno::EINVAL.into()) };
            data.take(offset, wanted as usize, &mut page);
            if page.is_empty() {
                break;
            }
            let at = to_offset.map(|offset| offset + done);
            let written = match self.write_through(outside, to, at, Buffers::own(&page), false, || now) {
                Ok(written) => written,
                Err(Stop::Block(_) | Stop::Gate | Stop::Errno(_)) if done > 0 => break,
                Err(stop) => return Err(stop),
            };
            if from_offset.is_none() {
                self.descriptions[from].offset += written;
            }
            done += written;
            if written < page.len() as u64 {
                break;
            }
        }
        if done > 0 {
            self.touch(from, now);
            self.report(self.descriptions[from].node, linux::IN_ACCESS);
            self.report(self.descriptions[to].node, linux::IN_MODIFY);
        }
        Ok(done)
    }

    /// sendfile(2), with the program's offset, if there is one. The offset afterwards is that plus the count.
    pub fn send(
        &mut self,
        outside: &mut dyn External,
        to: i32,
        from: i32,
        at: Option<u64>,
        count: u64,
        now: Time,
    ) -> SyscallResult {
        let from = self.usable_to(from, Access::READ)?;
        let source = &self.descriptions[from];
        self.nodes[source.node].kind.check(at, Access::READ, source.access())?;
        check_area(at.unwrap_or(source.offset), count)?;
        let to = self.usable_to(to, Access::WRITE)?;
        let count = count.min(TRANSFER_MAXIMUM);
        check_area(self.descriptions[to].offset, count)?;
        if !matches!(self.nodes[self.descriptions[from].node].kind, Kind::Regular(_)) {
            return Err(Errno::EINVAL.into());
        }
        if self.descriptions[to].flags & linux::O_APPEND != 0 {
            return Err(Errno::EINVAL.into());
        }
        self.copy(outside, from, at, to, None, count, now)
    }

    /// copy_file_range(2), with the program's offsets, if there are any.
    pub fn copy_range(
        &mut self,
        outside: &mut dyn External,
        from: (i32, Option<u64>),
        to: (i32, Option<u64>),
        count: u64,
        now: Time,
    ) -> SyscallResult {
        let from_key = self.usable(from.0)?;
        let to_key = self.usable(to.0)?;
        let (source, target) = (&self.descriptions[from_key], &self.descriptions[to_key]);
        let nodes = [source.node, target.node];
        if nodes.iter().any(|node| self.nodes[*node].kind.is_directory()) {
            return Err(Errno::EISDIR.into());
        }
        if nodes.iter().any(|node| !matches!(self.nodes[*node].kind, Kind::Regular(_))) {
            return Err(Errno::EINVAL.into());
        }
        if !source.access().contains(Access::READ)
            || !target.access().contains(Access::WRITE)
            || target.flags & linux::O_APPEND != 0
        {
            return Err(Errno::EBADF.into());
        }
        let start = from.1.unwrap_or(source.offset);
        let target_start = to.1.unwrap_or(target.offset);
        let size = self.nodes[source.node].size();
        if start.checked_add(count).is_none() || target_start.checked_add(count).is_none() {
            return Err(Errno::EOVERFLOW.into());
        }
        if target_start == SIZE_MAXIMUM {
            return Err(Errno::EFBIG.into());
        }
        let count = count.min(size.saturating_sub(start));
        if source.node == target.node && start < target_start + count && target_start < start + count {
            return Err(Errno::EINVAL.into());
        }
        check_area(start, count)?;
        check_area(target_start, count)?;
        self.copy(outside, from_key, from.1, to_key, to.1, count, now)
    }
}
