//! Table of values with reference counts, which are referred to by key.
//!
//! Inodes and open file descriptions form a graph with cycles (a directory knows its parent), so they refer to each
//! other by key, and all of them belong to one owner, behind the one lock of the libos.

use crate::errno::Errno;
use alloc::vec::Vec;
use core::marker::PhantomData;
use core::ops::{Index, IndexMut};

/// Handle of a value in a [`Slab`] with keys of the sort `T`. Valid only while its holder also holds a reference.
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

impl<T> core::hash::Hash for Key<T> {
    fn hash<H: core::hash::Hasher>(&self, state: &mut H) {
        self.index.hash(state);
    }
}

impl<T> Key<T> {
    /// Slot number, which is reused for another value when this one is gone.
    pub fn index(self) -> u32 {
        self.index
    }
}

impl<T> core::fmt::Debug for Key<T> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "#{}", self.index)
    }
}

/// Slots in a chunk.
const CHUNK: usize = 64;

/// Table of values with keys of the sort `K`, which values can name without naming the table. It grows and shrinks by chunks, so
/// it never moves a value nor keeps much more memory than it needs.
#[derive(Debug)]
pub struct Slab<T, K = T> {
    chunks: Vec<Chunk<T>>,
    /// Index below which no chunk has room.
    room: usize,
    keys: PhantomData<fn() -> K>,
}

/// Slots; a chunk without values has no memory.
#[derive(Debug)]
struct Chunk<T> {
    slots: Vec<Slot<T>>,
    /// First of the chain of free slots.
    free: Option<usize>,
    used: usize,
}

#[derive(Debug)]
enum Slot<T> {
    Free { next: Option<usize> },
    Used { count: u32, value: T },
}

impl<T, K> Default for Slab<T, K> {
    fn default() -> Self {
        Self { chunks: Vec::new(), room: 0, keys: PhantomData }
    }
}

impl<T> Chunk<T> {
    const EMPTY: Self = Self { slots: Vec::new(), free: None, used: 0 };

    /// Inserts `value` with one reference, and returns its slot. There must be room.
    fn insert(&mut self, value: T) -> Result<usize, Errno> {
        if self.slots.capacity() == 0 {
            self.slots.try_reserve_exact(CHUNK).map_err(|_| Errno::ENOMEM)?;
        }
        let used = Slot::Used { count: 1, value };
        let index = match self.free.and_then(|index| Some((index, self.slots.get_mut(index)?))) {
            Some((index, slot)) => {
                if let Slot::Free { next } = core::mem::replace(slot, used) {
                    self.free = next;
                }
                index
            }
            None => {
                self.slots.push(used);
                self.slots.len() - 1
            }
        };
        self.used += 1;
        Ok(index)
    }

    /// Frees a slot in use.
    fn remove(&mut self, index: usize) -> Option<T> {
        let freed = core::mem::replace(self.slots.get_mut(index)?, Slot::Free { next: self.free });
        self.free = Some(index);
        self.used -= 1;
        if self.used == 0 {
            *self = Self::EMPTY;
        }
        match freed {
            Slot::Used { value, .. } => Some(value),
            Slot::Free { .. } => None,
        }
    }
}

impl<T, K> Slab<T, K> {
    /// Inserts `value` with one reference.
    pub fn insert(&mut self, value: T) -> Result<Key<K>, Errno> {
        while self.chunks.get(self.room).is_some_and(|chunk| chunk.used == CHUNK) {
            self.room += 1;
        }
        if self.room == self.chunks.len() {
            self.chunks.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            self.chunks.push(Chunk::EMPTY);
        }
        let slot = self.chunks[self.room].insert(value)?;
        let index = u32::try_from(self.room * CHUNK + slot).map_err(|_| Errno::ENOMEM)?;
        Ok(Key { index, of: PhantomData })
    }

    fn slot(&self, key: Key<K>) -> Option<&Slot<T>> {
        self.chunks.get(key.index as usize / CHUNK)?.slots.get(key.index as usize % CHUNK)
    }

    fn slot_mut(&mut self, key: Key<K>) -> Option<&mut Slot<T>> {
        self.chunks.get_mut(key.index as usize / CHUNK)?.slots.get_mut(key.index as usize % CHUNK)
    }

    /// Adds a reference to the value at `key`.
    pub fn retain(&mut self, key: Key<K>) {
        if let Some(Slot::Used { count, .. }) = self.slot_mut(key) {
            *count += 1;
        }
    }

    /// Drops a reference to the value at `key`; returns the value with the last one.
    pub fn release(&mut self, key: Key<K>) -> Option<T> {
        match self.slot_mut(key)? {
            Slot::Used { count, .. } if *count > 1 => {
                *count -= 1;
                None
            }
            Slot::Used { .. } => {
                let chunk = key.index as usize / CHUNK;
                self.room = self.room.min(chunk);
                self.chunks.get_mut(chunk)?.remove(key.index as usize % CHUNK)
            }
            Slot::Free { .. } => None,
        }
    }

    /// The value of a key that may have outlived its reference: the slot may hold another value by now.
    pub fn get(&self, key: Key<K>) -> Option<&T> {
        match self.slot(key) {
            Some(Slot::Used { value, .. }) => Some(value),
            _ => None,
        }
    }

    /// Returns the value like [`Slab::get`], mutably.
    pub fn get_mut(&mut self, key: Key<K>) -> Option<&mut T> {
        match self.slot_mut(key) {
            Some(Slot::Used { value, .. }) => Some(value),
            _ => None,
        }
    }

    /// The key of the value with this number, if there is one.
    pub fn key_at(&self, index: u32) -> Option<Key<K>> {
        let key = Key { index, of: PhantomData };
        self.get(key).map(|_| key)
    }

    /// Keys of all values.
    pub fn keys(&self) -> impl Iterator<Item = Key<K>> {
        let count = u32::try_from(self.chunks.len() * CHUNK).unwrap_or(u32::MAX);
        (0..count).filter_map(|index| self.key_at(index))
    }

    /// Number of values.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(|chunk| chunk.used).sum()
    }

    /// Returns true if there are no values.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl<T, K> Index<Key<K>> for Slab<T, K> {
    type Output = T;

    #[inline]
    fn index(&self, key: Key<K>) -> &T {
        match self.slot(key) {
            Some(Slot::Used { value, .. }) => value,
            _ => panic!("a key outlived its count"),
        }
    }
}

impl<T, K> IndexMut<Key<K>> for Slab<T, K> {
    #[inline]
    fn index_mut(&mut self, key: Key<K>) -> &mut T {
        match self.slot_mut(key) {
            Some(Slot::Used { value, .. }) => value,
            _ => panic!("a key outlived its count"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_lives_until_the_last_count_is_gone() {
        let mut slab = Slab::<_>::default();
        let key = slab.insert("value").expect("memory");
        slab.retain(key);
        assert_eq!(slab.release(key), None);
        assert_eq!(slab[key], "value");
        assert_eq!(slab.release(key), Some("value"));
        assert!(slab.is_empty());
    }

    #[test]
    fn slots_are_used_again() {
        let mut slab = Slab::<_>::default();
        let keys = [1, 2, 3].map(|number| slab.insert(number).expect("memory"));
        slab.release(keys[0]);
        slab.release(keys[1]);
        assert_eq!(slab.insert(4), Ok(keys[1]));
        assert_eq!(slab.insert(5), Ok(keys[0]));
        assert_eq!(slab.len(), 3);
    }

    #[test]
    fn chunks_without_values_go_and_come_back() {
        let mut slab = Slab::<_>::default();
        let keys: Vec<_> = (0..200).map(|number| slab.insert(number).expect("memory")).collect();
        for key in &keys[64..128] {
            slab.release(*key);
        }
        assert_eq!((slab.len(), slab.chunks[1].slots.capacity()), (136, 0));
        let again = slab.insert(1000).expect("memory");
        assert_eq!(again, keys[64]);
        assert_eq!((slab[keys[63]], slab[keys[128]], slab.get(keys[65])), (63, 128, None));
    }
}
