//! Stores numbered records through a mapping of a file in a directory, makes each durable by msync(2), fsync(2) or sync(2) in turn, and
//! prints its number. With a number, it checks that the records up to that one are there instead.

#![expect(unsafe_code, reason = "std maps no files")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::{env, ptr};

/// Bytes of a record: some lie in two pages.
const LENGTH: usize = 700;
/// Bytes of the file, whose records are overwritten in turn.
const SIZE: usize = 1 << 20;

fn record(number: u64) -> Vec<u8> {
    let mut bytes = number.to_le_bytes().to_vec();
    bytes.resize(LENGTH, number as u8);
    bytes
}

/// Offset of a record: neighbours in time are none in space.
fn place(number: u64) -> usize {
    (number as usize * 37 % (SIZE / LENGTH)) * LENGTH
}

fn main() {
    let mut arguments = env::args().skip(1);
    let path = arguments.next().expect("a directory");
    let path = Path::new(&path).join("records");
    if let Some(last) = arguments.next() {
        return check(&path, last.parse().expect("a number"));
    }
    let file = File::options().read(true).write(true).create(true).truncate(true).open(path).expect("made");
    file.set_len(SIZE as u64).expect("set");
    file.sync_all().expect("synced");
    let (rights, flags) = (libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED);
    // SAFETY: any arguments are a valid request for an address of the kernel's choice.
    let start = unsafe { libc::mmap(ptr::null_mut(), SIZE, rights, flags, file.as_raw_fd(), 0) };
    assert_ne!(start, libc::MAP_FAILED);
    for number in 1.. {
        let to = start.cast::<u8>().wrapping_add(place(number));
        // SAFETY: the record lies inside the mapping.
        unsafe { to.copy_from(record(number).as_ptr(), LENGTH) };
        match number % 3 {
            // SAFETY: the call has no effect on memory.
            0 => assert_eq!(unsafe { libc::msync(start, SIZE, libc::MS_SYNC) }, 0),
            1 => file.sync_data().expect("synced"),
            // SAFETY: sync(2) takes nothing.
            _ => unsafe { libc::sync() },
        }
        println!("{number}");
    }
}

fn check(path: &Path, last: u64) {
    let file = File::open(path).expect("there");
    // Earlier ones have been overwritten.
    for number in last.saturating_sub((SIZE / LENGTH) as u64 - 2).max(1)..=last {
        let mut bytes = vec![0; LENGTH];
        file.read_exact_at(&mut bytes, place(number) as u64).expect("read");
        assert!(bytes == record(number), "record {number} is not there");
    }
    println!("all up to {last}");
}
