//! Threads that wait on futexes: by address, woken in FIFO order.
//!
//! Hash table with at least as many lists as there can be threads, linked through one entry per thread, so that waiting needs
//! no memory.

use super::thread::Slot;
use crate::errno::Errno;
use alloc::vec::Vec;

/// Least number of lists, always a power of two; addresses with the same hash share a list.
const LISTS: usize = 16;

#[derive(Clone, Copy, Debug, Default)]
struct List {
    first: Option<Slot>,
    last: Option<Slot>,
}

#[derive(Clone, Copy, Debug, Default)]
struct Entry {
    /// Address of the futex; 0 while the thread does not wait.
    address: u64,
    bits: u32,
    previous: Option<Slot>,
    next: Option<Slot>,
}

/// Waiting threads.
#[derive(Debug)]
pub struct Futexes {
    lists: Vec<List>,
    entries: Vec<Entry>,
}

impl Futexes {
    /// Returns a table without waiting threads.
    pub const fn new() -> Self {
        Self { lists: Vec::new(), entries: Vec::new() }
    }

    /// List of an address: high bits of a multiplicative hash.
    fn list(&mut self, address: u64) -> Option<&mut List> {
        let hash = address.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32;
        let mask = self.lists.len().wrapping_sub(1);
        self.lists.get_mut(hash as usize & mask)
    }

    /// Makes sure that slots below `count` can wait.
    pub fn reserve(&mut self, count: usize) -> Result<(), Errno> {
        let more = count.saturating_sub(self.entries.len());
        self.entries.try_reserve(more).map_err(|_| Errno::ENOMEM)?;
        self.entries.resize(self.entries.len() + more, Entry::default());
        let wanted = count.next_power_of_two().max(LISTS);
        if wanted > self.lists.len() {
            self.spread(wanted)?;
        }
        Ok(())
    }

    /// Spreads the waiting threads over `count` lists; threads that wait at the same address stay in order.
    fn spread(&mut self, count: usize) -> Result<(), Errno> {
        let mut lists = Vec::new();
        lists.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        lists.resize(count, List::default());
        for list in core::mem::replace(&mut self.lists, lists) {
            let mut at = list.first;
            while let Some((slot, entry)) = at.and_then(|slot| Some((slot, *self.entries.get(slot.index())?))) {
                self.insert(slot, entry.address, entry.bits);
                at = entry.next;
            }
        }
        Ok(())
    }

    /// Makes `slot`, which does not wait, wait at `address`, which is not 0.
    pub fn insert(&mut self, slot: Slot, address: u64, bits: u32) {
        let Some(list) = self.list(address) else { return };
        let previous = list.last.replace(slot);
        if previous.is_none() {
            list.first = Some(slot);
        }
        if let Some(entry) = previous.and_then(|previous| self.entries.get_mut(previous.index())) {
            entry.next = Some(slot);
        }
        if let Some(entry) = self.entries.get_mut(slot.index()) {
            *entry = Entry { address, bits, previous, next: None };
        }
    }

    /// Ends the wait of `slot`, if it waits.
    pub fn remove(&mut self, slot: Slot) {
        let Some(entry) = self.entries.get_mut(slot.index()).filter(|entry| entry.address != 0) else { return };
        let Entry { address, previous, next, .. } = core::mem::take(entry);
        let Some(list) = self.list(address) else { return };
        if previous.is_none() {
            list.first = next;
        }
        if next.is_none() {
            list.last = previous;
        }
        if let Some(entry) = previous.and_then(|previous| self.entries.get_mut(previous.index())) {
            entry.next = next;
        }
        if let Some(entry) = next.and_then(|next| self.entries.get_mut(next.index())) {
            entry.previous = previous;
        }
    }

    /// Removes a thread that waits at `lowest` or any address above.
    pub fn take_from(&mut self, lowest: u64) -> Option<Slot> {
        let at = self.entries.iter().position(|entry| entry.address >= lowest)?;
        self.remove(Slot(at as u32));
        Some(Slot(at as u32))
    }

    /// The first thread that waits at `address`; true if no other does.
    pub fn first(&mut self, address: u64) -> Option<(Slot, bool)> {
        let mut at = self.list(address)?.first;
        let mut found = None;
        while let Some(slot) = at {
            let entry = self.entries.get(slot.index())?;
            match (entry.address == address, found) {
                (true, None) => found = Some(slot),
                (true, Some(first)) => return Some((first, false)),
                (false, _) => {}
            }
            at = entry.next;
        }
        found.map(|first| (first, true))
    }

    /// The lowest address from `lowest` on at which a thread waits with bits that are `wanted` there.
    pub fn waited_from(&self, lowest: u64, wanted: impl Fn(u64, u32) -> bool) -> Option<u64> {
        let is_wanted =
            |entry: &&Entry| entry.address != 0 && entry.address >= lowest && wanted(entry.address, entry.bits);
        self.entries.iter().filter(is_wanted).map(|entry| entry.address).min()
    }

    /// Address at which `slot` waits, and its bits.
    pub fn wait_of(&self, slot: Slot) -> Option<(u64, u32)> {
        let entry = self.entries.get(slot.index()).filter(|entry| entry.address != 0)?;
        Some((entry.address, entry.bits))
    }

    /// Sets the bits of all threads that wait at `address`.
    pub fn set_bits(&mut self, address: u64, bits: u32) {
        let waiting = self.entries.iter_mut().filter(|entry| entry.address == address);
        waiting.for_each(|entry| entry.bits = bits);
    }

    /// Removes the first thread that waits at `address` for one of `bits`.
    pub fn take(&mut self, address: u64, bits: u32) -> Option<Slot> {
        let mut at = self.list(address)?.first;
        while let Some(slot) = at {
            let entry = self.entries.get(slot.index())?;
            if entry.address == address && entry.bits & bits != 0 {
                self.remove(slot);
                return Some(slot);
            }
            at = entry.next;
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn futexes() -> Futexes {
        let mut futexes = Futexes::new();
        futexes.reserve(10).expect("memory");
        futexes
    }

    #[test]
    fn the_first_to_wait_is_the_first_to_be_taken() {
        let mut futexes = futexes();
        for number in 0..5 {
            futexes.insert(Slot(number), 0x1000 + u64::from(number % 2), 1 << number);
        }
        assert_eq!(futexes.take(0x1000, 0b10100), Some(Slot(2)));
        assert_eq!(futexes.take(0x1000, !0), Some(Slot(0)));
        assert_eq!(futexes.take(0x1000, !0), Some(Slot(4)));
        assert_eq!(futexes.take(0x1000, !0), None);
        assert_eq!(futexes.take(0x1001, !0), Some(Slot(1)));
    }

    #[test]
    fn all_above_an_address_can_be_taken() {
        let mut futexes = futexes();
        for number in 0..4 {
            futexes.insert(Slot(number), 0x1000 * u64::from(number + 1), !0);
        }
        let mut taken: Vec<_> = core::iter::from_fn(|| futexes.take_from(0x3000)).collect();
        taken.sort();
        assert_eq!(taken, [Slot(2), Slot(3)]);
        assert_eq!(futexes.take(0x1000, !0), Some(Slot(0)));
    }

    #[test]
    fn more_lists_keep_the_order() {
        let mut futexes = futexes();
        for number in 0..10 {
            futexes.insert(Slot(number), 0x1000 + u64::from(number % 3), !0);
        }
        futexes.reserve(1000).expect("memory");
        for (address, slots) in [(0x1000, &[0, 3, 6, 9][..]), (0x1001, &[1, 4, 7]), (0x1002, &[2, 5, 8])] {
            let order: Vec<_> = core::iter::from_fn(|| futexes.take(address, !0)).map(|slot| slot.0).collect();
            assert_eq!(order, slots);
        }
    }

    #[test]
    fn the_first_and_whether_it_is_the_last_are_found_without_a_change() {
        let mut futexes = futexes();
        futexes.insert(Slot(3), 0x1001, !0);
        futexes.insert(Slot(2), 0x2001, !0);
        futexes.insert(Slot(5), 0x1001, !0);
        assert_eq!(futexes.first(0x1001), Some((Slot(3), false)));
        assert_eq!(futexes.first(0x2001), Some((Slot(2), true)));
        assert_eq!(futexes.first(0x1000), None);
        let odd = |address: u64, bits: u32| address % 2 == 1 && bits == !0;
        assert_eq!((futexes.waited_from(0, odd), futexes.waited_from(0x1002, odd)), (Some(0x1001), Some(0x2001)));
        assert_eq!(futexes.waited_from(0x2002, odd), None);
        assert_eq!((futexes.wait_of(Slot(2)), futexes.wait_of(Slot(1))), (Some((0x2001, !0)), None));
        futexes.set_bits(0x2001, 7);
        assert_eq!((futexes.waited_from(0x1002, odd), futexes.take(0x2001, 8)), (None, None));
        assert_eq!(futexes.take(0x1001, !0), Some(Slot(3)));
        assert_eq!(futexes.first(0x1001), Some((Slot(5), true)));
    }

    #[test]
    fn one_in_the_middle_can_leave() {
        let mut futexes = futexes();
        for number in 0..4 {
            futexes.insert(Slot(number), 0x1000, !0);
        }
        futexes.remove(Slot(1));
        futexes.remove(Slot(3));
        futexes.remove(Slot(3));
        futexes.insert(Slot(1), 0x1000, !0);
        let order: Vec<_> = core::iter::from_fn(|| futexes.take(0x1000, !0)).collect();
        assert_eq!(order, [Slot(0), Slot(2), Slot(1)]);
    }
}
