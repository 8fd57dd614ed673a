//! Memory for the sparse region: mapped at the first touch, and taken back. See [`husk_abi::memory`].
//!
//! Entries of page tables only ever change between nothing and one page, always the same. The way to a page is gone when
//! the host has dropped its contents: KVM forgets what it derived from the entry then.

use super::slots::Slots;
use super::tables::{Owner, Tables};
use crate::memory::{Claim, Memory};
use crate::sparse::given::{Given, LARGE_GRANULE, Touch};
use husk_abi::memory::{PAGE, Region, Rights};
use kvm_ioctls::VmFd;

/// How much of the region gets a slot at once, in bytes: see [`super::slots`].
const PIECE: u64 = 256 << 20;

/// What the guest has of the region.
#[derive(Debug, Default)]
pub struct Sparse {
    given: Given,
    /// Where the next page table goes, once there is one.
    next_table: Option<u64>,
    /// Pieces that have a slot.
    pieces: Vec<u64>,
}

impl Sparse {
    /// Bytes of memory that the guest has here.
    pub fn bytes(&self) -> u64 {
        self.given.bytes()
    }

    /// How many more bytes of memory the guest can get here.
    pub fn room(&self, slots: &Slots, memory: &Memory) -> u64 {
        self.given.room(memory, slots.attached())
    }

    /// The guest touched an address of the region.
    pub fn touch(&mut self, vm: &VmFd, slots: &mut Slots, memory: &Memory, address: u64) -> Touch {
        let Self { given, next_table, pieces } = self;
        given.touch(memory, slots.attached(), address, |pages| {
            let next = prepare(next_table, pieces, vm, slots, memory, pages)?;
            let after = map(memory, pages, next);
            *next_table = Some(after);
            Some(after - next)
        })
    }

    /// The guest gives pages of the region up: their memory must be given back to the host at once.
    pub fn release(&mut self, memory: &Memory, claim: Claim) {
        let Some(next) = self.next_table else { return };
        let mut tables = Tables::at(memory, next);
        self.given.release(memory, claim, |page| tables.unmap(page.start));
    }
}

/// Makes the slots that these pages and their tables lie in. Tells where the next table goes.
fn prepare(
    next_table: &mut Option<u64>,
    pieces: &mut Vec<u64>,
    vm: &VmFd,
    slots: &mut Slots,
    memory: &Memory,
    pages: Region,
) -> Option<u64> {
    let (layout, host) = (memory.layout(), memory.sparse().host_address()?);
    let region = layout.sparse;
    let next = match *next_table {
        Some(next) => next,
        None => {
            let tables = layout.sparse_tables();
            slots.add(vm, tables, host + region.length).ok()?;
            *next_table.insert(tables.start)
        }
    };
    let piece = (pages.start - region.start) / PIECE;
    if !pieces.contains(&piece) {
        let offset = piece * PIECE;
        let length = PIECE.min(region.length - offset);
        let physical = Region { start: layout.physical(region.start) + offset, length };
        slots.add(vm, physical, host + offset).ok()?;
        pieces.push(piece);
    }
    Some(next)
}

/// Maps those of these pages that the guest does not have. Tells where the next table goes.
fn map(memory: &Memory, wanted: Region, next: u64) -> u64 {
    let mut tables = Tables::at(memory, next);
    for address in (wanted.start..wanted.end()).step_by(PAGE as usize) {
        if !memory.sparse().has(address) {
            let physical = memory.layout().physical(address);
            let page = Region { start: address, length: PAGE };
            tables.map(page, physical, Rights::READ | Rights::WRITE, Owner::Guest);
        }
    }
    tables.next()
}

const _: () = assert!(PIECE.is_multiple_of(LARGE_GRANULE));
