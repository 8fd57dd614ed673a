//! Changes a file at random, as fsx does, and compares it with a copy in memory.

use std::env;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;

/// Largest size of the file.
const SIZE: u64 = 300_000;

/// Numbers that look random (xorshift, by Marsaglia).
struct Numbers(u64);

impl Numbers {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }
}

fn main() -> io::Result<()> {
    let path = env::args().nth(1).expect("a file");
    let rounds: u64 = env::args().nth(2).and_then(|rounds| rounds.parse().ok()).expect("a number of rounds");
    let numbers = &mut Numbers(0x9e37_79b9_7f4a_7c15);
    let mut copy: Vec<u8> = Vec::new();
    let mut file = open(&path)?;
    for round in 0..rounds {
        let offset = numbers.below(SIZE);
        let length = numbers.below(40_000).min(SIZE - offset) as usize;
        match numbers.below(10) {
            0..4 => {
                let bytes: Vec<u8> = (0..length).map(|at| (at as u64 + round) as u8).collect();
                file.write_all_at(&bytes, offset)?;
                copy.resize(copy.len().max(offset as usize + length), 0);
                copy[offset as usize..][..length].copy_from_slice(&bytes);
            }
            4..7 => {
                let mut bytes = vec![0; length];
                let count = file.read_at(&mut bytes, offset)?;
                let rest = copy.get(offset as usize..).unwrap_or_default();
                assert_eq!(bytes[..count], rest[..length.min(rest.len())], "round {round}");
            }
            7 => {
                file.set_len(offset)?;
                copy.resize(offset as usize, 0);
            }
            8 => {
                let mode = libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE;
                // SAFETY: fallocate(2) takes numbers.
                let result = unsafe { libc::fallocate(file.as_raw_fd(), mode, offset as i64, length as i64 + 1) };
                assert_eq!(result, 0, "round {round}: {}", io::Error::last_os_error());
                let end = copy.len().min(offset as usize + length + 1);
                copy.get_mut(offset as usize..end).unwrap_or_default().fill(0);
            }
            _ => {
                assert_eq!(file.metadata()?.len(), copy.len() as u64, "round {round}");
                file.sync_data()?;
                file = open(&path)?;
            }
        }
    }
    assert_eq!(std::fs::read(&path)?, copy);
    println!("{} bytes are the same", copy.len());
    Ok(())
}

fn open(path: &str) -> io::Result<File> {
    OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path)
}
