//! Huge pages of the host for guest memory, where and when the tender decides, whatever the host does by itself.

#![expect(unsafe_code, reason = "madvise(2) and mincore(2) take pages by address")]

use super::{Claim, Memory, reserve};
use husk_abi::memory::{LARGE_PAGE, PAGE, Region};
use std::io;
use std::ptr::NonNull;

/// As [`reserve`], at a multiple of [`LARGE_PAGE`], which KVM needs to map large pages. The host makes no huge pages of it
/// by itself: a small guest would become large where they are always made, and memory that a guest has given back would
/// return where khugepaged collapses what is left.
pub fn reserve_aligned(size: u64) -> io::Result<NonNull<u8>> {
    let all = reserve(size + LARGE_PAGE)?;
    let start = (all.as_ptr() as u64).next_multiple_of(LARGE_PAGE);
    let before = start - all.as_ptr() as u64;
    unmap(Region { start: all.as_ptr() as u64, length: before });
    unmap(Region { start: start + size, length: LARGE_PAGE - before });
    // A kernel without huge pages refuses, and makes none.
    let _ = advise(Region { start, length: size }, libc::MADV_NOHUGEPAGE);
    NonNull::new(start as *mut u8).ok_or_else(|| io::ErrorKind::OutOfMemory.into())
}

impl Memory {
    /// Which of these pages of the window are resident; none of them if the host does not say.
    pub fn resident(&self, pages: Region) -> Vec<bool> {
        let mut bytes = vec![0u8; (pages.length / PAGE) as usize];
        if bytes.is_empty() {
            return vec![];
        }
        let start = self.host(self.layout.physical(pages.start)).as_ptr();
        // SAFETY: the call writes a byte for each page of the range, of which there are as many.
        unsafe { libc::mincore(start.cast(), pages.length as usize, bytes.as_mut_ptr()) };
        bytes.into_iter().map(|byte| byte & 1 != 0).collect()
    }

    /// Populates pages of the heap or the sparse region, 2 MiB of them with a huge page if the host has one left. Pages that
    /// the guest has protected, or that the host has no memory for, stay as they are.
    pub fn populate(&self, pages: Region) {
        let Ok(start) = self.pages(Claim { address: pages.start, length: pages.length }) else { return };
        let on_host = Region { start: start.as_ptr() as u64, ..pages };
        let is_large = pages.length == LARGE_PAGE && on_host.start.is_multiple_of(LARGE_PAGE);
        if is_large {
            let _ = advise(on_host, libc::MADV_HUGEPAGE);
        }
        // Before Linux 5.14 there is no such advice: a large piece gets its huge page at the guest's next touch.
        if advise(on_host, libc::MADV_POPULATE_WRITE).is_ok() && is_large {
            let _ = advise(on_host, libc::MADV_NOHUGEPAGE);
        }
    }
}

fn advise(pages: Region, advice: libc::c_int) -> io::Result<()> {
    // SAFETY: none of the advice used here changes what the pages hold.
    match unsafe { libc::madvise(pages.start as *mut libc::c_void, pages.length as usize, advice) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn unmap(pages: Region) {
    if pages.length > 0 {
        // SAFETY: the caller has just made the mapping, and nobody else knows it.
        unsafe { libc::munmap(pages.start as *mut libc::c_void, pages.length as usize) };
    }
}
