//! Contents of files between the disk and the memory of a request: directly, where there are many sectors; else through the cache.

use crate::cache::{LARGE, PAGE, SECTOR};
use crate::errno::{self, Errno};
use crate::{Data, Disk, Volume};
use alloc::vec;
use core::ops::Range;

/// Bytes that are copied at once.
const PIECE: usize = 64 << 10;

impl<D: Disk> Volume<D> {
    /// Fills memory from a place on the disk, or with zeros.
    pub(crate) fn fetch(
        &mut self,
        physical: Option<u64>,
        at: u64,
        length: u64,
        data: &mut dyn Data,
    ) -> Result<(), Errno> {
        let Some(physical) = physical else {
            let zeros = vec![0; (length as usize).min(PIECE)];
            let mut pieces = pieces(0..length);
            return pieces.try_for_each(|piece| {
                data.write(at + piece.start, &zeros[..(piece.end - piece.start) as usize]);
                Ok(())
            });
        };
        let direct = direct(physical, length);
        let done = !direct.is_empty() && {
            let (offset, at, length) = (physical + direct.start, at + direct.start, direct.end - direct.start);
            self.system.device().read_into(offset, data, at, length as usize).map_err(errno::of)?
        };
        if !done {
            return self.copy_out(physical, at, 0..length, data);
        }
        self.copy_out(physical, at, 0..direct.start, data)?;
        self.copy_out(physical, at, direct.end..length, data)
    }

    /// Copies a part of what lies at a place on the disk.
    fn copy_out(&mut self, physical: u64, at: u64, part: Range<u64>, data: &mut dyn Data) -> Result<(), Errno> {
        let mut buffer = vec![0; ((part.end - part.start) as usize).min(PIECE)];
        for piece in pieces(part) {
            let bytes = &mut buffer[..(piece.end - piece.start) as usize];
            if bytes.len() > PAGE {
                // One request to the disk, instead of one for each page.
                self.system.device().read_ahead(physical + piece.start, bytes.len()).map_err(errno::of)?;
            }
            self.system.device().read_bytes(physical + piece.start, bytes).map_err(errno::of)?;
            data.write(at + piece.start, bytes);
        }
        Ok(())
    }

    /// Writes memory to a place on the disk, to blocks of a file.
    pub(crate) fn store(&mut self, physical: u64, at: u64, length: u64, data: &dyn Data) -> Result<(), Errno> {
        let block = u64::from(self.block_size);
        let first = physical / block;
        // The file system may have copies of them.
        self.system.forget_data_blocks(first, (physical + length).div_ceil(block) - first).map_err(errno::of)?;
        let direct = direct(physical, length);
        let done = !direct.is_empty() && {
            let (offset, at, length) = (physical + direct.start, at + direct.start, direct.end - direct.start);
            self.system.device().write_from(offset, data, at, length as usize).map_err(errno::of)?
        };
        if !done {
            return self.copy_in(physical, at, 0..length, data);
        }
        self.copy_in(physical, at, 0..direct.start, data)?;
        self.copy_in(physical, at, direct.end..length, data)
    }

    /// Copies a part of the memory to a place on the disk.
    fn copy_in(&mut self, physical: u64, at: u64, part: Range<u64>, data: &dyn Data) -> Result<(), Errno> {
        let mut buffer = vec![0; ((part.end - part.start) as usize).min(PIECE)];
        for piece in pieces(part) {
            let bytes = &mut buffer[..(piece.end - piece.start) as usize];
            data.read(at + piece.start, bytes);
            self.system.device().write_bytes(physical + piece.start, bytes).map_err(errno::of)?;
        }
        Ok(())
    }
}

/// A range in pieces that are copied at once.
fn pieces(range: Range<u64>) -> impl Iterator<Item = Range<u64>> {
    let end = range.end;
    range.step_by(PIECE).map(move |start| start..end.min(start + PIECE as u64))
}

/// The whole sectors among these bytes of the disk, if they are many: where they begin and end among the bytes.
fn direct(physical: u64, length: u64) -> Range<u64> {
    let sector = SECTOR as u64;
    let start = physical.next_multiple_of(sector) - physical;
    let end = length.saturating_sub((physical + length) % sector);
    if end >= start + LARGE as u64 { start..end } else { 0..0 }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;
    use std::vec::Vec;

    #[test]
    fn only_many_whole_sectors_are_direct() {
        let large = LARGE as u64;
        assert_eq!(direct(4096, large), 0..large);
        assert_eq!(direct(4096, large + 511), 0..large);
        assert_eq!(direct(4097, large + 512), 511..large + 511);
        assert_eq!([direct(4096, large - 1), direct(4097, large), direct(5, 3)], [0..0, 0..0, 0..0]);
    }

    #[test]
    fn pieces_follow_each_other() {
        let piece = PIECE as u64;
        assert_eq!(
            pieces(5..2 * piece + 6).collect::<Vec<_>>(),
            [5..piece + 5, piece + 5..2 * piece + 5, 2 * piece + 5..2 * piece + 6]
        );
        assert_eq!(pieces(7..7).count(), 0);
    }
}
