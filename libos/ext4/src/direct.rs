//! Large transfers, which pass the cache by: between the disk and memory of the file system, or of a request.

use crate::cache::{Cache, SECTOR, SECTORS};
use crate::sectors::{mask, put, runs};
use crate::{Data, Disk};
use alloc::vec::Vec;
use core::ops::Range;
use rsext4::{Ext4Error, Ext4Result, SectorId};

impl<D: Disk> Cache<D> {
    /// Reads these sectors.
    pub(crate) fn read_large(&mut self, into: &mut [u8], sector: u64) -> Ext4Result<()> {
        self.disk.read(sector * SECTOR as u64, into).map_err(|_| Ext4Error::io())?;
        let end = sector + (into.len() / SECTOR) as u64;
        for (at, bytes) in self.unwritten(sector..end) {
            into[at..at + bytes.len()].copy_from_slice(bytes);
        }
        Ok(())
    }

    /// Reads sectors into the memory of a request, from `at` on. Returns false if the disk cannot access it, or fails.
    pub fn read_into(&mut self, offset: u64, data: &mut dyn Data, at: u64, length: usize) -> Ext4Result<bool> {
        let sector = self.range(SectorId::new(offset / SECTOR as u64), length)?;
        // As for writes: an error may be of the memory.
        let is_done = self.disk.read_into(offset, data, at, length).unwrap_or(false);
        if is_done {
            let end = sector + (length / SECTOR) as u64;
            self.unwritten(sector..end).for_each(|(place, bytes)| data.write(at + place as u64, bytes));
        }
        Ok(is_done)
    }

    /// Writes these sectors.
    pub(crate) fn write_large(&mut self, from: &[u8], sector: u64) -> Ext4Result<()> {
        self.discard(sector..sector + (from.len() / SECTOR) as u64);
        self.unflushed = true;
        put(&mut self.disk, sector * SECTOR as u64, from, &mut self.failed)
    }

    /// Writes sectors from the memory of a request, from `at` on. Returns false if the disk cannot access it, or fails.
    pub fn write_from(&mut self, offset: u64, data: &dyn Data, at: u64, length: usize) -> Ext4Result<bool> {
        let sector = self.range(SectorId::new(offset / SECTOR as u64), length)?;
        if self.read_only {
            return Err(Ext4Error::read_only());
        }
        self.check()?;
        // An error may be of the memory, which the program may have protected. Written once more from a copy, the bytes show whose it is.
        let is_done = self.disk.write_from(offset, data, at, length).unwrap_or(false);
        if is_done {
            // Copies of these sectors in the cache are older.
            self.discard(sector..sector + (length / SECTOR) as u64);
            self.unflushed = true;
        }
        Ok(is_done)
    }

    /// What the cache holds of these sectors and the disk does not: bytes, and where they lie among those of the sectors.
    fn unwritten(&self, sectors: Range<u64>) -> impl Iterator<Item = (usize, &[u8])> {
        let pages = self.pages.range(sectors.start / SECTORS..sectors.end.div_ceil(SECTORS));
        pages.flat_map(move |(number, page)| {
            let start = number * SECTORS;
            runs(page.dirty & mask(*number, sectors.start, sectors.end)).map(move |(first, last)| {
                let bytes = &page.bytes[first as usize * SECTOR..last as usize * SECTOR];
                ((start + u64::from(first) - sectors.start) as usize * SECTOR, bytes)
            })
        })
    }

    /// Forgets what the cache holds of these sectors.
    fn discard(&mut self, sectors: Range<u64>) {
        let pages = self.pages.range(sectors.start / SECTORS..sectors.end.div_ceil(SECTORS));
        let inside: Vec<u64> = pages.map(|(number, _)| *number).collect();
        for number in inside {
            let covered = mask(number, sectors.start, sectors.end);
            let Some(page) = self.pages.get_mut(&number) else { continue };
            let was_dirty = page.dirty != 0;
            page.valid &= !covered;
            page.dirty &= !covered;
            if was_dirty && page.dirty == 0 {
                self.dirty -= 1;
            }
            if page.valid == 0 {
                self.pages.remove(&number);
            }
        }
    }
}
