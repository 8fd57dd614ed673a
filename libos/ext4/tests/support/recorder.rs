//! A disk that records its requests, and what a loss of power may leave of it.

use super::random::Random;
use husk_ext4::{Disk, Failed};
use std::sync::{Arc, Mutex};

const SECTOR: usize = 512;
/// The superblock, which has a checksum, and is no part of a transaction before the journal is found by it: a disk writes it as a whole,
/// or no implementation of ext4 survives.
const SUPERBLOCK: std::ops::Range<usize> = 1024..2048;

/// A request to the disk.
#[derive(Clone, Debug)]
pub enum Told {
    Write { offset: usize, bytes: Vec<u8> },
    Flush,
}

/// State of the disk.
pub struct State {
    pub base: Vec<u8>,
    now: Vec<u8>,
    pub told: Vec<Told>,
    /// Writes and flushes after this many fail.
    pub fails_after: Option<usize>,
    /// Any of them did.
    pub has_failed: bool,
}

/// The disk; handles share it.
#[derive(Clone)]
pub struct Recorder(pub Arc<Mutex<State>>);

impl Recorder {
    pub fn new(base: Vec<u8>) -> Self {
        let state = State { now: base.clone(), base, told: Vec::new(), fails_after: None, has_failed: false };
        Self(Arc::new(Mutex::new(state)))
    }

    /// Number of writes and flushes.
    pub fn told(&self) -> usize {
        self.0.lock().expect("no panic").told.len()
    }

    /// Contents with all writes.
    pub fn now(&self) -> Vec<u8> {
        self.0.lock().expect("no panic").now.clone()
    }
}

impl State {
    fn check(&mut self) -> Result<(), Failed> {
        let fails = self.fails_after.is_some_and(|count| self.told.len() >= count);
        self.has_failed |= fails;
        if fails { Err(Failed) } else { Ok(()) }
    }

    /// A disk that has lost power after so many writes and flushes: what was written before the last flush is there; of what came
    /// later, any sectors are, in any order.
    pub fn cut(&self, after: usize, random: &mut Random) -> Vec<u8> {
        let mut disk = self.base.clone();
        let told = &self.told[..after];
        let flushed = told.iter().rposition(|told| matches!(told, Told::Flush)).unwrap_or(0);
        let mut place = |offset: usize, bytes: &[u8]| disk[offset..offset + bytes.len()].copy_from_slice(bytes);
        for told in &told[..flushed] {
            if let Told::Write { offset, bytes } = told {
                place(*offset, bytes);
            }
        }
        // All, none, whole writes, sectors; sectors that were written twice may hold the earlier bytes.
        let way = random.below(6);
        let mut late: Vec<&Told> = told[flushed..].iter().collect();
        if way >= 4 {
            random.shuffle(&mut late);
        }
        for told in late {
            let Told::Write { offset, bytes } = told else { continue };
            let is_whole = random.below(2) == 0;
            let mut superblock = None;
            for (number, sector) in bytes.chunks(SECTOR).enumerate() {
                let is_kept = match way {
                    0 => false,
                    1 => true,
                    2 | 4 => is_whole,
                    _ => random.below(2) == 0,
                };
                let at = offset + number * SECTOR;
                let is_kept = if SUPERBLOCK.contains(&at) { *superblock.get_or_insert(is_kept) } else { is_kept };
                if is_kept {
                    place(offset + number * SECTOR, sector);
                }
            }
        }
        disk
    }
}

impl Disk for Recorder {
    fn size(&self) -> u64 {
        self.0.lock().expect("no panic").base.len() as u64
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Failed> {
        let state = self.0.lock().expect("no panic");
        into.copy_from_slice(state.now.get(offset as usize..offset as usize + into.len()).ok_or(Failed)?);
        Ok(())
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> Result<(), Failed> {
        let mut state = self.0.lock().expect("no panic");
        state.check()?;
        let offset = offset as usize;
        assert!(offset.is_multiple_of(SECTOR) && from.len().is_multiple_of(SECTOR), "a write of whole sectors");
        state.now.get_mut(offset..offset + from.len()).ok_or(Failed)?.copy_from_slice(from);
        state.told.push(Told::Write { offset, bytes: from.into() });
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failed> {
        let mut state = self.0.lock().expect("no panic");
        state.check()?;
        state.told.push(Told::Flush);
        Ok(())
    }
}
