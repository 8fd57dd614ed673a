//! Memory for the sparse region: mapped at the first touch, and taken back. See [`husk_abi::memory`].
//!
//! A page table entry only ever changes between empty and one page, the same each time. The guest has lost a page only when
//! the host has dropped the page's contents, because KVM then drops what it derived from the entry.

use super::slots::Slots;
use crate::arch::hvt::tables::{Owner, Tables};
use crate::memory::sparse::populated::{LARGE_GRANULE, Populated};
use crate::memory::{Claim, Memory, Touch};
use husk_abi::memory::{PAGE, Region, Rights};
use kvm_ioctls::VmFd;

/// Bytes of the region that get a slot at once: see [`super::slots`].
const PIECE: u64 = 256 << 20;

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
    /// Pieces that have a slot.
    pieces: Vec<u64>,
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
            ways.prepare(vm, slots, memory, pages)?;
            let tables = ways.map(memory, pages)?;
            if walks {
                memory.populate(pages);
            }
            Some(tables)
        })
    }

    /// Unmaps pages of the region that the guest gives up. The caller must give their memory back to the host at once.
    pub fn release(&mut self, memory: &Memory, claim: Claim) {
        let Some(next) = self.ways.next_table else { return };
        let mut tables = Tables::at(memory, next);
        self.populated.release(memory, claim, |page| tables.unmap(page.start));
    }
}

impl Ways {
    /// Makes the slots for these pages and their tables, if they are missing.
    fn prepare(&mut self, vm: &VmFd, slots: &mut Slots, memory: &Memory, pages: Region) -> Option<()> {
        let (layout, host) = (memory.layout(), memory.sparse().host_address()?);
        let region = layout.sparse;
        if self.next_table.is_none() {
            let tables = layout.sparse_tables();
            slots.add(vm, tables, host + region.length).ok()?;
            self.next_table = Some(tables.start);
        }
        let piece = (pages.start - region.start) / PIECE;
        if !self.pieces.contains(&piece) {
            let offset = piece * PIECE;
            let length = PIECE.min(region.length - offset);
            let physical = Region { start: layout.physical(region.start) + offset, length };
            slots.add(vm, physical, host + offset).ok()?;
            self.pieces.push(piece);
        }
        Some(())
    }

    /// Maps those of these pages that the guest does not have. Returns the bytes of page tables that this took.
    fn map(&mut self, memory: &Memory, wanted: Region) -> Option<u64> {
        let next = self.next_table?;
        let mut tables = Tables::at(memory, next);
        for address in (wanted.start..wanted.end()).step_by(PAGE as usize) {
            if !memory.sparse().has(address) {
                let physical = memory.layout().physical(address);
                let page = Region { start: address, length: PAGE };
                tables.map(page, physical, Rights::READ | Rights::WRITE, Owner::Guest);
            }
        }
        self.next_table = Some(tables.next());
        Some(tables.next() - next)
    }
}

const _: () = assert!(PIECE.is_multiple_of(LARGE_GRANULE));
