//! Reserves addresses and uses them in the way that the argument names; prints what it found, the same as natively.

use libc::{MAP_ANONYMOUS, MAP_FAILED, MAP_NORESERVE, MAP_PRIVATE, PROT_NONE, PROT_READ, PROT_WRITE, c_int};
use std::io::Error;
use std::ptr::null_mut;

const GIB: usize = 1 << 30;
const PAGE: usize = 4096;

/// A mapping that the program has made.
#[derive(Clone, Copy)]
struct Mapping {
    start: *mut u8,
    length: usize,
}

impl Mapping {
    fn new(length: usize, rights: c_int) -> Result<Self, Error> {
        let flags = MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE;
        // SAFETY: a new mapping changes nothing.
        let start = unsafe { libc::mmap(null_mut(), length, rights, flags, -1, 0) };
        if start == MAP_FAILED { Err(Error::last_os_error()) } else { Ok(Self { start: start.cast(), length }) }
    }

    fn unmap(self) {
        // SAFETY: the mapping is ours.
        assert_eq!(unsafe { libc::munmap(self.start.cast(), self.length) }, 0);
    }
}

/// Reserves as much as there is, and uses the first and the last page.
fn as_much_as_there_is() {
    let sizes = (0..14).rev().map(|power| (GIB / 64) << power);
    for rights in [PROT_NONE, PROT_READ | PROT_WRITE] {
        let got = sizes.clone().find_map(|size| match Mapping::new(size, rights) {
            Ok(mapping) => Some(mapping),
            Err(error) => {
                assert_eq!(error.raw_os_error(), Some(libc::ENOMEM), "{error}");
                None
            }
        });
        let Some(mapping) = got else { continue };
        for place in [0, mapping.length - PAGE] {
            let page = mapping.start.wrapping_add(place);
            // SAFETY: the page is ours.
            if unsafe { libc::mprotect(page.cast(), PAGE, PROT_READ | PROT_WRITE) } == 0 {
                // SAFETY: the page is ours, and writable now.
                unsafe { page.write_volatile(1) };
            }
        }
        mapping.unmap();
    }
    println!("as much as there is");
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("as much as there is") => as_much_as_there_is(),
        other => panic!("what is {other:?}?"),
    }
}
