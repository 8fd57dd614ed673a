//! Blocks of the disk in memory: a write-back cache between the file system and the disk.
//!
//! What is written stays here until it is evicted or [`flush`](BlockIo::flush)ed. Between two flushes the disk may take writes in any
//! order, so the cache may too: the file system flushes wherever an order matters (contents, then the commit record; blocks at home,
//! then the journal's tail). Large transfers pass the cache by.

use crate::Disk;
use crate::sectors::{empty, mask, put, runs};
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec;
use alloc::vec::Vec;
use rsext4::{BlockIo, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4Result, SectorId};

/// Bytes of a sector.
pub const SECTOR: usize = 512;
/// Bytes of a page of the cache.
pub(crate) const PAGE: usize = 4096;
/// Sectors of a page.
pub(crate) const SECTORS: u64 = (PAGE / SECTOR) as u64;
/// Transfers of this size or more are not cached.
pub(crate) const LARGE: usize = 128 << 10;
/// Most bytes of one write to the disk.
pub(crate) const GATHER: usize = 256 << 10;
/// Fewest pages of a cache.
const PAGES_MINIMUM: usize = 256;

/// A page: its bytes, and bits for its sectors.
pub(crate) struct Page {
    pub(crate) bytes: Box<[u8]>,
    pub(crate) valid: u8,
    pub(crate) dirty: u8,
    /// True if the page was used since the hand passed it.
    pub(crate) used: bool,
}

/// The disk with its cache.
pub struct Cache<D> {
    pub(crate) disk: D,
    pub(crate) sectors: u64,
    pub(crate) read_only: bool,
    pub(crate) pages: BTreeMap<u64, Page>,
    maximum: usize,
    pub(crate) dirty: usize,
    /// Page at which the next search for one to evict begins.
    hand: u64,
    /// True if a write or flush has failed: what the disk holds is not known any more.
    pub(crate) failed: bool,
    /// True if something was written since the last flush of the disk.
    pub(crate) unflushed: bool,
}

impl<D: Disk> Cache<D> {
    /// Cache of that many bytes.
    pub fn new(disk: D, bytes: usize, read_only: bool) -> Self {
        let sectors = disk.size() / SECTOR as u64;
        let maximum = (bytes / PAGE).max(PAGES_MINIMUM);
        Self {
            disk,
            sectors,
            read_only,
            pages: BTreeMap::new(),
            maximum,
            dirty: 0,
            hand: 0,
            failed: false,
            unflushed: false,
        }
    }

    /// Returns true if the disk has refused a write: nothing is written any more.
    pub fn has_failed(&self) -> bool {
        self.failed
    }

    /// Returns true if there is something that the disk may lose.
    pub fn is_dirty(&self) -> bool {
        self.dirty > 0 || self.unflushed
    }

    /// Writes all that is dirty to the disk, in ascending order.
    fn write_out(&mut self) -> Ext4Result<()> {
        if self.dirty == 0 {
            return self.check();
        }
        let mut gathered: Vec<u8> = Vec::new();
        let mut start = 0;
        let numbers: Vec<u64> =
            self.pages.iter().filter(|(_, page)| page.dirty != 0).map(|(number, _)| *number).collect();
        for number in numbers {
            let Some(page) = self.pages.get_mut(&number) else { continue };
            for (first, last) in runs(core::mem::take(&mut page.dirty)) {
                let at = (number * SECTORS + u64::from(first)) * SECTOR as u64;
                let bytes = &page.bytes[first as usize * SECTOR..last as usize * SECTOR];
                if start + gathered.len() as u64 != at || gathered.len() + bytes.len() > GATHER {
                    put(&mut self.disk, start, &gathered, &mut self.failed)?;
                    gathered.clear();
                    start = at;
                }
                gathered.extend_from_slice(bytes);
            }
            self.dirty -= 1;
        }
        self.unflushed = true;
        put(&mut self.disk, start, &gathered, &mut self.failed)
    }

    pub(crate) fn check(&self) -> Ext4Result<()> {
        if self.failed { Err(Ext4Error::io()) } else { Ok(()) }
    }

    /// Evicts a page if the cache is full.
    pub(crate) fn make_room(&mut self) -> Ext4Result<()> {
        if self.dirty > self.maximum / 2 {
            self.write_out()?;
        }
        while self.pages.len() >= self.maximum {
            let mut looked = 0;
            let victim = loop {
                let next = self.pages.range_mut(self.hand..).next();
                let Some((&number, page)) = next else {
                    self.hand = 0;
                    continue;
                };
                self.hand = number + 1;
                looked += 1;
                let is_kept = page.dirty != 0 || core::mem::take(&mut page.used);
                if !is_kept || (page.dirty == 0 && looked > self.maximum) {
                    break number;
                }
            };
            self.pages.remove(&victim);
        }
        Ok(())
    }

    /// The first sector of a request, which is checked.
    pub(crate) fn range(&self, sector: SectorId, length: usize) -> Ext4Result<u64> {
        let end = sector.raw().checked_add((length / SECTOR) as u64);
        match end {
            Some(end) if end <= self.sectors && length.is_multiple_of(SECTOR) => Ok(sector.raw()),
            _ => Err(Ext4Error::io()),
        }
    }

    /// Bytes of one page, read from the disk where they are not valid.
    fn read_page(&mut self, number: u64, first: u64, into: &mut [u8]) -> Ext4Result<()> {
        if !self.pages.contains_key(&number) {
            self.make_room()?;
        }
        let wanted = mask(number, first, first + (into.len() / SECTOR) as u64);
        let present = (self.sectors - number * SECTORS).min(SECTORS) as usize;
        let page = self.pages.entry(number).or_insert_with(empty);
        page.used = true;
        if page.valid & wanted != wanted {
            let mut bytes = vec![0; present * SECTOR];
            if self.disk.read(number * PAGE as u64, &mut bytes).is_err() {
                if page.valid == 0 {
                    self.pages.remove(&number);
                }
                return Err(Ext4Error::io());
            }
            for (first, last) in runs(!page.valid & mask(number, number * SECTORS, number * SECTORS + present as u64)) {
                let range = first as usize * SECTOR..last as usize * SECTOR;
                page.bytes[range.clone()].copy_from_slice(&bytes[range]);
                (first..last).for_each(|bit| page.valid |= 1 << bit);
            }
        }
        let start = (first - number * SECTORS) as usize * SECTOR;
        into.copy_from_slice(&page.bytes[start..start + into.len()]);
        Ok(())
    }

    fn write_page(&mut self, number: u64, first: u64, from: &[u8]) -> Ext4Result<()> {
        if !self.pages.contains_key(&number) || self.dirty > self.maximum / 2 {
            self.make_room()?;
        }
        let page = self.pages.entry(number).or_insert_with(empty);
        let start = (first - number * SECTORS) as usize * SECTOR;
        page.bytes[start..start + from.len()].copy_from_slice(from);
        let bits = mask(number, first, first + (from.len() / SECTOR) as u64);
        if page.dirty == 0 {
            self.dirty += 1;
        }
        page.valid |= bits;
        page.dirty |= bits;
        page.used = true;
        Ok(())
    }
}

impl<D: Disk> BlockIo for Cache<D> {
    fn write(&mut self, buffer: &[u8], sector: SectorId, _: u32) -> Ext4Result<()> {
        let mut sector = self.range(sector, buffer.len())?;
        if self.read_only {
            return Err(Ext4Error::read_only());
        }
        self.check()?;
        if buffer.len() >= LARGE {
            return self.write_large(buffer, sector);
        }
        let mut rest = buffer;
        while !rest.is_empty() {
            let number = sector / SECTORS;
            let (part, next) = rest.split_at(rest.len().min(((number + 1) * SECTORS - sector) as usize * SECTOR));
            self.write_page(number, sector, part)?;
            sector += (part.len() / SECTOR) as u64;
            rest = next;
        }
        Ok(())
    }

    fn read(&mut self, buffer: &mut [u8], sector: SectorId, _: u32) -> Ext4Result<()> {
        let mut sector = self.range(sector, buffer.len())?;
        if buffer.len() >= LARGE {
            return self.read_large(buffer, sector);
        }
        let mut rest = buffer;
        while !rest.is_empty() {
            let number = sector / SECTORS;
            let (part, next) = rest.split_at_mut(rest.len().min(((number + 1) * SECTORS - sector) as usize * SECTOR));
            self.read_page(number, sector, part)?;
            sector += (part.len() / SECTOR) as u64;
            rest = next;
        }
        Ok(())
    }

    fn geometry(&self) -> DeviceGeometry {
        DeviceGeometry::new(SECTOR as u32, self.sectors)
    }

    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities { read_only: self.read_only, flush: true, ..DeviceCapabilities::default() }
    }

    fn flush(&mut self) -> Ext4Result<()> {
        if self.read_only {
            return Ok(());
        }
        self.write_out()?;
        if self.unflushed {
            if self.disk.flush().is_err() {
                self.failed = true;
                return Err(Ext4Error::io());
            }
            self.unflushed = false;
        }
        Ok(())
    }
}
