//! A table of things that are referred to by key and live as long as somebody counts on them.
//!
//! Inodes and open file descriptions form a graph with cycles (a directory knows its parent), so they refer to each
//! other by key, and all of them belong to one owner, behind the one lock of the libos.

use crate::errno::Errno;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};

/// Refers to a `T` in a [`Slab`]. Only valid as long as whoever holds it also holds a count.
pub struct Key<T> {
    index: u32,
    of: PhantomData<fn() -> T>,
}

impl<T> Clone for Key<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for Key<T> {}

impl<T> PartialEq for Key<T> {
    fn eq(&self, other: &Self) -> bool {
        self.index == other.index
    }
}

impl<T> Eq for Key<T> {}

impl<T> core::fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "#{}", self.index)
    }
}

/// The table.
#[derive(Debug)]
pub struct Slab<T> {
    slots: Vec<Slot<T>>,
    /// First of the chain of free slots.
    free: Option<u32>,
    /// How many slots are used.
    used: usize,
}

#[derive(Debug)]
enum Slot<T> {
    Free { next: Option<u32> },
    Used { count: u32, value: T },
}

impl<T> Default for Slab<T> {
    fn default() -> Self {
        Self { slots: Vec::new(), free: None, used: 0 }
    }
}

impl<T> Slab<T> {
    /// An empty table that takes in `count` values before it grows.
    pub fn with_room(count: usize) -> Result<Self, Errno> {
        let mut slab = Self::default();
        slab.slots.try_reserve(count).map_err(|_| Errno::ENOMEM)?;
        Ok(slab)
    }

    /// Takes in `value`, counted once.
    pub fn insert(&mut self, value: T) -> Result<Key<T>, Errno> {
        let used = Slot::Used { count: 1, value };
        let index = match self.free {
            Some(index) => {
                let slot = &mut self.slots[index as usize];
                if let Slot::Free { next } = *slot {
                    self.free = next;
                }
                *slot = used;
                index
            }
            None => {
                let index = u32::try_from(self.slots.len()).map_err(|_| Errno::ENOMEM)?;
                self.slots.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
                self.slots.push(used);
                index
            }
        };
        self.used += 1;
        Ok(Key { index, of: PhantomData })
    }

    /// Counts `key` once more.
    pub fn retain(&mut self, key: Key<T>) {
        if let Some(Slot::Used { count, .. }) = self.slots.get_mut(key.index as usize) {
            *count += 1;
        }
    }

    /// Counts `key` once less; hands the value back if nobody counts on it any more.
    pub fn release(&mut self, key: Key<T>) -> Option<T> {
        let slot = self.slots.get_mut(key.index as usize)?;
        match slot {
            Slot::Used { count, .. } if *count > 1 => {
                *count -= 1;
                None
            }
            Slot::Used { .. } => {
                let freed = core::mem::replace(slot, Slot::Free { next: self.free });
                self.free = Some(key.index);
                self.used -= 1;
                match freed {
                    Slot::Used { value, .. } => Some(value),
                    Slot::Free { .. } => None,
                }
            }
            Slot::Free { .. } => None,
        }
    }

    /// The value of a key that may have outlived its count: what is there now may be another.
    pub fn get(&self, key: Key<T>) -> Option<&T> {
        match self.slots.get(key.index as usize) {
            Some(Slot::Used { value, .. }) => Some(value),
            _ => None,
        }
    }

    /// How many values there are.
    pub fn len(&self) -> usize {
        self.used
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.used == 0
    }
}

impl<T> Index<Key<T>> for Slab<T> {
    type Output = T;

    fn index(&self, key: Key<T>) -> &T {
        match &self.slots[key.index as usize] {
            Slot::Used { value, .. } => value,
            Slot::Free { .. } => panic!("a key outlived its count"),
        }
    }
}

impl<T> IndexMut<Key<T>> for Slab<T> {
    fn index_mut(&mut self, key: Key<T>) -> &mut T {
        match &mut self.slots[key.index as usize] {
            Slot::Used { value, .. } => value,
            Slot::Free { .. } => panic!("a key outlived its count"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lives_until_the_last_count_is_gone() {
        let mut slab = Slab::default();
        let key = slab.insert("value").expect("memory");
        slab.retain(key);
        assert_eq!(slab.release(key), None);
        assert_eq!(slab[key], "value");
        assert_eq!(slab.release(key), Some("value"));
        assert!(slab.is_empty());
    }

    #[test]
    fn slots_are_used_again() {
        let mut slab = Slab::default();
        let first = slab.insert(1).expect("memory");
        let second = slab.insert(2).expect("memory");
        slab.release(first);
        slab.release(second);
        assert_eq!(slab.insert(3), Ok(second));
        assert_eq!(slab.insert(4), Ok(first));
        assert_eq!(slab.len(), 2);
    }
}
