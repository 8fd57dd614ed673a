//! The file that becomes the disk, as the block device of the file system's crate.
//!
//! The superblock and its copies are written last, when all the rest is on the host's disk: a file that was left behind by a kill or a
//! crash has none of them, so neither mount(8) nor fsck(8) take it for a file system. Zeros become holes.

use crate::error::{Error, Result};
use crate::signals;
use rsext4::{BlockIo, DeviceCapabilities, DeviceGeometry, Ext4Error, Ext4ErrorKind, Ext4Result, SectorId};
use rustix::fs::FallocateFlags;
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::rc::Rc;

/// Bytes of a block of the file system.
pub const BLOCK: u64 = 4096;
/// Blocks of a block group.
pub const GROUP: u64 = 8 * BLOCK;
/// Bytes of a sector.
const SECTOR: u64 = 512;

/// The file.
struct Image {
    file: File,
    /// Size of the file system.
    blocks: u64,
    /// Blocks with superblocks, by their numbers.
    withheld: BTreeMap<u64, [u8; BLOCK as usize]>,
    /// First error of the file.
    failure: Option<Error>,
    /// Name of the file in errors.
    name: String,
}

/// Handle of the file: one is the file system's, the other stays outside.
#[derive(Clone)]
pub struct Device(Rc<RefCell<Image>>);

impl Device {
    /// Device of this many blocks in an empty file.
    pub fn new(file: File, path: &Path, blocks: u64) -> Self {
        let name = path.display().to_string();
        Self(Rc::new(RefCell::new(Image { file, blocks, withheld: BTreeMap::new(), failure: None, name })))
    }

    /// Returns what an error of the file system stands for: the file's own, if it had one, else what `other` makes of it.
    pub fn cause(&self, error: Ext4Error, other: impl FnOnce(Ext4ErrorKind) -> Error) -> Error {
        self.0.borrow_mut().failure.take().unwrap_or_else(|| other(error.kind()))
    }

    /// Makes these bytes a hole, or zeros where the host's file system has no holes.
    pub fn clear(&self, start: u64, length: u64) -> Result<()> {
        let image = self.0.borrow();
        if rustix::fs::fallocate(&image.file, FallocateFlags::PUNCH_HOLE | FallocateFlags::KEEP_SIZE, start, length)
            .is_ok()
        {
            return Ok(());
        }
        let zeros = [0; BLOCK as usize];
        let mut blocks = (start..start + length).step_by(zeros.len());
        blocks.try_for_each(|offset| image.file.write_all_at(&zeros, offset)).map_err(|error| image.about(&error))
    }

    /// Writes the superblocks, once all else is on the host's disk, the first one at the end.
    pub fn finish(&self) -> Result<()> {
        let image = self.0.borrow();
        let write = || {
            image.file.sync_all()?;
            for (number, block) in image.withheld.iter().rev() {
                image.file.write_all_at(block, number * BLOCK)?;
            }
            image.file.sync_all()
        };
        write().map_err(|error| image.about(&error))
    }
}

impl Image {
    fn about(&self, error: &io::Error) -> Error {
        Error::about(&self.name, error)
    }

    /// Divides a request into parts of one kind; each is a part of the buffer, and its offset in the file.
    fn parts(offset: u64, length: usize) -> impl Iterator<Item = (std::ops::Range<usize>, u64)> {
        let mut done = 0;
        std::iter::from_fn(move || {
            let at = offset + done as u64;
            let end = if is_withheld(at / BLOCK) { at / BLOCK + 1 } else { (at / BLOCK / GROUP + 1) * GROUP };
            let next = length.min(done + usize::try_from(end * BLOCK - at).unwrap_or(usize::MAX));
            let part = (done..next, at);
            done = next;
            (!part.0.is_empty()).then_some(part)
        })
    }

    fn read(&mut self, buffer: &mut [u8], offset: u64) -> io::Result<()> {
        for (part, at) in Self::parts(offset, buffer.len()) {
            let into = &mut buffer[part];
            match is_withheld(at / BLOCK) {
                true => {
                    let start = (at % BLOCK) as usize;
                    match self.withheld.get(&(at / BLOCK)) {
                        Some(block) => into.copy_from_slice(&block[start..start + into.len()]),
                        None => into.fill(0),
                    }
                }
                false => self.file.read_exact_at(into, at)?,
            }
        }
        Ok(())
    }

    fn write(&mut self, buffer: &[u8], offset: u64) -> io::Result<()> {
        for (part, at) in Self::parts(offset, buffer.len()) {
            let bytes = &buffer[part];
            match is_withheld(at / BLOCK) {
                true => {
                    let start = (at % BLOCK) as usize;
                    let block = self.withheld.entry(at / BLOCK).or_insert([0; BLOCK as usize]);
                    block[start..start + bytes.len()].copy_from_slice(bytes);
                }
                false if is_zero(bytes) && self.has_zeros(bytes.len(), at)? => {}
                false => self.file.write_all_at(bytes, at)?,
            }
        }
        Ok(())
    }

    /// Returns true if these bytes of the file are zeros already.
    fn has_zeros(&self, length: usize, at: u64) -> io::Result<bool> {
        let mut there = vec![0; length];
        self.file.read_exact_at(&mut there, at)?;
        Ok(is_zero(&there))
    }

    /// Carries out a request that lies within the file system.
    fn serve(
        &mut self,
        length: usize,
        sector: SectorId,
        carry_out: impl FnOnce(&mut Self, u64) -> io::Result<()>,
    ) -> Ext4Result<()> {
        let offset = sector.raw().checked_mul(SECTOR);
        let end = offset.and_then(|offset| offset.checked_add(length as u64));
        let (Some(offset), Some(_)) = (offset, end.filter(|end| *end <= self.blocks * BLOCK)) else {
            return Err(Ext4Error::invalid_input());
        };
        let result = signals::check().and_then(|()| carry_out(self, offset).map_err(|error| self.about(&error)));
        result.map_err(|error| {
            self.failure.get_or_insert(error);
            Ext4Error::io()
        })
    }
}

impl BlockIo for Device {
    fn write(&mut self, buffer: &[u8], sector: SectorId, _: u32) -> Ext4Result<()> {
        self.0.borrow_mut().serve(buffer.len(), sector, |image, offset| image.write(buffer, offset))
    }

    fn read(&mut self, buffer: &mut [u8], sector: SectorId, _: u32) -> Ext4Result<()> {
        self.0.borrow_mut().serve(buffer.len(), sector, |image, offset| image.read(buffer, offset))
    }

    fn geometry(&self) -> DeviceGeometry {
        DeviceGeometry::new(SECTOR as u32, self.0.borrow().blocks * (BLOCK / SECTOR))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        DeviceCapabilities { flush: true, ..DeviceCapabilities::default() }
    }

    /// Nothing lasts before [`Device::finish`].
    fn flush(&mut self) -> Ext4Result<()> {
        Ok(())
    }
}

/// Returns true if the block has a superblock: the first of a group that has one.
fn is_withheld(block: u64) -> bool {
    block.is_multiple_of(GROUP) && has_superblock(block / GROUP)
}

/// Returns true if a group has a superblock, by `sparse_super`: the first two groups, and powers of 3, 5 and 7.
pub fn has_superblock(group: u64) -> bool {
    let is_power = |base: u64| {
        std::iter::successors(Some(base), |power| power.checked_mul(base))
            .take_while(|power| *power <= group)
            .any(|power| power == group)
    };
    group <= 1 || [3, 5, 7].into_iter().any(is_power)
}

/// Returns true if all bytes are zero.
pub fn is_zero(bytes: &[u8]) -> bool {
    bytes.iter().all(|byte| *byte == 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_with_superblocks_are_those_of_sparse_super() {
        let groups: Vec<_> = (0..130).filter(|group| has_superblock(*group)).collect();
        assert_eq!(groups, [0, 1, 3, 5, 7, 9, 25, 27, 49, 81, 125]);
    }

    #[test]
    fn superblocks_are_in_the_file_at_the_end_only() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(4 * GROUP * BLOCK).expect("room");
        let mut device = Device::new(file.try_clone().expect("a handle"), Path::new("x"), 4 * GROUP);
        // The last block of the first group, the superblock of the second, and one more.
        let bytes: Vec<u8> = (0..3 * BLOCK).map(|number| 1 + (number / BLOCK) as u8).collect();
        let sector = SectorId::new((GROUP - 1) * BLOCK / SECTOR);
        BlockIo::write(&mut device, &bytes, sector, 24).expect("room");
        let mut read = vec![0; bytes.len()];
        BlockIo::read(&mut device, &mut read, sector, 24).expect("it is there");
        assert!(read == bytes);
        let in_file = |number: u64| {
            let mut byte = [0];
            file.read_exact_at(&mut byte, (GROUP - 1 + number) * BLOCK).expect("it is there");
            byte[0]
        };
        assert_eq!([0, 1, 2].map(in_file), [1, 0, 3]);
        device.finish().expect("room");
        assert_eq!([0, 1, 2].map(in_file), [1, 2, 3]);
        // A part of a superblock, and what lies outside.
        BlockIo::write(&mut device, &[9; 512], SectorId::new(2), 1).expect("room");
        BlockIo::read(&mut device, &mut read[..1024], SectorId::new(1), 2).expect("it is there");
        assert_eq!((read[511], read[512]), (0, 9));
        assert!(BlockIo::write(&mut device, &bytes, SectorId::new(4 * GROUP * 8 - 1), 24).is_err());
    }

    #[test]
    fn zeros_become_holes_unless_they_replace_something() {
        use std::os::unix::fs::MetadataExt;
        let file = tempfile::tempfile().expect("a file");
        file.set_len(GROUP * BLOCK).expect("room");
        let mut device = Device::new(file.try_clone().expect("a handle"), Path::new("x"), GROUP);
        BlockIo::write(&mut device, &[0; 1 << 20], SectorId::new(8), 2048).expect("room");
        assert_eq!(file.metadata().expect("it is open").blocks(), 0);
        BlockIo::write(&mut device, &[7; 4096], SectorId::new(16), 8).expect("room");
        BlockIo::write(&mut device, &[0; 4096], SectorId::new(16), 8).expect("room");
        let mut read = [1; 4096];
        BlockIo::read(&mut device, &mut read, SectorId::new(16), 8).expect("it is there");
        assert!(is_zero(&read));
    }
}
