//! Deadlines of sleeping threads: a binary heap with an index of each thread's entry.
//!
//! Memory is reserved when a thread is made, so that falling asleep cannot fail.

use super::thread::Slot;
use crate::errno::Errno;
use alloc::vec::Vec;

/// Pending deadlines, at most one for each slot.
#[derive(Debug, Default)]
pub struct Timers {
    /// No entry is earlier than its parent, the one at half its index (counted from 1).
    heap: Vec<(u64, Slot)>,
    /// Position of each slot's entry in the heap, if it has one.
    places: Vec<Option<u32>>,
}

impl Timers {
    /// Returns a heap without deadlines.
    pub const fn new() -> Self {
        Self { heap: Vec::new(), places: Vec::new() }
    }

    /// Makes sure that slots below `count` can have deadlines.
    pub fn reserve(&mut self, count: usize) -> Result<(), Errno> {
        let more = count.saturating_sub(self.places.len());
        self.places.try_reserve(more).map_err(|_| Errno::ENOMEM)?;
        self.heap.try_reserve(count.saturating_sub(self.heap.len())).map_err(|_| Errno::ENOMEM)?;
        self.places.resize(self.places.len() + more, None);
        Ok(())
    }

    /// The earliest deadline.
    #[inline]
    pub fn earliest(&self) -> Option<u64> {
        self.heap.first().map(|(deadline, _)| *deadline)
    }

    /// Adds the deadline of `slot`, which has none.
    pub fn insert(&mut self, slot: Slot, deadline: u64) {
        let at = self.heap.len();
        self.heap.push((deadline, slot));
        self.settle(at);
    }

    /// Removes the deadline of `slot`, if it has one.
    pub fn remove(&mut self, slot: Slot) {
        let Some(at) = self.places.get_mut(slot.index()).and_then(Option::take) else { return };
        let at = at as usize;
        self.heap.swap_remove(at);
        if at < self.heap.len() {
            self.settle(at);
        }
    }

    /// Removes a slot with a deadline that is not after `now`.
    pub fn expire(&mut self, now: u64) -> Option<Slot> {
        let (deadline, slot) = *self.heap.first()?;
        if deadline > now {
            return None;
        }
        self.remove(slot);
        Some(slot)
    }

    /// Moves the entry at `at` up or down to its position.
    fn settle(&mut self, mut at: usize) {
        while at > 0 && self.key(at) < self.key((at - 1) / 2) {
            self.swap(at, (at - 1) / 2);
            at = (at - 1) / 2;
        }
        loop {
            let (left, right) = (2 * at + 1, 2 * at + 2);
            let child = if right < self.heap.len() && self.key(right) < self.key(left) { right } else { left };
            if child >= self.heap.len() || self.key(at) <= self.key(child) {
                break;
            }
            self.swap(at, child);
            at = child;
        }
        self.note(at);
    }

    fn key(&self, at: usize) -> u64 {
        self.heap.get(at).map_or(u64::MAX, |(deadline, _)| *deadline)
    }

    fn swap(&mut self, at: usize, other: usize) {
        self.heap.swap(at, other);
        self.note(at);
        self.note(other);
    }

    fn note(&mut self, at: usize) {
        if let Some((_, slot)) = self.heap.get(at)
            && let Some(place) = self.places.get_mut(slot.index())
        {
            *place = Some(at as u32);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deadlines_come_in_order_whatever_is_removed() {
        let mut timers = Timers::new();
        timers.reserve(100).expect("memory");
        for number in 0..100u32 {
            timers.insert(Slot(number), u64::from(number * 37 % 100));
        }
        for number in (0..100).step_by(3) {
            timers.remove(Slot(number));
            timers.remove(Slot(number));
        }
        assert_eq!(timers.earliest(), Some(1), "0 was that of slot 0");
        let mut last = 0;
        let mut count = 0;
        while let Some(slot) = timers.expire(1000) {
            let deadline = u64::from(slot.0 * 37 % 100);
            assert!(deadline >= last && !slot.0.is_multiple_of(3));
            last = deadline;
            count += 1;
        }
        assert_eq!(count, 66);
    }

    #[test]
    fn only_what_is_due_expires() {
        let mut timers = Timers::new();
        timers.reserve(2).expect("memory");
        timers.insert(Slot(0), 10);
        timers.insert(Slot(1), 5);
        assert_eq!(timers.expire(4), None);
        assert_eq!(timers.expire(5), Some(Slot(1)));
        assert_eq!(timers.expire(9), None);
        assert_eq!(timers.earliest(), Some(10));
    }
}
