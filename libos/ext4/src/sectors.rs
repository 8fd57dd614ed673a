//! Ranges of the disk that begin and end anywhere, and sectors within pages of the cache.

use crate::Disk;
use crate::cache::{Cache, GATHER, PAGE, Page, SECTOR, SECTORS};
use alloc::vec;
use rsext4::{BlockIo, Ext4Error, Ext4Result, SectorId};

impl<D: Disk> Cache<D> {
    /// Brings these bytes into the cache by one read, if they are not there.
    pub fn read_ahead(&mut self, offset: u64, length: usize) -> Ext4Result<()> {
        let first = offset / PAGE as u64;
        let last = (offset + length as u64).div_ceil(PAGE as u64).min(self.sectors / SECTORS);
        let missing = (first..last).find(|page| !self.pages.contains_key(page));
        let Some(first) = missing else { return Ok(()) };
        let end = (first..last).find(|page| self.pages.contains_key(page)).unwrap_or(last);
        let mut bytes = vec![0; ((end - first) as usize * PAGE).min(GATHER)];
        self.disk.read(first * PAGE as u64, &mut bytes).map_err(|_| Ext4Error::io())?;
        for (page, bytes) in (first..end).zip(bytes.chunks_exact(PAGE)) {
            self.make_room()?;
            self.pages.insert(page, Page { bytes: bytes.into(), valid: u8::MAX, dirty: 0, used: false });
        }
        Ok(())
    }

    /// Reads bytes, which may begin and end anywhere.
    pub fn read_bytes(&mut self, offset: u64, into: &mut [u8]) -> Ext4Result<()> {
        let mut done = 0;
        while done < into.len() {
            let at = offset + done as u64;
            let skip = (at % SECTOR as u64) as usize;
            let whole = (into.len() - done) / SECTOR * SECTOR;
            if skip == 0 && whole > 0 {
                BlockIo::read(self, &mut into[done..done + whole], SectorId::new(at / SECTOR as u64), 0)?;
                done += whole;
                continue;
            }
            let mut sector = [0; SECTOR];
            BlockIo::read(self, &mut sector, SectorId::new(at / SECTOR as u64), 0)?;
            let count = (SECTOR - skip).min(into.len() - done);
            into[done..done + count].copy_from_slice(&sector[skip..skip + count]);
            done += count;
        }
        Ok(())
    }

    /// Writes bytes, which may begin and end anywhere.
    pub fn write_bytes(&mut self, offset: u64, from: &[u8]) -> Ext4Result<()> {
        let mut done = 0;
        while done < from.len() {
            let at = offset + done as u64;
            let (number, skip) = (SectorId::new(at / SECTOR as u64), (at % SECTOR as u64) as usize);
            let whole = (from.len() - done) / SECTOR * SECTOR;
            if skip == 0 && whole > 0 {
                BlockIo::write(self, &from[done..done + whole], number, 0)?;
                done += whole;
                continue;
            }
            let mut sector = [0; SECTOR];
            BlockIo::read(self, &mut sector, number, 0)?;
            let count = (SECTOR - skip).min(from.len() - done);
            sector[skip..skip + count].copy_from_slice(&from[done..done + count]);
            BlockIo::write(self, &sector, number, 0)?;
            done += count;
        }
        Ok(())
    }
}

/// Writes to the disk, if there is anything to write.
pub fn put<D: Disk>(disk: &mut D, at: u64, bytes: &[u8], failed: &mut bool) -> Ext4Result<()> {
    if *failed {
        return Err(Ext4Error::io());
    }
    if !bytes.is_empty() && disk.write(at, bytes).is_err() {
        *failed = true;
        return Err(Ext4Error::io());
    }
    Ok(())
}

/// A page without valid bytes.
pub fn empty() -> Page {
    Page { bytes: vec![0; PAGE].into_boxed_slice(), valid: 0, dirty: 0, used: true }
}

/// Bits of those sectors of a page that lie in a range.
pub fn mask(page: u64, first: u64, end: u64) -> u8 {
    let start = page * SECTORS;
    let (first, end) = (first.max(start) - start, end.min(start + SECTORS).max(start) - start);
    let below = |count: u64| if count >= SECTORS { u8::MAX } else { (1 << count) - 1 };
    below(end) & !below(first)
}

/// Runs of bits that are set: first, and one behind the last.
pub fn runs(bits: u8) -> impl Iterator<Item = (u32, u32)> {
    let mut at = 0;
    core::iter::from_fn(move || {
        let rest = u32::from(bits) >> at;
        (rest != 0).then(|| {
            let first = at + rest.trailing_zeros();
            let length = (u32::from(bits) >> first).trailing_ones();
            at = first + length;
            (first, at)
        })
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    #[test]
    fn sectors_of_a_page_are_bits() {
        assert_eq!([mask(1, 0, 100), mask(1, 9, 11), mask(1, 0, 8), mask(1, 16, 20)], [0xff, 0b110, 0, 0]);
        assert_eq!(runs(0b1011_0001).collect::<Vec<_>>(), [(0, 1), (4, 6), (7, 8)]);
        assert_eq!(runs(0xff).collect::<Vec<_>>(), [(0, 8)]);
        assert_eq!(runs(0).count(), 0);
    }
}
