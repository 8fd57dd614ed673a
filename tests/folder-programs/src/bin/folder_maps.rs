//! Maps the file of its argument, open for writing or not, and prints the errors; also those of making a mapping writable.

#![expect(unsafe_code, reason = "std maps no files")]

use std::fs::File;
use std::os::fd::AsRawFd;
use std::{env, io, ptr};

fn main() -> io::Result<()> {
    let path = env::args().nth(1).expect("a path");
    let file = File::options().read(true).write(true).open(&path)?;
    let to_read = File::open(&path)?;
    for (file, rights, flags) in [
        (&file, libc::PROT_READ, libc::MAP_SHARED),
        (&file, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED),
        (&to_read, libc::PROT_READ, libc::MAP_SHARED),
        (&file, libc::PROT_READ, libc::MAP_PRIVATE),
    ] {
        // SAFETY: any arguments are a valid request; nothing else is mapped there.
        let mapped = unsafe { libc::mmap(ptr::null_mut(), 4096, rights, flags, file.as_raw_fd(), 0) };
        let error = io::Error::last_os_error().raw_os_error();
        println!("{:?}", if mapped == libc::MAP_FAILED { error } else { None });
    }
    let map = |flags: i32, at: *mut libc::c_void| {
        // SAFETY: any arguments are a valid request; at `at`, if that is not null, lies a mapping that this program has made.
        unsafe {
            libc::mmap(at, if at.is_null() { 8192 } else { 4096 }, libc::PROT_READ, flags, to_read.as_raw_fd(), 0)
        }
    };
    // SAFETY: the pages are mapped, and this program reads them only.
    let protect = |at, length| match unsafe { libc::mprotect(at, length, libc::PROT_READ | libc::PROT_WRITE) } {
        0 => None,
        _ => io::Error::last_os_error().raw_os_error(),
    };
    let (shared, private) = (map(libc::MAP_SHARED, ptr::null_mut()), map(libc::MAP_PRIVATE, ptr::null_mut()));
    println!("{:?} {:?} {:?}", protect(shared, 8192), protect(shared, 4096), protect(private, 8192));
    // SAFETY: the page is mapped, and not used.
    unsafe { libc::munmap(shared, 4096) };
    println!("{:?}", protect(shared.wrapping_byte_add(4096), 4096));
    let again = map(libc::MAP_PRIVATE | libc::MAP_FIXED, shared.wrapping_byte_add(4096));
    println!("{} {:?}", again == shared.wrapping_byte_add(4096), protect(again, 4096));
    Ok(())
}
