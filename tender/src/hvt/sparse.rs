//! Memory for the sparse region: mapped at the first touch, counted, and taken back. See [`husk_abi::memory`].
//!
//! Entries of page tables only ever change between nothing and one page, always the same. The way to a page is gone when
//! the host has dropped its contents: KVM forgets what it derived from the entry then.

use super::slots::Slots;
use super::tables::{Owner, Tables};
use crate::memory::{Claim, Memory};
use husk_abi::memory::{LARGE_PAGE, PAGE, Region, Rights};
use kvm_ioctls::VmFd;

/// What is mapped at a touch, in bytes, if that much is left: the pages around it.
const GRANULE: u64 = 64 << 10;
/// The same where the guest has what lies before it, and so seems to use one page after the other; if it has many times
/// that left.
const LARGE_GRANULE: u64 = 1 << 20;
const PLENTY: u64 = 64 * LARGE_GRANULE;
/// How much of the region gets a slot at once, in bytes: see [`super::slots`].
const PIECE: u64 = 256 << 20;
/// Most page tables that a touch can need.
const TABLES: u64 = 3 * PAGE;
/// What is left for the window, in bytes: a libos that has no more memory itself could not even say so.
const FOR_THE_WINDOW: u64 = 2 << 20;

/// What the guest has of the region.
#[derive(Debug, Default)]
pub struct Sparse {
    /// Bytes that count: pages that are mapped, and page tables.
    bytes: u64,
    /// Where the next page table goes, once there is one.
    next_table: Option<u64>,
    /// Pieces that have a slot.
    pieces: Vec<u64>,
}

/// What became of a touch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Touch {
    /// The page is there.
    Mapped,
    /// It was before: that is not why the guest faulted.
    Known,
    /// The guest has no memory left, or the host has not.
    OutOfMemory,
}

impl Sparse {
    /// Bytes of memory that the guest has here.
    pub fn bytes(&self) -> u64 {
        self.bytes
    }

    /// How many more bytes of memory the guest can get here.
    pub fn room(&self, slots: &Slots, memory: &Memory) -> u64 {
        let size = memory.layout().physical_size();
        let window = slots.attached().saturating_add(FOR_THE_WINDOW).min(size);
        size.saturating_sub(window + self.bytes)
    }

    /// The guest touched an address of the region.
    pub fn touch(&mut self, vm: &VmFd, slots: &mut Slots, memory: &Memory, address: u64) -> Touch {
        let page = Region { start: address & !(PAGE - 1), length: PAGE };
        if memory.sparse().has(address) {
            return Touch::Known;
        }
        let room = self.room(slots, memory).saturating_sub(TABLES);
        let region = memory.sparse().region();
        let small = granule(page, GRANULE, region);
        let wanted = match room {
            PLENTY.. if memory.sparse().has(small.start.wrapping_sub(PAGE)) => granule(page, LARGE_GRANULE, region),
            GRANULE.. => small,
            _ => page,
        };
        if room < PAGE || self.prepare(vm, slots, memory, wanted).is_none() {
            return Touch::OutOfMemory;
        }
        self.map(memory, wanted);
        Touch::Mapped
    }

    /// The guest gives pages of the region up: their memory must be given back to the host at once.
    pub fn release(&mut self, memory: &Memory, claim: Claim) {
        let Some(next) = self.next_table else { return };
        let mut tables = Tables::at(memory, next);
        for address in (claim.address..claim.address + claim.length).step_by(PAGE as usize) {
            if memory.sparse().has(address) {
                tables.unmap(address);
                memory.sparse().note(address, false);
                self.bytes -= PAGE;
            }
        }
    }

    /// Makes the slots that these pages and their tables lie in.
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

    fn map(&mut self, memory: &Memory, wanted: Region) {
        let Some(next) = self.next_table else { return };
        let mut tables = Tables::at(memory, next);
        for address in (wanted.start..wanted.end()).step_by(PAGE as usize) {
            if !memory.sparse().has(address) {
                let physical = memory.layout().physical(address);
                tables.map(
                    Region { start: address, length: PAGE },
                    physical,
                    Rights::READ | Rights::WRITE,
                    Owner::Guest,
                );
                memory.sparse().note(address, true);
                self.bytes += PAGE;
            }
        }
        self.bytes += tables.next() - next;
        self.next_table = Some(tables.next());
    }
}

/// The granule of this size that a page lies in. It lies in one piece, as the region starts at a multiple of its size.
fn granule(page: Region, size: u64, region: Region) -> Region {
    let start = page.start & !(size - 1);
    Region::between(start, (start + size).min(region.end()))
}

const _: () = assert!(PIECE.is_multiple_of(LARGE_GRANULE) && LARGE_PAGE.is_multiple_of(LARGE_GRANULE));
