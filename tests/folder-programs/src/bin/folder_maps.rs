//! Maps the file of its argument, open for writing or not, and prints the errors.

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
    Ok(())
}
