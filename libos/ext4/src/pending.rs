//! Writes that are answered, and not carried out.

use crate::Data;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use rsext4::InodeNumber;

/// Bytes of a file that follow each other.
pub(crate) struct Collected {
    pub(crate) offset: u64,
    pub(crate) bytes: Vec<u8>,
    /// Time of the last write.
    pub(crate) at_ns: u64,
}

impl Collected {
    fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64
    }
}

/// Writes that are answered, and not carried out.
#[derive(Default)]
pub struct Pending {
    pub(crate) files: BTreeMap<InodeNumber, Collected>,
    pub(crate) total: usize,
}

impl Pending {
    pub fn is_empty(&self) -> bool {
        self.files.is_empty()
    }

    /// Size of a file after its writes, and the bytes that they add.
    pub fn grown(&self, number: InodeNumber, size: u64) -> (u64, u64) {
        let Some(file) = self.files.get(&number) else { return (size, 0) };
        (size.max(file.end()), file.bytes.len() as u64)
    }

    /// Returns the time of the last write to a file, if that is not carried out.
    pub fn written_at(&self, number: InodeNumber) -> Option<u64> {
        self.files.get(&number).map(|file| file.at_ns)
    }

    /// Most blocks that the writes take.
    pub fn blocks(&self, block_size: u32) -> u64 {
        (self.total as u64).div_ceil(block_size.into()) + 2 * self.files.len() as u64
    }

    /// Forgets the writes of a file that is freed.
    pub fn forget(&mut self, number: InodeNumber) {
        self.take(number);
    }

    /// Takes writes again that could not be carried out.
    pub fn put_back(&mut self, number: InodeNumber, file: Collected) {
        self.total += file.bytes.len();
        self.files.insert(number, file);
    }

    /// Takes the writes of a file.
    pub fn take(&mut self, number: InodeNumber) -> Option<Collected> {
        let file = self.files.remove(&number)?;
        self.total -= file.bytes.len();
        Some(file)
    }

    /// Returns true if this write begins where the last one ended.
    pub fn follows(&self, number: InodeNumber, offset: u64) -> bool {
        self.files.get(&number).is_some_and(|file| file.end() == offset)
    }

    /// Adds a write that follows, or is the first of its file.
    pub fn collect(&mut self, (number, offset): (InodeNumber, u64), data: &dyn Data, at_ns: u64) {
        let length = data.length() as usize;
        let file = self.files.entry(number).or_insert_with(|| Collected { offset, bytes: Vec::new(), at_ns });
        file.at_ns = at_ns;
        let start = file.bytes.len();
        file.bytes.resize(start + length, 0);
        data.read(0, &mut file.bytes[start..]);
        self.total += length;
    }

    /// Bytes that are collected of a file.
    pub fn length(&self, number: InodeNumber) -> usize {
        self.files.get(&number).map_or(0, |file| file.bytes.len())
    }
}
