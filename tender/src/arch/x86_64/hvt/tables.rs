//! Page tables of the guest, in pages that are mapped nowhere: made before the guest starts, and extended where it touches its
//! heap ([`crate::hvt`]) or the sparse region. Only memory that has a slot is mapped, so no access of the
//! guest's reaches KVM's instruction emulator.
//!
//! Accessed and dirty bits are set from the start, so the processor never has to write to the tables either.

use crate::image::Image;
use crate::memory::Memory;
use crate::memory::layout::{IMAGE_MAXIMUM, MEMORY_MAXIMUM};
use husk_abi::memory::{BOOT, CLOCK, FRAME, GATE, LARGE_PAGE, PAGE, RING0, RING0_SIZE, Region, Rights, TENDER_SIZE};
use x86_64::structures::paging::PageTableFlags as Flags;

use super::ring0;

/// Guest-physical address of the first table, the root (CR3); the tender's area has room for tables up to its end.
pub const FIRST_TABLE: u64 = RING0 + RING0_SIZE;
const ENTRIES: u64 = 512;
const ADDRESS_MASK: u64 = 0x000f_ffff_ffff_f000;

/// Code that may use a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owner {
    Guest,
    Ring0,
}

/// The tables while they are made or changed, in guest memory.
pub struct Tables<'a> {
    memory: &'a Memory,
    /// Guest-physical address of the next free page.
    next: u64,
}

/// Writes the tables for all memory that a guest has before it runs. `boot_size` is the used size of the boot information
/// area, in bytes, and `touched` are the parts of heap and main stack that are mapped before their first
/// touch. Returns the guest-physical address of the next free page for a table.
pub fn write(memory: &Memory, image: &Image, boot_size: u64, touched: &[Region]) -> u64 {
    let layout = *memory.layout();
    let mut tables = Tables { memory, next: FIRST_TABLE + PAGE };
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
        (ring0::DOUBLE_FAULT_STACK, PAGE, read_write, Owner::Ring0),
    ];
    for (start, length, rights, owner) in own {
        tables.map(Region { start, length }, start, rights, owner);
    }
    for (pages, rights) in image.parts() {
        let region = layout.loaded(pages);
        tables.map(region, layout.physical(region.start), rights, Owner::Guest);
    }
    for region in [layout.libos_stack, layout.rings].iter().chain(touched) {
        tables.map(*region, layout.physical(region.start), read_write, Owner::Guest);
    }
    tables.next
}

/// Returns true if tables for this layout fit the tender's area: at most one per GiB of the window and of the image file, a
/// few per segment, and the upper levels.
pub const fn fit(memory_maximum: u64, image_maximum: u64) -> bool {
    const SEGMENT_TABLES: u64 = 2 * 64 + 16;
    (memory_maximum + image_maximum) / (1 << 30) + SEGMENT_TABLES + 12 <= (TENDER_SIZE - FIRST_TABLE) / PAGE
}

const _: () = assert!(fit(MEMORY_MAXIMUM, IMAGE_MAXIMUM));

impl<'a> Tables<'a> {
    /// Tables that [`write`] has made. New ones are made from guest-physical address `next` on, which is the
    /// tender's.
    pub fn at(memory: &'a Memory, next: u64) -> Self {
        Self { memory, next }
    }

    /// Guest-physical address of the next free page for a table.
    pub fn next(&self) -> u64 {
        self.next
    }

    /// Returns true if an address is mapped.
    pub fn maps(&self, address: u64) -> bool {
        self.leaf(address).is_some_and(|(_, entry)| entry != 0)
    }

    /// Unmaps a large page of the guest's, if one is mapped at the address.
    pub fn unmap_large(&mut self, address: u64) {
        if self.maps(address) && !self.has_table(address) {
            let place = self.entry(address, 2);
            self.memory.set_tender_word(place, 0);
        }
    }

    /// Returns true if there is a table of 4 KiB pages for this address.
    pub fn has_table(&self, address: u64) -> bool {
        self.leaf(address).is_some_and(|(level, _)| level == 1)
    }

    /// Returns the level and the value of the last entry for an address, 0 if the entry is empty; `None` if an upper table
    /// is missing.
    pub fn leaf(&self, address: u64) -> Option<(u32, u64)> {
        let mut table = FIRST_TABLE;
        for level in (1..=4).rev() {
            let entry = self.memory.tender_word(table + 8 * index(address, level));
            if level == 1 || level == 2 && (entry == 0 || entry & Flags::HUGE_PAGE.bits() != 0) {
                return Some((level, entry));
            }
            table = Some(entry & ADDRESS_MASK).filter(|below| *below != 0)?;
        }
        None
    }

    /// Unmaps a page of the guest's that has an entry of its own.
    pub fn unmap(&mut self, address: u64) {
        let place = self.entry(address, 1);
        self.memory.set_tender_word(place, 0);
    }

    /// Maps whole pages, with large ones where they fit.
    pub fn map(&mut self, region: Region, physical: u64, rights: Rights, owner: Owner) {
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
            let (level, size, flags) = match large {
                true => (2, LARGE_PAGE, flags | Flags::HUGE_PAGE),
                false => (1, PAGE, flags),
            };
            // All entries from here to the end of this table that map pages of this size.
            let mut place = self.entry(from, level);
            loop {
                self.memory.set_tender_word(place, (physical + offset) | flags.bits());
                offset += size;
                place += 8;
                let rest = region.length.saturating_sub(offset);
                if place.is_multiple_of(PAGE)
                    || rest < size
                    || (level == 1 && (region.start + offset).is_multiple_of(LARGE_PAGE))
                {
                    break;
                }
            }
        }
    }

    /// Returns the guest-physical address of the entry for `address` in its table of `level` (1: page table, 2: page
    /// directory). Makes the tables on the way that are missing.
    fn entry(&mut self, address: u64, level: u32) -> u64 {
        let mut table = FIRST_TABLE;
        for upper in (level + 1..=4).rev() {
            let place = table + 8 * index(address, upper);
            table = match self.memory.tender_word(place) & ADDRESS_MASK {
                0 => {
                    let new = self.next;
                    let flags = Flags::PRESENT | Flags::WRITABLE | Flags::USER_ACCESSIBLE | Flags::ACCESSED;
                    self.memory.set_tender_word(place, new | flags.bits());
                    self.next += PAGE;
                    new
                }
                below => below,
            };
        }
        table + 8 * index(address, level)
    }
}

/// Number of the entry for an address in its table of this level.
fn index(address: u64, level: u32) -> u64 {
    (address >> (12 + 9 * (level - 1))) % ENTRIES
}
