//! Huge pages of the host for guest memory, at places and times of the tender's choice, whatever the host does by itself.

#![expect(unsafe_code, reason = "mincore(2) takes pages by address")]

use super::host::advise;
use super::{Claim, Memory};
use husk_abi::memory::{LARGE_PAGE, PAGE, Region};

impl Memory {
    /// Returns true for each of these pages of guest RAM that is resident; all false if the host does not report it.
    pub fn resident(&self, pages: Region) -> Vec<bool> {
        let mut bytes = vec![0u8; (pages.length / PAGE) as usize];
        if bytes.is_empty() {
            return vec![];
        }
        let start = self.host(self.layout.physical(pages.start)).as_ptr();
        // SAFETY: the call writes one byte for each page of the range, and `bytes` has one for each.
        unsafe { libc::mincore(start.cast(), pages.length as usize, bytes.as_mut_ptr()) };
        bytes.into_iter().map(|byte| byte & 1 != 0).collect()
    }

    /// Populates pages of the heap or the sparse region, 2 MiB of them with a huge page if the host has one left. Pages that
    /// the guest has protected, or for which the host has no memory, stay as they are.
    pub fn populate(&self, pages: Region) {
        let Ok(start) = self.pages(Claim { address: pages.start, length: pages.length }) else { return };
        let on_host = Region { start: start.as_ptr() as u64, ..pages };
        let is_large = pages.length == LARGE_PAGE && on_host.start.is_multiple_of(LARGE_PAGE);
        if is_large {
            let _ = advise(on_host, libc::MADV_HUGEPAGE);
        }
        // Before Linux 5.14 there is no MADV_POPULATE_WRITE: memory comes page by page.
        let _ = advise(on_host, libc::MADV_POPULATE_WRITE);
        // Whatever came of that: a piece that kept the advice, because a page of it is protected, would get a huge page at a touch
        // for which the guest is charged less. Huge pages that are there stay.
        if is_large {
            let _ = advise(on_host, libc::MADV_NOHUGEPAGE);
        }
    }
}
