//! A ring of records in a file that is mapped and flushed, without a database.

use data_programs::{Change, Loaded, Outcome, Store, run};
use memmap2::MmapMut;
use std::fs::OpenOptions;
use std::path::Path;

/// Places of records, one more than are kept: that of the next record is never one that counts.
const PLACES: u64 = 201;
/// Bytes of a place: length and contents of a record.
const PLACE: usize = 12 << 10;
/// Bytes before the places: the number of the last record.
const HEAD: usize = 4096;
const WORD: usize = size_of::<u64>();

struct Mapped(MmapMut);

/// Returns the beginning of a record's place.
fn place(number: u64) -> usize {
    HEAD + (number % PLACES) as usize * PLACE
}

impl Mapped {
    fn word(&self, at: usize) -> Outcome<u64> {
        Ok(u64::from_ne_bytes(self.0[at..at + WORD].try_into()?))
    }
}

impl Store for Mapped {
    fn open(directory: &Path) -> Outcome<Self> {
        let mut options = OpenOptions::new();
        let file = options.read(true).write(true).create(true).truncate(false).open(directory.join("records"))?;
        file.set_len((HEAD + PLACES as usize * PLACE) as u64)?;
        file.sync_all()?;
        // SAFETY: nothing else opens the file.
        Ok(Self(unsafe { MmapMut::map_mut(&file)? }))
    }

    fn store(&mut self, change: &Change) -> Outcome<()> {
        let (at, length) = (place(change.number), change.contents.len());
        self.0[at..at + WORD].copy_from_slice(&(length as u64).to_ne_bytes());
        self.0[at + WORD..at + WORD + length].copy_from_slice(&change.contents);
        self.0.flush_range(at, WORD + length)?;
        // The number counts once its record is there.
        self.0[..WORD].copy_from_slice(&change.number.to_ne_bytes());
        Ok(self.0.flush_range(0, WORD)?)
    }

    fn load(&mut self) -> Outcome<Loaded> {
        let last = self.word(0)?;
        let numbers = last.saturating_sub(PLACES - 2).max(1)..=last;
        let record = |number| {
            let at = place(number);
            let length = self.word(at)? as usize;
            let contents = self.0.get(at + WORD..at + WORD + length).ok_or("a length without bounds")?;
            Ok((number, contents.to_vec()))
        };
        Ok((numbers.map(record).collect::<Outcome<_>>()?, last))
    }
}

fn main() -> Outcome<()> {
    run::<Mapped>()
}
