//! A reader of debug information that pays for every read from a budget.
//!
//! Debug information is a graph with lengths and counts in it: a few bytes can ask for unbounded work, through lists that many
//! entries share, or tables that are parsed again for each unit. Because every step reads something, a limit on reads bounds
//! the time and the memory that a file can cost, in one place.

use gimli::{EndianSlice, Error, LittleEndian, ReaderOffsetId};
use std::borrow::Cow;
use std::cell::Cell;

/// Rest of a budget of reads; one read costs a few nanoseconds.
#[derive(Debug)]
pub struct Budget(Cell<u64>);

impl Budget {
    /// Creates a budget of `reads` reads.
    pub fn new(reads: u64) -> Self {
        Self(Cell::new(reads))
    }

    /// Returns true if nothing is left.
    pub fn exhausted(&self) -> bool {
        self.0.get() == 0
    }

    fn pay(&self, reads: usize) -> Result<(), Error> {
        let left = self.0.get().checked_sub(reads as u64);
        self.0.set(left.unwrap_or(0));
        left.map(drop).ok_or(Error::TooManyIterations)
    }
}

/// A position in a section.
#[derive(Clone, Copy, Debug)]
pub struct Reader<'d> {
    slice: EndianSlice<'d, LittleEndian>,
    budget: &'d Budget,
}

impl<'d> Reader<'d> {
    /// Reads `bytes` at the expense of `budget`.
    pub fn new(bytes: &'d [u8], budget: &'d Budget) -> Self {
        Self { slice: EndianSlice::new(bytes, LittleEndian), budget }
    }

    /// Bytes that have not been read yet.
    pub fn bytes(&self) -> &'d [u8] {
        self.slice.slice()
    }
}

impl gimli::Reader for Reader<'_> {
    type Endian = LittleEndian;
    type Offset = usize;

    fn endian(&self) -> LittleEndian {
        LittleEndian
    }

    fn len(&self) -> usize {
        self.slice.slice().len()
    }

    fn empty(&mut self) {
        gimli::Reader::empty(&mut self.slice);
    }

    fn truncate(&mut self, length: usize) -> Result<(), Error> {
        self.slice.truncate(length)
    }

    fn offset_from(&self, base: &Self) -> usize {
        // Wraps where the slice's own method would panic, because gimli compares readers that it has split.
        (self.bytes().as_ptr() as usize).wrapping_sub(base.bytes().as_ptr() as usize)
    }

    fn offset_id(&self) -> ReaderOffsetId {
        self.slice.offset_id()
    }

    fn lookup_offset_id(&self, id: ReaderOffsetId) -> Option<usize> {
        self.slice.lookup_offset_id(id)
    }

    fn find(&self, byte: u8) -> Result<usize, Error> {
        let found = gimli::Reader::find(&self.slice, byte);
        self.budget.pay(1 + found.unwrap_or(self.bytes().len()) / 16)?;
        found
    }

    fn skip(&mut self, length: usize) -> Result<(), Error> {
        self.budget.pay(1)?;
        self.slice.skip(length)
    }

    fn split(&mut self, length: usize) -> Result<Self, Error> {
        self.budget.pay(1)?;
        Ok(Self { slice: self.slice.split(length)?, budget: self.budget })
    }

    fn to_slice(&self) -> Result<Cow<'_, [u8]>, Error> {
        Ok(self.bytes().into())
    }

    fn to_string(&self) -> Result<Cow<'_, str>, Error> {
        self.budget.pay(1 + self.bytes().len() / 16)?;
        gimli::Reader::to_string(&self.slice)
    }

    fn to_string_lossy(&self) -> Result<Cow<'_, str>, Error> {
        self.budget.pay(1 + self.bytes().len() / 16)?;
        gimli::Reader::to_string_lossy(&self.slice)
    }

    fn read_slice(&mut self, buffer: &mut [u8]) -> Result<(), Error> {
        self.budget.pay(1)?;
        gimli::Reader::read_slice(&mut self.slice, buffer)
    }

    fn read_u8(&mut self) -> Result<u8, Error> {
        self.budget.pay(1)?;
        gimli::Reader::read_u8(&mut self.slice)
    }
}
