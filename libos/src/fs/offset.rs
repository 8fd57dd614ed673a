//! Offsets in files, by kind: see [`super::file`].
//!
//! A call on a disk or a file of a folder waits between the request, which has the offset, and the answer, after which the offset
//! changes. Calls that use the offset of one description take turns, as by `f_pos_lock` of Linux: one that waits is entered in the
//! list of the description, in which only the first may go on, and leaves it at its end.

use super::Files;
use super::data::SIZE_MAXIMUM;
use super::description::Description;
use super::descriptor::Kept;
use super::external::External;
use super::handle::DescriptionKey;
use super::inode::Kind;
use crate::errno::Errno;
use crate::syscall_result::Stop;
use linux_raw_sys::general as linux;

/// Checks the offset argument of a call: EINVAL if it is negative.
pub fn checked(raw: u64) -> Result<u64, Errno> {
    if raw > SIZE_MAXIMUM { Err(Errno::EINVAL) } else { Ok(raw) }
}

/// EINVAL if a transfer would go beyond the largest offset.
pub(super) fn check_area(offset: u64, length: u64) -> Result<(), Errno> {
    match offset.checked_add(length) {
        Some(0..=SIZE_MAXIMUM) => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

impl Description {
    /// Waits until the call may use the offset.
    pub(super) fn await_turn(&mut self, outside: &mut dyn External) -> Result<(), Stop> {
        // Room for `Files::take_turn`.
        self.users.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        outside.await_turn(self.users.first().copied(), self.node)
    }
}

impl Files {
    /// Waits until the call may use the offset of a descriptor's file, if calls on that wait.
    pub fn await_offset(&mut self, outside: &mut dyn External, descriptor: i32) -> Result<(), Stop> {
        let key = self.descriptors.description(descriptor)?;
        if self.takes_turns(key) { self.descriptions[key].await_turn(outside) } else { Ok(()) }
    }

    fn takes_turns(&self, key: DescriptionKey) -> bool {
        matches!(self.nodes[self.descriptions[key].node].kind, Kind::Disk(_) | Kind::Folder(_))
    }

    /// Enters a thread, whose call uses the offset of what it has kept and is about to wait.
    pub fn take_turn(&mut self, (_, key): Kept, thread: u32) {
        if self.takes_turns(key) {
            let users = &mut self.descriptions[key].users;
            if !users.contains(&thread) && users.len() < users.capacity() {
                users.push(thread);
            }
        }
    }

    /// Ends the turn of a thread, if it is entered.
    pub(super) fn end_turn(&mut self, key: DescriptionKey, thread: u32) {
        let Description { users, node, .. } = &mut self.descriptions[key];
        if let Some(at) = users.iter().position(|user| *user == thread) {
            users.remove(at);
            self.ready_list.add(*node);
        }
    }

    /// lseek(2).
    pub fn seek(&mut self, descriptor: i32, offset: i64, whence: u32) -> Result<u64, Errno> {
        let key = self.usable(descriptor)?;
        if whence > linux::SEEK_HOLE {
            return Err(Errno::EINVAL);
        }
        let description = &self.descriptions[key];
        let current = description.offset;
        let (size, data) = match &self.nodes[description.node].kind {
            Kind::Regular(data) => (data.size(), Some(data)),
            Kind::Image => (self.image_size, None),
            Kind::Generated(_) => (description.text.as_ref().map_or(0, |text| text.len() as u64), None),
            Kind::Disk(disk) => (disk.size, None),
            Kind::Directory(_) | Kind::Descriptors if matches!(whence, linux::SEEK_SET | linux::SEEK_CUR) => (0, None),
            Kind::Directory(_) | Kind::Descriptors => return Err(Errno::EINVAL),
            Kind::Link(_) => return Err(Errno::EBADF),
            // What needs the host is not asked here.
            Kind::Folder(_) if matches!(whence, linux::SEEK_SET | linux::SEEK_CUR) => (0, None),
            Kind::Folder(_) => return Err(Errno::EINVAL),
            kind if kind.is_stream() => return Err(Errno::ESPIPE),
            Kind::SocketName(_) => return Err(Errno::ESPIPE),
            _ => return Ok(0),
        };
        let inside = || u64::try_from(offset).ok().filter(|offset| *offset < size).ok_or(Errno::ENXIO);
        let to = match whence {
            linux::SEEK_SET => Some(offset),
            linux::SEEK_CUR => (current as i64).checked_add(offset),
            linux::SEEK_END => (size as i64).checked_add(offset),
            linux::SEEK_DATA => {
                let from = inside()?;
                Some(data.map_or(Some(from), |data| data.next_data(from)).ok_or(Errno::ENXIO)? as i64)
            }
            linux::SEEK_HOLE => {
                let from = inside()?;
                Some(data.map_or(size, |data| data.next_hole(from)) as i64)
            }
            _ => return Err(Errno::EINVAL),
        };
        let to = to.and_then(|to| u64::try_from(to).ok()).ok_or(Errno::EINVAL)?;
        self.descriptions[key].offset = to;
        Ok(to)
    }
}
