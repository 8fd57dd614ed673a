//! Reads its own image, as a file and mapped.

use std::fs::{self, File};
use std::io::{Read, Seek, SeekFrom};
use std::os::fd::AsRawFd;

fn main() -> std::io::Result<()> {
    let path = std::env::current_exe()?;
    assert_eq!(path, fs::canonicalize("/proc/self/exe")?);
    let bytes = fs::read(&path)?;
    assert_eq!(bytes[..4], *b"\x7fELF");
    assert_eq!(bytes.len() as u64, fs::metadata(&path)?.len());
    let mut file = File::open("/proc/self/exe")?;
    let mut middle = [0; 1000];
    file.seek(SeekFrom::Start(12_345))?;
    file.read_exact(&mut middle)?;
    assert_eq!(middle, bytes[12_345..13_345]);
    assert!(fs::write(&path, "no").is_err(), "the image cannot be changed");
    // SAFETY: a new mapping of a whole file, read through a pointer that stays inside.
    unsafe {
        let fd = file.as_raw_fd();
        let mapped = libc::mmap(std::ptr::null_mut(), bytes.len(), libc::PROT_READ, libc::MAP_PRIVATE, fd, 0);
        assert_ne!(mapped, libc::MAP_FAILED);
        assert_eq!(std::slice::from_raw_parts(mapped.cast::<u8>(), bytes.len()), bytes);
        assert_eq!(libc::munmap(mapped, bytes.len()), 0);
    }
    println!("{} bytes, all there", bytes.len());
    Ok(())
}
