//! The guest's page tables: made once, before it starts, in pages that are mapped nowhere.
//!
//! Accessed and dirty bits are set from the start, so the processor never has to write to the tables either.

use crate::image::Image;
use crate::memory::Memory;
use husk_abi::memory::{BOOT, BOOT_SIZE, CLOCK, FRAME, GATE, LARGE_PAGE, PAGE, Region, Rights, TENDER_SIZE};
use x86_64::structures::paging::PageTableFlags as Flags;

use super::ring0;

/// Guest-physical address of the first table; the tender's area has room for tables up to its end.
const FIRST_TABLE: u64 = BOOT + BOOT_SIZE;
const ENTRIES: u64 = 512;
const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

/// Who may use a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Owner {
    Guest,
    Ring0,
}

/// The tables while they are made: as a plain array, copied to guest memory when complete.
struct Tables {
    pages: Vec<[u64; ENTRIES as usize]>,
}

/// Makes the tables for a guest and writes them to its memory; returns the address of the root (CR3). `boot_size` is
/// how much of the boot information area is used, in bytes.
pub fn write(memory: &mut Memory, image: &Image, boot_size: u64) -> u64 {
    let layout = *memory.layout();
    let mut tables = Tables { pages: vec![[0; ENTRIES as usize]] };
    let read_execute = Rights::READ | Rights::EXECUTE;
    let read_write = Rights::READ | Rights::WRITE;
    let own = [
        (GATE, PAGE, read_execute, Owner::Guest),
        (FRAME, PAGE, Rights::READ, Owner::Guest),
        (CLOCK, PAGE, Rights::READ, Owner::Guest),
        (BOOT, boot_size.next_multiple_of(PAGE), Rights::READ, Owner::Guest),
        (ring0::TABLES, PAGE, Rights::READ, Owner::Ring0),
        (ring0::STUBS, PAGE, read_execute, Owner::Ring0),
        (ring0::STACK, PAGE, read_write, Owner::Ring0),
    ];
    for (start, length, rights, owner) in own {
        tables.map(Region { start, length }, start, rights, owner);
    }
    for (pages, rights) in image.parts() {
        let region = layout.loaded(pages);
        tables.map(region, layout.physical(region.start), rights, Owner::Guest);
    }
    for region in [layout.libos_stack, layout.main_stack, layout.heap] {
        tables.map(region, layout.physical(region.start), read_write, Owner::Guest);
    }
    for (physical, page) in (FIRST_TABLE..).step_by(PAGE as usize).zip(&tables.pages) {
        memory.write_own(physical, page.map(u64::to_le_bytes).as_flattened());
    }
    FIRST_TABLE
}

/// Whether tables for this layout fit the tender's area: the most there can be is one per GiB of the window, a few per
/// segment, and the upper levels.
pub const fn fit(memory_maximum: u64) -> bool {
    const SEGMENT_TABLES: u64 = 2 * 64 + 16;
    memory_maximum / (1 << 30) + SEGMENT_TABLES + 8 <= (TENDER_SIZE - FIRST_TABLE) / PAGE
}

const _: () = assert!(fit(crate::layout::MEMORY_MAXIMUM));

impl Tables {
    /// Maps whole pages, with large ones where they fit.
    fn map(&mut self, region: Region, physical: u64, rights: Rights, owner: Owner) {
        let mut flags = Flags::PRESENT | Flags::ACCESSED | Flags::DIRTY;
        flags.set(Flags::WRITABLE, rights.contains(Rights::WRITE));
        flags.set(Flags::NO_EXECUTE, !rights.contains(Rights::EXECUTE));
        flags.set(Flags::USER_ACCESSIBLE, owner == Owner::Guest);
        let mut offset = 0;
        while offset < region.length {
            let (from, to) = (region.start + offset, physical + offset);
            let large = from.is_multiple_of(LARGE_PAGE)
                && to.is_multiple_of(LARGE_PAGE)
                && region.length - offset >= LARGE_PAGE;
            if large {
                *self.entry(from, 2) = to | (flags | Flags::HUGE_PAGE).bits();
                offset += LARGE_PAGE;
            } else {
                *self.entry(from, 1) = to | flags.bits();
                offset += PAGE;
            }
        }
    }

    /// The entry for `address` in its table of `level` (1: page table, 2: page directory), with all tables above it.
    fn entry(&mut self, address: u64, level: u32) -> &mut u64 {
        let index = |level: u32| (address >> (12 + 9 * (level - 1))) as usize % ENTRIES as usize;
        let mut table = 0;
        for upper in (level + 1..=4).rev() {
            let next = self.pages.len() as u64;
            let entry = &mut self.pages[table][index(upper)];
            if *entry == 0 {
                let flags = Flags::PRESENT | Flags::WRITABLE | Flags::USER_ACCESSIBLE | Flags::ACCESSED;
                *entry = (FIRST_TABLE + next * PAGE) | flags.bits();
                self.pages.push([0; ENTRIES as usize]);
                table = next as usize;
            } else {
                table = (((*entry & ADDRESS_MASK) - FIRST_TABLE) / PAGE) as usize;
            }
        }
        &mut self.pages[table][index(level)]
    }
}
