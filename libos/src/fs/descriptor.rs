//! Descriptors: numbers of the program's open files.

use super::handle::DescriptionKey;
use crate::errno::Errno;
use alloc::vec::Vec;

/// Most descriptors, whatever the program sets as limit.
pub const DESCRIPTORS_MAXIMUM: u64 = 1 << 20;

/// Initial limit of descriptors. On Linux it is 1024 for the sake of select(2), and the starter of a server raises it; here
/// there is no such starter.
const LIMIT: u64 = 1 << 16;

/// Descriptor in use.
#[derive(Clone, Copy, Debug)]
pub(super) struct Descriptor {
    pub(super) description: DescriptionKey,
    pub(super) close_on_exec: bool,
}

/// The process's descriptors.
#[derive(Debug)]
pub struct Descriptors {
    pub(super) slots: Vec<Option<Descriptor>>,
    /// Number below which none is free.
    lowest: usize,
    /// Soft limit of `RLIMIT_NOFILE`: all descriptors are below it.
    pub limit: u64,
    /// Descriptor that the restarted call was made with, and its description, which the call keeps though it may be closed.
    kept: Option<Kept>,
}

/// Descriptor of a call that waits, with the description that it had when the call was made; counted.
pub type Kept = (i32, DescriptionKey);

impl Default for Descriptors {
    fn default() -> Self {
        Self { slots: Vec::new(), lowest: 0, limit: LIMIT, kept: None }
    }
}

impl Descriptors {
    /// The lowest free number that is at least `from`; makes its slot.
    pub(super) fn free(&mut self, from: usize) -> Result<usize, Errno> {
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
    pub(super) fn grow(&mut self, number: usize) -> Result<(), Errno> {
        if number as u64 >= self.limit.min(DESCRIPTORS_MAXIMUM) {
            return Err(Errno::EMFILE);
        }
        if number >= self.slots.len() {
            self.slots.try_reserve(number + 1 - self.slots.len()).map_err(|_| Errno::ENOMEM)?;
            self.slots.resize(number + 1, None);
        }
        Ok(())
    }

    /// The descriptor `number`.
    pub(super) fn get(&self, number: i32) -> Result<Descriptor, Errno> {
        let slot = usize::try_from(number).ok().and_then(|number| self.slots.get(number));
        slot.copied().flatten().ok_or(Errno::EBADF)
    }

    /// Frees `number`, and returns the description behind it.
    pub(super) fn take(&mut self, number: i32) -> Result<DescriptionKey, Errno> {
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

    /// Sets the descriptor of the call that is about to be restarted; `None` when it has been.
    pub fn keep(&mut self, kept: Option<Kept>) {
        self.kept = kept;
    }

    /// The description behind `number`; for a restarted call, the one that it was made with.
    #[inline]
    pub fn description(&self, number: i32) -> Result<DescriptionKey, Errno> {
        if let Some((kept, description)) = self.kept
            && kept == number
        {
            return Ok(description);
        }
        self.get(number).map(|descriptor| descriptor.description)
    }
}
