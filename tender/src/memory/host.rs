//! Mappings of the host: made, protected and advised by address.

#![expect(unsafe_code, reason = "mappings are made by address")]

use husk_abi::memory::{LARGE_PAGE, Region, Rights};
use std::io;
use std::ptr::NonNull;

/// Reserves zeroed memory; pages are allocated at the first touch.
pub fn reserve(size: u64) -> io::Result<NonNull<u8>> {
    // SAFETY: a new mapping at an address of the kernel's choice touches nothing that exists.
    let address = unsafe {
        libc::mmap(
            std::ptr::null_mut(),
            size as usize,
            libc::PROT_READ | libc::PROT_WRITE,
            libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE,
            -1,
            0,
        )
    };
    if address == libc::MAP_FAILED {
        return Err(io::Error::last_os_error());
    }
    NonNull::new(address.cast()).ok_or_else(|| io::Error::from(io::ErrorKind::OutOfMemory))
}

/// Gives whole pages of guest memory these rights in the host's mapping.
pub fn protect(pages: Region, rights: Rights) -> io::Result<()> {
    let start = pages.start as *mut libc::c_void;
    // SAFETY: guest memory is accessed by system calls and raw copies only, which may fail.
    match unsafe { libc::mprotect(start, pages.length as usize, protection(rights)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Rights as mmap(2) takes them.
pub fn protection(rights: Rights) -> libc::c_int {
    let bits = [(Rights::READ, libc::PROT_READ), (Rights::WRITE, libc::PROT_WRITE), (Rights::EXECUTE, libc::PROT_EXEC)];
    bits.into_iter().filter(|(right, _)| rights.contains(*right)).fold(libc::PROT_NONE, |all, (_, bit)| all | bit)
}

/// Reserves memory as [`reserve`] does, at a multiple of [`LARGE_PAGE`], which KVM needs to map large pages. MADV_NOHUGEPAGE
/// keeps the host from making huge pages by itself: a small guest would become large where transparent huge pages are set to
/// `always`, and khugepaged, which collapses what is left, would bring back memory that a guest has given up.
pub fn reserve_aligned(size: u64) -> io::Result<NonNull<u8>> {
    let all = reserve(size + LARGE_PAGE)?;
    let start = (all.as_ptr() as u64).next_multiple_of(LARGE_PAGE);
    let before = start - all.as_ptr() as u64;
    // Addresses that cannot be given back are only lost.
    let _ = unmap(Region { start: all.as_ptr() as u64, length: before });
    let _ = unmap(Region { start: start + size, length: LARGE_PAGE - before });
    // A kernel without huge pages refuses, and makes none.
    let _ = advise(Region { start, length: size }, libc::MADV_NOHUGEPAGE);
    NonNull::new(start as *mut u8).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

/// Calls madvise(2) for pages of guest memory.
pub fn advise(pages: Region, advice: libc::c_int) -> io::Result<()> {
    // SAFETY: advice changes no more of pages than that they read as zeros, which guest memory may at any time.
    match unsafe { libc::madvise(pages.start as *mut libc::c_void, pages.length as usize, advice) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Maps zeroed memory at exactly these addresses, which must be free.
pub fn map_at(pages: Region, rights: Rights) -> io::Result<()> {
    // SAFETY: MAP_FIXED_NOREPLACE replaces no other mapping.
    let place = unsafe {
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE | libc::MAP_FIXED_NOREPLACE;
        let (start, length) = (pages.start as *mut libc::c_void, pages.length as usize);
        libc::mmap(start, length, protection(rights), flags, -1, 0)
    };
    match place {
        libc::MAP_FAILED => Err(io::Error::last_os_error()),
        place if place as u64 == pages.start => Ok(()),
        place => {
            // A kernel without MAP_FIXED_NOREPLACE takes the address as a hint.
            unmap(Region { start: place as u64, ..pages })?;
            Err(io::Error::from_raw_os_error(libc::EEXIST))
        }
    }
}

/// Unmaps whole pages that this process has mapped for a guest.
pub fn unmap(pages: Region) -> io::Result<()> {
    if pages.length == 0 {
        return Ok(());
    }
    // SAFETY: callers name mappings that they have made, and to which they keep no pointer.
    match unsafe { libc::munmap(pages.start as *mut libc::c_void, pages.length as usize) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}
