//! Entries of a directory: found by name through a hash table, listed in an order that removals do not disturb.
//!
//! An entry keeps its slot as long as it exists, and its position in a listing is its slot's number. So a reader that continues
//! from a position sees every entry that stays, once, even if others are removed or added between.

use super::handle::NodeKey;
use super::quota::Quota;
use crate::errno::Errno;
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::hash::BuildHasher;
use hashbrown::{DefaultHashBuilder, HashTable};

/// Longest name of an entry in bytes.
pub const NAME_MAXIMUM: usize = 255;

/// Memory that an entry takes, without its name, in bytes: slot, hash, and room for both to grow.
const ENTRY: u64 = 80;

/// Entry of a directory.
#[derive(Debug)]
pub struct Entry {
    /// Name: any bytes but `/` and NUL.
    pub name: Box<[u8]>,
    /// File with this name.
    pub node: NodeKey,
}

/// Directory of the tree in the image ([`super::tree`]) that is not unfolded yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Folded {
    /// Number of the directory's entry.
    pub entry: u64,
    /// Number of subdirectories that have been counted as links.
    pub counted: u32,
}

/// The entries, without `.` and `..`.
#[derive(Debug)]
pub struct Directory {
    /// Parent directory; the root is its own parent.
    pub parent: NodeKey,
    /// Contents of the directory in the image, if they have not been added yet.
    pub folded: Option<Folded>,
    /// Path on the host of a directory of the host, if its entries have not been added yet ([`super::host`]).
    pub host: Option<Box<[u8]>>,
    slots: Vec<Option<Entry>>,
    free: Vec<u32>,
    /// Numbers of slots by the hash of the name.
    index: HashTable<u32>,
    hasher: DefaultHashBuilder,
}

impl Directory {
    /// An empty directory in `parent`.
    pub fn new(parent: NodeKey) -> Self {
        let (slots, free, index) = (Vec::new(), Vec::new(), HashTable::new());
        Self { parent, folded: None, host: None, slots, free, index, hasher: Default::default() }
    }

    /// Number of entries.
    pub fn len(&self) -> usize {
        self.index.len()
    }

    /// Returns true if there are no entries.
    pub fn is_empty(&self) -> bool {
        self.index.is_empty() && self.folded.is_none() && self.host.is_none()
    }

    /// The file with this name.
    pub fn get(&self, name: &[u8]) -> Option<NodeKey> {
        self.find(name).map(|entry| entry.node)
    }

    fn find(&self, name: &[u8]) -> Option<&Entry> {
        let slots = &self.slots;
        let slot = self.index.find(self.hasher.hash_one(name), |&slot| is(slots, slot, name))?;
        slots.get(*slot as usize)?.as_ref()
    }

    /// Adds an entry; there must not be one with this name.
    pub fn insert(&mut self, quota: &mut Quota, name: &[u8], node: NodeKey) -> Result<(), Errno> {
        let cost = ENTRY + name.len() as u64;
        quota.take(cost)?;
        self.insert_paid(name, node).inspect_err(|_| quota.give(cost))
    }

    /// Adds an entry like [`Directory::insert`], even without space.
    pub fn insert_anyway(&mut self, quota: &mut Quota, name: &[u8], node: NodeKey) -> Result<(), Errno> {
        self.insert_paid(name, node)?;
        quota.take_anyway(ENTRY + name.len() as u64);
        Ok(())
    }

    fn insert_paid(&mut self, name: &[u8], node: NodeKey) -> Result<(), Errno> {
        let entry = Entry { name: boxed(name)?, node };
        let slot = match self.free.pop() {
            Some(slot) => slot,
            None => {
                let slot = u32::try_from(self.slots.len()).map_err(|_| Errno::ENOSPC)?;
                self.slots.try_reserve(1).map_err(|_| Errno::ENOSPC)?;
                self.slots.push(None);
                // Room for the case that every slot is free, so that `remove` need not allocate.
                self.free.try_reserve(self.slots.capacity()).map_err(|_| Errno::ENOSPC)?;
                slot
            }
        };
        let Self { slots, index, hasher, free, .. } = self;
        let hash_of =
            |&slot: &u32| slots.get(slot as usize).and_then(Option::as_ref).map_or(0, |e| hasher.hash_one(&*e.name));
        if index.try_reserve(1, hash_of).is_err() {
            free.push(slot);
            return Err(Errno::ENOSPC);
        }
        index.insert_unique(hasher.hash_one(name), slot, hash_of);
        slots[slot as usize] = Some(entry);
        Ok(())
    }

    /// Removes the entry with this name, and returns its file.
    pub fn remove(&mut self, quota: &mut Quota, name: &[u8]) -> Option<NodeKey> {
        let Self { slots, index, hasher, .. } = self;
        let occupied = index.find_entry(hasher.hash_one(name), |&slot| is(slots, slot, name)).ok()?;
        let (slot, _) = occupied.remove();
        let entry = slots[slot as usize].take();
        if index.is_empty() {
            slots.clear();
            self.free.clear();
        } else {
            self.free.push(slot);
        }
        quota.give(ENTRY + name.len() as u64);
        entry.map(|entry| entry.node)
    }

    /// Replaces the file of an existing entry, and returns the former one.
    pub fn replace(&mut self, name: &[u8], node: NodeKey) -> Option<NodeKey> {
        let Self { slots, index, hasher, .. } = self;
        let slot = *index.find(hasher.hash_one(name), |&slot| is(slots, slot, name))?;
        let entry = slots.get_mut(slot as usize)?.as_mut()?;
        Some(core::mem::replace(&mut entry.node, node))
    }

    /// The first entry at `position` or after, with the position to continue from.
    pub fn entry_from(&self, position: u64) -> Option<(u64, &Entry)> {
        let start = usize::try_from(position).ok()?;
        let rest = self.slots.get(start..)?;
        rest.iter().zip(position + 1..).find_map(|(slot, next)| slot.as_ref().map(|entry| (next, entry)))
    }

    /// A name of `node` in this directory.
    pub fn name_of(&self, node: NodeKey) -> Option<&[u8]> {
        self.slots.iter().flatten().find(|entry| entry.node == node).map(|entry| &*entry.name)
    }
}

/// Returns true if the entry in `slot` has this name.
fn is(slots: &[Option<Entry>], slot: u32, name: &[u8]) -> bool {
    matches!(slots.get(slot as usize), Some(Some(entry)) if *entry.name == *name)
}

/// Returns a copy of `bytes`, unless there is no memory for it.
pub fn boxed(bytes: &[u8]) -> Result<Box<[u8]>, Errno> {
    let mut copy = Vec::new();
    copy.try_reserve_exact(bytes.len()).map_err(|_| Errno::ENOSPC)?;
    copy.extend_from_slice(bytes);
    Ok(copy.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::super::inode::Inode;
    use super::super::slab::Slab;
    use super::*;
    use alloc::format;

    const SPACE: Quota = Quota { used: 0, limit: 1 << 20 };

    fn keys() -> (NodeKey, Directory) {
        let mut slab = Slab::default();
        let key = slab.insert(Inode::for_test()).expect("memory");
        (key, Directory::new(key))
    }

    #[test]
    fn a_listing_goes_on_while_its_entries_are_removed() {
        let ((key, mut directory), mut quota) = (keys(), SPACE);
        for number in 0..1000 {
            directory.insert(&mut quota, format!("{number}").as_bytes(), key).expect("memory");
        }
        let (mut position, mut seen) = (0, 0);
        while let Some((next, entry)) = directory.entry_from(position) {
            let name = entry.name.clone();
            assert_eq!(directory.remove(&mut quota, &name), Some(key));
            (position, seen) = (next, seen + 1);
        }
        assert_eq!((seen, directory.len(), quota.used), (1000, 0, 0));
    }

    #[test]
    fn an_entry_that_stays_is_listed_once() {
        let ((key, mut directory), mut quota) = (keys(), SPACE);
        for name in [b"a", b"b", b"c"] {
            directory.insert(&mut quota, name, key).expect("memory");
        }
        let (position, _) = directory.entry_from(0).expect("a");
        directory.remove(&mut quota, b"a");
        directory.insert(&mut quota, b"d", key).expect("memory");
        let (position, entry) = directory.entry_from(position).expect("b");
        assert_eq!(&*entry.name, b"b");
        let (position, entry) = directory.entry_from(position).expect("c");
        assert_eq!(&*entry.name, b"c");
        assert!(directory.entry_from(position).is_none());
        assert_eq!(directory.get(b"a"), None);
        assert_eq!(directory.get(b"d"), Some(key));
    }
}
