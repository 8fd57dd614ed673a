//! The process's descriptors, and the open file descriptions behind them.

use super::Files;
use super::description::{Access, Description};
use super::descriptor::{Descriptor, Kept};
use super::handle::{DescriptionKey, NodeKey};
use super::inode::{Kind, Mount, Time};
use crate::errno::Errno;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// Flags that `F_SETFL` changes.
const CHANGEABLE: u32 = linux::O_APPEND | linux::O_NONBLOCK | linux::O_NOATIME | linux::O_DIRECT;

impl Files {
    /// The description behind a descriptor.
    pub fn description(&self, descriptor: i32) -> Result<&Description, Errno> {
        self.descriptors.description(descriptor).map(|key| &self.descriptions[key])
    }

    /// EBADF unless a descriptor is open, and not just with `O_PATH`.
    pub fn check(&self, descriptor: i32) -> Result<(), Errno> {
        self.usable(descriptor).map(|_| ())
    }

    /// The description behind a descriptor; EBADF with `O_PATH`.
    pub(super) fn usable(&self, descriptor: i32) -> Result<DescriptionKey, Errno> {
        let key = self.descriptors.description(descriptor)?;
        if self.descriptions[key].flags & linux::O_PATH != 0 { Err(Errno::EBADF) } else { Ok(key) }
    }

    /// The description, like [`Files::usable`]; EBADF also if it does not allow `access`.
    pub(super) fn usable_to(&self, descriptor: i32, access: Access) -> Result<DescriptionKey, Errno> {
        let key = self.usable(descriptor)?;
        if self.descriptions[key].access().contains(access) { Ok(key) } else { Err(Errno::EBADF) }
    }

    /// Kind of the file behind a descriptor.
    pub fn kind(&self, descriptor: i32) -> Result<&Kind, Errno> {
        self.description(descriptor).map(|description| &self.nodes[description.node].kind)
    }

    /// Opens `node`; takes over a reference of the caller.
    pub(super) fn add_description(&mut self, node: NodeKey, flags: u32) -> Result<DescriptionKey, Errno> {
        let flags = flags & !(linux::O_CREAT | linux::O_EXCL | linux::O_NOCTTY | linux::O_TRUNC | linux::O_CLOEXEC);
        let inode = &self.nodes[node];
        // Pipes, sockets and the like are not opened by a name, where Linux adds the flag.
        let is_opened = inode.mount != Mount::Nameless || matches!(inode.kind, Kind::Folder(_));
        let flags = if is_opened && flags & linux::O_PATH == 0 { flags | linux::O_LARGEFILE } else { flags };
        match self.descriptions.insert(Description {
            node,
            flags,
            offset: 0,
            users: Vec::new(),
            lock: None,
            text: None,
        }) {
            Ok(key) => {
                self.opened(node, Access::from_flags(flags));
                Ok(key)
            }
            Err(errno) => {
                self.release(node);
                Err(errno)
            }
        }
    }

    /// Opens `node` and returns a descriptor for it; takes over a reference of the caller.
    pub(super) fn open_node(&mut self, node: NodeKey, flags: u32) -> Result<i32, Errno> {
        let description = self.add_description(node, flags)?;
        self.add_descriptor(description, 0, flags & linux::O_CLOEXEC != 0)
    }

    /// Drops a reference to a description; closes it with the last one.
    pub(super) fn release_description(&mut self, key: DescriptionKey) {
        if let Some(description) = self.descriptions.release(key) {
            self.unlock_closed(key, &description);
            self.unwatch_closed(key, description.node);
            if description.flags & linux::O_PATH == 0 {
                self.closed(description.node, description.access());
                let written = description.access().contains(Access::WRITE);
                self.report(description.node, if written { linux::IN_CLOSE_WRITE } else { linux::IN_CLOSE_NOWRITE });
            }
            self.release(description.node);
        }
    }

    /// Keeps the description behind a descriptor for a call that waits; `None` if there is none.
    pub fn keep(&mut self, descriptor: i32) -> Option<Kept> {
        let key = self.descriptors.description(descriptor).ok()?;
        self.descriptions.retain(key);
        Some((descriptor, key))
    }

    /// Gives back what a thread's call has kept.
    pub fn give_back(&mut self, (_, key): Kept, thread: u32) {
        self.end_turn(key, thread);
        self.release_description(key);
    }

    /// `F_GETFL`.
    pub fn status_flags(&self, descriptor: i32) -> Result<u32, Errno> {
        self.description(descriptor).map(|description| description.flags)
    }

    /// `F_SETFL`.
    pub fn set_status_flags(&mut self, descriptor: i32, flags: u32) -> Result<(), Errno> {
        let key = self.usable(descriptor)?;
        let description = &mut self.descriptions[key];
        description.flags = (description.flags & !CHANGEABLE) | (flags & CHANGEABLE);
        Ok(())
    }

    /// `FIONBIO`: if true, calls fail rather than wait.
    pub fn set_nonblocking(&mut self, descriptor: i32, to: bool) -> Result<(), Errno> {
        let flags = self.status_flags(descriptor)? & !linux::O_NONBLOCK;
        self.set_status_flags(descriptor, if to { flags | linux::O_NONBLOCK } else { flags })
    }

    /// Updates the access time of `node` after a read through `key`.
    pub(super) fn touch(&mut self, key: DescriptionKey, now: Time) {
        let Description { node, flags, .. } = self.descriptions[key];
        if flags & linux::O_NOATIME == 0 {
            self.nodes[node].accessed(now);
        }
    }

    /// EMFILE unless one more descriptor is available.
    pub fn check_descriptor_free(&mut self) -> Result<(), Errno> {
        self.descriptors.free(0).map(|_| ())
    }

    /// Returns the lowest free descriptor, at least `from`, for a description; takes over a reference of the caller.
    pub(super) fn add_descriptor(
        &mut self,
        description: DescriptionKey,
        from: usize,
        close_on_exec: bool,
    ) -> Result<i32, Errno> {
        match self.descriptors.free(from) {
            Ok(number) => {
                self.descriptors.slots[number] = Some(Descriptor { description, close_on_exec });
                Ok(number as i32)
            }
            Err(errno) => {
                self.release_description(description);
                Err(errno)
            }
        }
    }

    /// close(2).
    pub fn close(&mut self, number: i32) -> Result<(), Errno> {
        let description = self.descriptors.take(number)?;
        self.release_description(description);
        Ok(())
    }

    /// close_range(2), from `first` to `last`; `mark` only sets close-on-exec.
    pub fn close_range(&mut self, first: u32, last: u32, mark: bool) -> Result<(), Errno> {
        if first > last {
            return Err(Errno::EINVAL);
        }
        let mut from = u64::from(first);
        while let Some(number) = self.descriptors.next_used(from).filter(|number| *number as u32 <= last) {
            if mark {
                self.set_close_on_exec(number, true)?;
            } else {
                self.close(number)?;
            }
            from = number as u64 + 1;
        }
        Ok(())
    }

    /// dup(2) and `F_DUPFD`: another descriptor, at least `from`, for the same description.
    pub fn duplicate(&mut self, number: i32, from: u64, close_on_exec: bool) -> Result<i32, Errno> {
        let description = self.descriptors.description(number)?;
        let from = usize::try_from(from).ok().filter(|from| (*from as u64) < self.descriptors.limit);
        let from = from.ok_or(Errno::EINVAL)?;
        self.descriptions.retain(description);
        self.add_descriptor(description, from, close_on_exec)
    }

    /// dup2(2) and dup3(2): makes `to` a descriptor of the same description. dup3 alone refuses equal numbers.
    pub fn duplicate_to(&mut self, number: i32, to: i32, close_on_exec: bool) -> Result<i32, Errno> {
        let slot = usize::try_from(to).ok().filter(|to| (*to as u64) < self.descriptors.limit).ok_or(Errno::EBADF)?;
        let description = self.descriptors.description(number)?;
        if number == to {
            return Ok(to);
        }
        self.descriptors.grow(slot).map_err(|_| Errno::EBADF)?;
        self.descriptions.retain(description);
        let before = self.descriptors.slots[slot].replace(Descriptor { description, close_on_exec });
        if let Some(before) = before {
            self.release_description(before.description);
        }
        Ok(to)
    }

    /// Returns true if execve(2) would close the descriptor.
    pub fn close_on_exec(&self, number: i32) -> Result<bool, Errno> {
        self.descriptors.get(number).map(|descriptor| descriptor.close_on_exec)
    }

    /// Sets the value of [`Files::close_on_exec`].
    pub fn set_close_on_exec(&mut self, number: i32, to: bool) -> Result<(), Errno> {
        self.descriptors.get(number)?;
        if let Some(Some(descriptor)) = self.descriptors.slots.get_mut(number as usize) {
            descriptor.close_on_exec = to;
        }
        Ok(())
    }
}
