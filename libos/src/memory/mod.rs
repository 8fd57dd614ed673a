//! Heap region: all pages that the program maps or the libos needs come from here.
//!
//! Pages start out zero and accessible. Changes of rights by the tender are undone when the page is reused, not when it is
//! freed; and a mapping made without any rights (PROT_NONE) is made inaccessible at the program's next call, unless that call
//! opens it. So a thread's stack that is mapped and unmapped with its guard needs no change of rights, and neither does its
//! signal stack (`signal_stacks`).
//!
//! This state has a lock of its own, which comes after that of [`crate::state::Libos`], because the libos allocates while it
//! holds its lock; no function in here allocates.

#![expect(unsafe_code, reason = "pages are made from a region of addresses")]

pub mod copies;
pub mod digest;
pub mod heap;
mod host;
mod pages;
mod reuse;
mod rights;
pub mod sigaltstack_guard;
mod signal_stacks;
pub mod sparse;
mod stack;
pub mod window;

use crate::errno::Errno;
use core::ops::Range;
use core::slice;
use host::{Host, Tender};
use husk::abi::memory::{PAGE, Region, Rights};
use pages::{OWN, PageGroup, Pages, SPARSE, WRITTEN};
use reuse::FreeDirty;
pub use rights::has_pending_mprotect;
use signal_stacks::SignalStacks;
use spin::Mutex;

/// The memory of this guest.
pub static MEMORY: Mutex<Memory<Tender>> = Mutex::new(Memory::empty());

/// Least number of pages that the tender zeroes, by discarding them to the host: writing the zeros here would be cheaper than
/// faulting all of them in anew, but not if most have never been touched.
const MANY: usize = 1024;

/// Least number like [`MANY`], for pages of which most have probably never been touched, and for those that the program gives
/// up (MADV_DONTNEED, MADV_FREE).
const MANY_SPARSE: usize = 16;

/// Pages that the program cannot have, so that the libos can continue and return ENOMEM.
const RESERVE: usize = 32;

/// Pages of a region, and their owners.
#[derive(Debug)]
pub struct Memory<H> {
    pages: Pages,
    start: u64,
    /// Pages that have just been mapped with rights that the tender does not know yet.
    pending_mprotect: Option<(Span, Rights)>,
    signal_stacks: SignalStacks,
    free_dirty: FreeDirty,
    /// Number of pages that the tender has attached memory to; see [`husk::abi::boot::Info::heap_attached`].
    attached: usize,
    /// Pages that the program cannot have: [`RESERVE`], and what is set aside.
    reserve: usize,
    host: H,
}

/// Range of whole pages, by number.
type Span = Range<usize>;

/// The region that contains an address.
pub fn of(address: u64) -> &'static Mutex<Memory<Tender>> {
    if husk::boot::info().sparse.contains(address) { &sparse::SPARSE } else { &MEMORY }
}

/// Closes the pages that mappings have left open: see [`Memory::flush_pending_mprotect`].
pub fn flush_pending_mprotect() {
    for memory in [&MEMORY, &sparse::SPARSE] {
        // If the tender cannot close the pages they stay open: the call that mapped them has returned already.
        let _ = memory.lock().flush_pending_mprotect();
    }
}

impl Memory<Tender> {
    const fn empty() -> Self {
        Self::new(Pages::empty(), 0, 0, Tender)
    }

    /// Takes over the heap region of this guest, which must be zero and unused.
    pub fn init(&mut self, heap: Region, attached: u64) -> Result<(), Errno> {
        let count = (heap.length / PAGE) as usize;
        let tables = Pages::groups(count) * size_of::<PageGroup>();
        // SAFETY: the tender passed the region, zeroed, aligned to a page and large enough for its own tables; `init` is called
        // once.
        let groups = unsafe { slice::from_raw_parts_mut(heap.start as *mut PageGroup, Pages::groups(count)) };
        let pages = Pages::new(groups, count);
        *self = Self::new(pages, heap.start, (attached / PAGE) as usize, Tender);
        let tables = 0..tables.div_ceil(PAGE as usize);
        self.attach(&tables)?;
        self.take_own(tables);
        Ok(())
    }
}

impl<H: Host> Memory<H> {
    const fn new(pages: Pages, start: u64, attached: usize, host: H) -> Self {
        Self {
            pages,
            start,
            pending_mprotect: None,
            signal_stacks: SignalStacks::NONE,
            free_dirty: FreeDirty::NONE,
            attached,
            reserve: RESERVE,
            host,
        }
    }

    /// Bytes in the region, and free ones among them.
    pub fn size(&self) -> (u64, u64) {
        (self.pages.count() as u64 * PAGE, self.pages.free() as u64 * PAGE)
    }

    /// Keeps this many more pages from the program, but at most half of those that are free.
    pub fn set_aside(&mut self, count: usize) {
        self.reserve += count.min(self.pages.free().saturating_sub(self.reserve) / 2);
    }

    /// Allocates `count` pages for the libos, with arbitrary contents.
    pub fn take(&mut self, count: usize) -> Option<u64> {
        let span = self.find_dense(count)?;
        self.attach(&span).ok()?;
        self.take_own(span.clone());
        self.set_rights(span.clone(), Rights::READ | Rights::WRITE).ok()?;
        Some(self.bytes(&span).start)
    }

    /// Allocates pages like [`Memory::take`], but zeroed.
    pub fn take_zero(&mut self, count: usize) -> Option<u64> {
        let span = self.find_dense(count)?;
        self.attach(&span).ok()?;
        self.set_rights(span.clone(), Rights::READ | Rights::WRITE).ok()?;
        self.zero(span.clone(), MANY).ok()?;
        self.take_own(span.clone());
        Some(self.bytes(&span).start)
    }

    /// Frees pages of the libos.
    pub fn give_back(&mut self, address: u64, count: usize) {
        if let Ok(span) = self.span(address, count as u64 * PAGE) {
            self.pages.release(span);
        }
    }

    /// Maps zeroed pages for the program anywhere, and returns their address.
    pub fn map(&mut self, length: u64, rights: Rights) -> Result<u64, Errno> {
        let count = usize::try_from(length.div_ceil(PAGE)).map_err(|_| Errno::ENOMEM)?;
        if count.saturating_add(self.reserve) > self.pages.free() {
            return Err(Errno::ENOMEM);
        }
        if rights.is_empty() {
            let span = self.find_sparse(count).ok_or(Errno::ENOMEM)?;
            self.attach(&span)?;
            self.pages.take(span.clone());
            self.zero(span.clone(), MANY).inspect_err(|_| self.pages.release(span.clone()))?;
            self.pages.set(SPARSE, span.clone());
            self.pages.set(WRITTEN, span.clone());
            self.defer_mprotect(span.clone(), rights);
            return Ok(self.bytes(&span).start);
        }
        let span = self.find_dense(count).ok_or(Errno::ENOMEM)?;
        self.attach(&span)?;
        self.pages.take(span.clone());
        self.prepare(span.clone(), rights)?;
        Ok(self.bytes(&span).start)
    }

    /// Maps zeroed pages for the program at `address`, in place of existing mappings; EEXIST if there are such and `replace` is
    /// false.
    pub fn map_at(&mut self, address: u64, length: u64, rights: Rights, replace: bool) -> Result<u64, Errno> {
        let span = self.span(address, length)?;
        let pages = &mut self.pages;
        if !pages.all(span.clone(), |group| !group.own) {
            return Err(Errno::ENOMEM);
        }
        if !replace && !pages.all(span.clone(), |group| !group.used) {
            return Err(Errno::EEXIST);
        }
        if !replace && span.len().saturating_add(self.reserve) > pages.free() {
            return Err(Errno::ENOMEM);
        }
        self.attach(&span)?;
        self.unmap(address, length)?;
        self.pages.take(span.clone());
        self.prepare(span, rights)?;
        Ok(address)
    }

    /// Unmaps the program's pages in this range.
    pub fn unmap(&mut self, address: u64, length: u64) -> Result<(), Errno> {
        let Range { mut start, end } = self.span(address, length)?;
        while start < end {
            let pages = &mut self.pages;
            let run = pages.run(start..end, |group| group.used & !group.own);
            start = run.end;
            if !run.is_empty() {
                self.free_dirty.add(pages, &run);
                self.signal_stacks.add(pages, &run);
                pages.release(run);
            }
        }
        self.limit_free_dirty();
        Ok(())
    }

    /// Makes pages of the program read as zeros.
    pub fn clear(&mut self, address: u64, length: u64) -> Result<(), Errno> {
        let span = self.mapped(address, length)?;
        self.zero(span.clone(), MANY_SPARSE)?;
        self.pages.set(WRITTEN, span);
        Ok(())
    }

    /// ENOMEM unless all of these pages are the program's.
    pub fn is_mapped(&mut self, address: u64, length: u64) -> Result<(), Errno> {
        self.mapped(address, length).map(|_| ())
    }

    /// Changes the length of a mapping, and returns its address, which changes only if `may_move`.
    pub fn resize(&mut self, address: u64, old: u64, new: u64, may_move: bool) -> Result<u64, Errno> {
        let span = self.mapped(address, old).map_err(|_| Errno::EFAULT)?;
        let old = span.len() as u64 * PAGE;
        let new = new.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)?;
        if new <= old {
            self.unmap(address + new, old - new)?;
            return Ok(address);
        }
        let rights = self.rights(span.start);
        if self.map_at(address + old, new - old, rights, false).is_ok() {
            return Ok(address);
        }
        if !may_move {
            return Err(Errno::ENOMEM);
        }
        let moved = self.map(new, Rights::READ | Rights::WRITE)?;
        self.carry(span, moved, new, rights)
    }

    /// Changes the length of a mapping and moves it to `to`, in place of existing mappings there; EINVAL if the two overlap.
    pub fn move_to(&mut self, address: u64, old: u64, to: u64, new: u64) -> Result<u64, Errno> {
        let span = self.mapped(address, old).map_err(|_| Errno::EFAULT)?;
        let target = self.span(to, new)?;
        if target.start < span.end && span.start < target.end {
            return Err(Errno::EINVAL);
        }
        let rights = self.rights(span.start);
        let moved = self.map_at(to, new, Rights::READ | Rights::WRITE, true)?;
        self.carry(span, moved, new, rights)
    }

    /// Copies the contents of a mapping to another of `length` bytes, which is writable and then gets these rights; unmaps the
    /// old one.
    fn carry(&mut self, span: Span, to: u64, length: u64, rights: Rights) -> Result<u64, Errno> {
        self.set_rights(span.clone(), Rights::READ | Rights::WRITE)?;
        let old = self.bytes(&span);
        self.host.copy(Region { length: old.length.min(length.next_multiple_of(PAGE)), ..old }, to);
        self.unmap(old.start, old.length)?;
        self.protect(to, length, rights)?;
        Ok(to)
    }

    /// Makes the tender attach memory to these pages, if it has not yet.
    fn attach(&mut self, span: &Span) -> Result<(), Errno> {
        if span.end > self.attached {
            let bytes = self.host.attach(span.end as u64 * PAGE).map_err(|_| Errno::ENOMEM)?;
            self.attached = (bytes / PAGE) as usize;
        }
        Ok(())
    }

    /// Pages of these bytes; EINVAL if `address` is not page-aligned, ENOMEM if some lie outside the region.
    fn span(&self, address: u64, length: u64) -> Result<Span, Errno> {
        if !address.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let start = address.checked_sub(self.start).ok_or(Errno::ENOMEM)? / PAGE;
        let end = start.checked_add(length.div_ceil(PAGE)).ok_or(Errno::ENOMEM)?;
        let count = self.pages.count() as u64;
        if end > count { Err(Errno::ENOMEM) } else { Ok(start as usize..end as usize) }
    }

    /// Pages of these bytes, if all of them are the program's; otherwise ENOMEM.
    fn mapped(&mut self, address: u64, length: u64) -> Result<Span, Errno> {
        let span = self.span(address, length)?;
        if self.pages.all(span.clone(), |group| group.used & !group.own) { Ok(span) } else { Err(Errno::ENOMEM) }
    }

    fn bytes(&self, span: &Span) -> Region {
        Region { start: self.start + span.start as u64 * PAGE, length: span.len() as u64 * PAGE }
    }

    fn take_own(&mut self, span: Span) {
        self.pages.take(span.clone());
        self.pages.set(OWN, span.clone());
        self.pages.set(WRITTEN, span.clone());
        self.pages.clear(SPARSE, span);
    }

    /// Zeroes new pages of the program and sets their rights; frees them if the host refuses.
    fn prepare(&mut self, span: Span, rights: Rights) -> Result<(), Errno> {
        // Writable pages are opened first, so that they can be zeroed from here.
        let done = if rights.contains(Rights::WRITE) {
            self.set_rights(span.clone(), rights).and_then(|()| self.zero(span.clone(), MANY))
        } else {
            self.zero(span.clone(), MANY).and_then(|()| self.set_rights(span.clone(), rights))
        };
        done.inspect_err(|_| self.pages.release(span.clone()))?;
        self.pages.set(WRITTEN, span.clone());
        self.pages.clear(SPARSE, span);
        Ok(())
    }

    /// Zeroes the pages marked as written, here or, if they are `many` or more, by the tender; clears the mark.
    fn zero(&mut self, span: Span, many: usize) -> Result<(), Errno> {
        let Range { mut start, end } = span;
        while start < end {
            let mut run = self.pages.run(start..end, |group| group.written);
            if run.is_empty() {
                break;
            }
            let pages = &mut self.pages;
            let sparse = pages.run(run.clone(), |group| group.sparse);
            // Ends where the kind of page changes.
            run.end = if sparse.start == run.start && !sparse.is_empty() { sparse.end } else { sparse.start };
            start = run.end;
            let many = if sparse.start == run.start { many.min(MANY_SPARSE) } else { many };
            let open = pages.all(run.clone(), |group| !(group.read_only | group.closed));
            let bytes = self.bytes(&run);
            if run.len() < many && open {
                self.host.zero(bytes);
            } else {
                self.host.discard(bytes, 0).map_err(|_| Errno::ENOMEM)?;
            }
            self.pages.clear(WRITTEN, run);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
