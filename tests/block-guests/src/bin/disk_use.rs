//! Makes every kind of request to a disk, and checks the results. The disk has eight sectors of the size in its argument.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use guests::word;
use husk::block::{Disk, Error};

husk::entry!(main);

fn main() {
    let mut disk = Disk::open("data").expect("it is attached");
    let sector: usize = word(1).parse().expect("a size");
    assert_eq!((disk.sector() as usize, disk.size() as usize), (sector, 8 * sector));
    let filled = |byte: u8, sectors: usize| vec![byte; sectors * sector];
    let at = |number: usize| (number * sector) as u64;

    let mut all = filled(0, 8);
    disk.read_at(0, &mut all).expect("all of it");
    assert!(all.iter().all(|byte| *byte == b'.'));
    disk.write_at(at(1), &filled(b'a', 3)).expect("inside");
    disk.write_at(at(7), &filled(b'b', 1)).expect("the last one");
    disk.flush().expect("a flush");
    disk.write_at(at(2), &filled(b'c', 1)).expect("inside");
    disk.discard(at(3), sector as u64).expect("inside");
    disk.write_zeroes(at(5), 2 * sector as u64).expect("inside");
    disk.discard(at(8), 0).expect("nothing, at the end");
    disk.read_at(0, &mut all).expect("all of it");
    for (number, expected) in b".ac\0.\0\0b".iter().enumerate() {
        let part = &all[number * sector..][..sector];
        assert!(part.iter().all(|byte| byte == expected), "sector {number}");
    }

    let mut one = filled(0, 1);
    assert_eq!(disk.read_at(at(8), &mut one), Err(Error::Refused), "behind the end");
    assert_eq!(disk.read_at(u64::MAX - sector as u64 + 1, &mut one), Err(Error::Refused), "wraps");
    assert_eq!(disk.write_at(at(7), &filled(b'x', 2)), Err(Error::Refused), "over the end");
    assert_eq!(disk.write_at(1, &one), Err(Error::Refused), "between sectors");
    assert_eq!(disk.write_at(0, &one[1..]), Err(Error::Refused), "less than a sector");
    assert_eq!(disk.discard(at(4), at(5)), Err(Error::Refused), "over the end");
    assert_eq!(disk.discard(at(1), u64::MAX - at(1) + 1), Err(Error::Refused), "wraps");
    assert_eq!(disk.write_zeroes(256, sector as u64), Err(Error::Refused), "between sectors");
    husk::println!("used");
}
