//! Descriptors: numbers of the program's open files.

use super::Files;
use super::description::DescriptionKey;
use crate::errno::Errno;
use alloc::vec::Vec;

/// Most descriptors, whatever the program sets as limit.
pub const DESCRIPTORS_MAXIMUM: u64 = 1 << 20;

/// Initial limit of descriptors. On Linux it is 1024 for the sake of select(2), and the starter of a server raises it; here
/// there is no such starter.
const LIMIT: u64 = 1 << 16;

/// Descriptor in use.
#[derive(Clone, Copy, Debug)]
struct Descriptor {
    description: DescriptionKey,
    close_on_exec: bool,
}

/// The process's descriptors.
#[derive(Debug)]
pub struct Descriptors {
    slots: Vec<Option<Descriptor>>,
    /// Number below which none is free.
    lowest: usize,
    /// Soft limit of `RLIMIT_NOFILE`: all descriptors are below it.
    pub limit: u64,
}

impl Default for Descriptors {
    fn default() -> Self {
        Self { slots: Vec::new(), lowest: 0, limit: LIMIT }
    }
}

impl Descriptors {
    /// The lowest free number that is at least `from`; makes its slot.
    fn free(&mut self, from: usize) -> Result<usize, Errno> {
        let start = from.max(self.lowest);
        let rest = self.slots.get(start..).unwrap_or_default();
        let number = match rest.iter().position(Option::is_none) {
            Some(position) => start + position,
            None => start.max(self.slots.len()),
        };
        if from <= self.lowest {
            self.lowest = number;
        }
        self.grow(number)?;
        Ok(number)
    }

    /// Makes a slot for `number`; EMFILE at the limit.
    fn grow(&mut self, number: usize) -> Result<(), Errno> {
        if number as u64 >= self.limit.min(DESCRIPTORS_MAXIMUM) {
            return Err(Errno::EMFILE);
        }
        if number >= self.slots.len() {
            self.slots.try_reserve(number + 1 - self.slots.len()).map_err(|_| Errno::ENOMEM)?;
            self.slots.resize(number + 1, None);
        }
        Ok(())
    }

    fn get(&self, number: i32) -> Result<Descriptor, Errno> {
        let slot = usize::try_from(number).ok().and_then(|number| self.slots.get(number));
        slot.copied().flatten().ok_or(Errno::EBADF)
    }

    fn take(&mut self, number: i32) -> Result<DescriptionKey, Errno> {
        let number = usize::try_from(number).map_err(|_| Errno::EBADF)?;
        let descriptor = self.slots.get_mut(number).and_then(Option::take).ok_or(Errno::EBADF)?;
        self.lowest = self.lowest.min(number);
        Ok(descriptor.description)
    }

    /// The lowest number in use that is at least `from`.
    pub fn next_used(&self, from: u64) -> Option<i32> {
        let start = usize::try_from(from).ok()?;
        let position = self.slots.get(start..)?.iter().position(Option::is_some)?;
        i32::try_from(start + position).ok()
    }

    /// The description behind `number`.
    pub fn description(&self, number: i32) -> Result<DescriptionKey, Errno> {
        self.get(number).map(|descriptor| descriptor.description)
    }
}

impl Files {
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
