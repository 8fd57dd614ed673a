//! Memory for the sparse region: mapped at the first touch, and taken back. See [`husk_abi::memory`].
//!
//! A page table entry only ever changes between empty and one page, the same each time. The guest has lost a page only when
//! the host has dropped the page's contents, because KVM then drops what it derived from the entry.
//!
//! The region is far larger than what guest-physical addresses and KVM's slots could hold. So a piece of it gets both when the
//! guest first touches it, and keeps them.

use super::slots::Slots;
use crate::arch::hvt::tables::{Owner, Tables};
use crate::memory::sparse::PIECE;
use crate::memory::sparse::populated::{LARGE_GRANULE, Populated, SLOT_COST};
use crate::memory::{Claim, Memory, Touch};
use husk_abi::memory::{PAGE, Region, Rights};
use kvm_ioctls::VmFd;
use std::collections::BTreeMap;

/// Bytes of page tables that get a slot at once.
const TABLES: u64 = 2 << 20;
/// Most page tables that a touch takes, in bytes: one of each level, because no touch maps more than a large page.
const TABLES_OF_A_TOUCH: u64 = 3 * PAGE;
/// End of guest-physical addresses: processors have at least so many.
const PHYSICAL_END: u64 = 1 << 39;

/// Memory that the guest has in the region.
#[derive(Debug, Default)]
pub struct Sparse {
    populated: Populated,
    ways: Ways,
}

/// Page tables and slots of that memory.
#[derive(Debug, Default)]
struct Ways {
    /// Guest-physical address for the next page table; `None` before the first.
    next_table: Option<u64>,
    /// End of the tables that have a slot.
    tables_end: u64,
    /// Guest-physical addresses of pieces that have a slot, by the pieces' numbers.
    pieces: BTreeMap<u64, u64>,
}

impl Sparse {
    /// Bytes of memory that the guest has here.
    pub fn bytes(&self) -> u64 {
        self.populated.bytes()
    }

    /// Bytes of memory that the guest can still get here.
    pub fn room(&self, slots: &Slots, memory: &Memory) -> u64 {
        self.populated.room(memory, slots.attached())
    }

    /// Handles the guest's touch of an address of the region.
    pub fn touch(&mut self, vm: &VmFd, slots: &mut Slots, memory: &Memory, address: u64) -> Touch {
        let Self { populated, ways } = self;
        populated.touch(memory, slots.attached(), address, |pages, walks| {
            let charged = ways.prepare(vm, slots, memory, pages)?;
            memory.sparse().open(pages).ok()?;
            let tables = ways.map(memory, pages);
            if walks {
                memory.populate(pages);
            }
            Some(charged + tables)
        })
    }

    /// Unmaps pages of the region that the guest gives up. The caller must give their memory back to the host at once.
    pub fn release(&mut self, memory: &Memory, claim: Claim) {
        let Some(next) = self.ways.next_table else { return };
        let mut tables = Tables::at(memory, next);
        self.populated.release(memory, claim, |pages| {
            (pages.start..pages.end()).step_by(PAGE as usize).for_each(|page| tables.unmap(page));
        });
    }
}

impl Ways {
    /// Makes the slots for these pages, which lie in one piece, and for their tables, if they are missing. Returns the bytes that
    /// the guest is charged for them.
    fn prepare(&mut self, vm: &VmFd, slots: &mut Slots, memory: &Memory, pages: Region) -> Option<u64> {
        let (sparse, tables) = (memory.sparse(), memory.layout().sparse_tables());
        let (region, host) = (sparse.usable(), sparse.host_address()?);
        if pages.end() > region.end() {
            return None;
        }
        let next = *self.next_table.get_or_insert(tables.start);
        self.tables_end = self.tables_end.max(tables.start);
        if next + TABLES_OF_A_TOUCH > self.tables_end {
            let step = Region { start: self.tables_end, length: TABLES.min(tables.end() - self.tables_end) };
            if next + TABLES_OF_A_TOUCH > step.end() {
                return None;
            }
            slots.add(vm, step, sparse.host_tables()? + (step.start - tables.start)).ok()?;
            self.tables_end = step.end();
        }
        let number = pages.start / PIECE;
        if self.pieces.contains_key(&number) {
            return Some(0);
        }
        let piece = piece(number, region);
        let physical = tables.end().next_multiple_of(PIECE) + self.pieces.len() as u64 * PIECE;
        if physical + PIECE > PHYSICAL_END {
            return None;
        }
        slots.add(vm, Region { start: physical, ..piece }, host + (piece.start - region.start)).ok()?;
        self.pieces.insert(number, physical);
        Some(SLOT_COST)
    }

    /// Maps pages of one piece, which is prepared, and which the guest does not have. Returns the bytes of page tables that this
    /// took.
    fn map(&mut self, memory: &Memory, pages: Region) -> u64 {
        let number = pages.start / PIECE;
        let (Some(next), Some(physical)) = (self.next_table, self.pieces.get(&number)) else { return 0 };
        let piece = piece(number, memory.sparse().usable());
        let mut tables = Tables::at(memory, next);
        for address in (pages.start..pages.end()).step_by(PAGE as usize) {
            let page = Region { start: address, length: PAGE };
            tables.map(page, physical + (address - piece.start), Rights::READ | Rights::WRITE, Owner::Guest);
        }
        self.next_table = Some(tables.next());
        tables.next() - next
    }
}

/// Part of the region that is in the piece of this number.
fn piece(number: u64, region: Region) -> Region {
    Region::between((number * PIECE).max(region.start), ((number + 1) * PIECE).min(region.end()))
}

const _: () = assert!(PIECE.is_multiple_of(LARGE_GRANULE));
