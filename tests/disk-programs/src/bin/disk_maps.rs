//! Maps a disk, which is refused.

use libc::{MAP_FAILED, MAP_PRIVATE, MAP_SHARED, PROT_READ, PROT_WRITE};
use std::fs::File;
use std::io::Error;
use std::os::fd::AsRawFd;
use std::ptr::null_mut;

fn main() {
    let disk = File::options().read(true).write(true).open("/dev/data").expect("attached");
    for (rights, flags) in [(PROT_READ, MAP_SHARED), (PROT_READ | PROT_WRITE, MAP_SHARED), (PROT_READ, MAP_PRIVATE)] {
        // SAFETY: a new mapping changes nothing.
        let start = unsafe { libc::mmap(null_mut(), 4096, rights, flags, disk.as_raw_fd(), 0) };
        assert_eq!(start, MAP_FAILED);
        println!("{:?}", Error::last_os_error().raw_os_error());
    }
}
