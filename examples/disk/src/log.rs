//! A log on a disk. A record is a checksum, the lengths of key and value, and both; the log ends where the checksum is
//! wrong, which is so for a record that has not been written whole.

use std::fs::File;
use std::io::{self, BufReader, Read};
use std::os::unix::fs::FileExt;

/// Length in place of a value's, which says that the key is deleted.
const GONE: u32 = u32::MAX;
/// Bytes before the key.
const HEAD: u64 = 12;

/// A log, to be appended to.
pub struct Log {
    disk: File,
    end: u64,
}

impl Log {
    /// Opens the log at `path`, and hands every record in it to `take`.
    pub fn open(path: &str, mut take: impl FnMut(&str, Option<&str>)) -> io::Result<Self> {
        let disk = File::options().read(true).write(true).open(path)?;
        let (mut end, mut reader) = (0, BufReader::new(&disk));
        while let Some((key, value)) = record(&mut reader, end) {
            end += HEAD + (key.len() + value.as_ref().map_or(0, String::len)) as u64;
            take(&key, value.as_deref());
        }
        Ok(Self { disk, end })
    }

    /// Appends a record; when this returns, the record is on the disk for good.
    pub fn append(&mut self, key: &str, value: Option<&str>) -> io::Result<()> {
        let lengths = [key.len() as u32, value.map_or(GONE, |value| value.len() as u32)].map(u32::to_le_bytes);
        let text = [key, value.unwrap_or_default()].concat();
        let rest = [lengths.as_flattened(), text.as_bytes()].concat();
        let record = [&checksum(self.end, &rest), &rest[..]].concat();
        self.disk.write_all_at(&record, self.end)?;
        self.disk.sync_data()?;
        self.end += record.len() as u64;
        Ok(())
    }
}

/// Computes a checksum with the position, so that remains of overwritten data are never taken for a record.
fn checksum(position: u64, rest: &[u8]) -> [u8; 4] {
    crc32fast::hash(&[&position.to_le_bytes(), rest].concat()).to_le_bytes()
}

/// Reads the record at `position`, which comes next: key and value.
fn record(log: &mut impl Read, position: u64) -> Option<(String, Option<String>)> {
    let mut head = [0; HEAD as usize];
    log.read_exact(&mut head).ok()?;
    let number = |at: usize| head[at..at + 4].iter().rev().fold(0, |number, byte| number << 8 | u32::from(*byte));
    let (key_length, gone) = (number(4) as usize, number(8) == GONE);
    let length = u64::from(number(4)) + if gone { 0 } else { u64::from(number(8)) };
    let mut text = Vec::new();
    log.take(length).read_to_end(&mut text).ok()?;
    let is_whole = text.len() as u64 == length && checksum(position, &[&head[4..], &text].concat()) == head[..4];
    let mut key = String::from_utf8(text).ok().filter(|_| is_whole)?;
    let value = key.split_off(key_length);
    Some((key, (!gone).then_some(value)))
}
