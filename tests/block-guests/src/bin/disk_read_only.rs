//! Reads a read-only disk, and tries to change it.

#![no_std]
#![no_main]

use husk::block::{Disk, Error};

husk::entry!(main);

fn main() {
    let mut disk = Disk::open("data").expect("it is attached");
    assert!(disk.is_read_only());
    let mut sector = [0; 512];
    disk.read_at(0, &mut sector).expect("it can be read");
    assert_eq!(disk.write_at(0, &sector), Err(Error::Refused));
    assert_eq!(disk.discard(0, 512), Err(Error::Refused));
    assert_eq!(disk.write_zeroes(0, 512), Err(Error::Refused));
    husk::println!("read {}", sector[0] as char);
}
