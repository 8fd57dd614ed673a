//! Windows: memory that holds a file's contents at one address, for all shared mappings of the file.
//!
//! To [`Memory`] they are pages of the libos, so that the program's calls on memory pass them by: [`crate::fs`] decides what
//! such a call means for a mapping. A window has far more addresses than contents, so it lies in the sparse region if there is
//! one; its pages take memory when they are touched.

#![expect(unsafe_code, reason = "contents are copied by address, because the program may write to them at any time")]

use super::host::Host;
use super::pages::{OWN, SPARSE, WRITTEN};
use super::{MANY_SPARSE, Memory, Span};
use crate::errno::Errno;
use crate::user::Slice;
use alloc::vec::Vec;
use core::cell::Cell;
use husk::abi::memory::{PAGE, Region, Rights};

/// Memory that the guest must be able to get beside what it is about to touch, in bytes.
#[cfg(not(test))]
const SPARE: u64 = 1 << 20;
/// Most pages that are touched before the tender is asked again whether there is memory for them.
const CREDIT: u64 = 256;
const READ_WRITE: Rights = Rights::READ.union(Rights::WRITE);

/// Addresses with memory behind them, owned by a file; given back when dropped.
#[derive(Debug)]
pub struct Window {
    place: Region,
    /// Rights that the program has to every page, and maybe more to some.
    least: Cell<Rights>,
    /// Pages that there is memory for, as far as the tender said.
    credit: Cell<u64>,
}

/// Part of a window. The program may write to it while it is copied.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(Region);

impl Window {
    /// Reserves whole pages of zeros: `wanted` bytes where addresses cost nothing, else those that are `needed`. ENOMEM if no region has
    /// as many.
    pub fn reserve([wanted, needed]: [u64; 2]) -> Result<Self, Errno> {
        let whole = |length: u64| length.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM);
        let (start, length) = place::reserve(whole(wanted)?, whole(needed)?)?;
        Ok(Self { place: Region { start, length }, least: Cell::new(READ_WRITE), credit: Cell::new(0) })
    }

    /// Addresses of the window.
    pub fn place(&self) -> Region {
        self.place
    }

    /// Extends the window to `length` bytes where it is; ENOMEM if the addresses behind it are in use.
    pub fn extend(&mut self, length: u64) -> Result<(), Errno> {
        let length = length.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)?;
        place::extend(self.place, length)?;
        self.place.length = length;
        Ok(())
    }

    /// Frees the pages behind the first `length` bytes, which hold nothing.
    pub fn shrink(&mut self, length: u64) {
        let length = length.next_multiple_of(PAGE).min(self.place.length);
        if place::shrink(Region::between(self.place.start + length, self.place.end())) {
            self.place.length = length;
        }
    }

    /// The part of `length` bytes from byte `at` on, once the libos can access it with `rights`. For that, all pages of the
    /// window become readable and writable for the program, too: changing the rights of a page for each access would cost two
    /// exits.
    pub fn part(&self, at: u64, length: u64, rights: Rights) -> Bytes {
        debug_assert!(at + length <= self.place.length, "callers name parts of the window");
        if !self.least.get().contains(rights) && place::protect(self.place, READ_WRITE).is_ok() {
            self.least.set(READ_WRITE);
        }
        Bytes(Region { start: self.place.start + at, length })
    }

    /// Changes the program's rights to whole pages.
    pub fn protect(&self, at: u64, length: u64, rights: Rights) -> Result<(), Errno> {
        place::protect(Region { start: self.place.start + at, length }, rights)?;
        let is_all = at == 0 && length >= self.place.length;
        self.least.set(if is_all { rights } else { self.least.get() & rights });
        Ok(())
    }

    /// Rights that the program has to a page.
    pub fn rights(&self, page: u64) -> Rights {
        place::rights(self.place.start + page * PAGE)
    }

    /// Rights that the program has to every page, at least.
    pub fn least(&self) -> Rights {
        self.least.get()
    }

    /// Makes whole pages read as zeros, and gives the memory of many back.
    pub fn clear(&self, at: u64, length: u64) -> Result<(), Errno> {
        place::clear(Region { start: self.place.start + at, length })
    }

    /// Returns a bit for each of these whole pages that holds anything, from the lowest of the first byte on: a page without reads as
    /// zeros. `None` if that is not known.
    pub fn populated(&self, at: u64, length: u64) -> Option<Vec<u8>> {
        place::populated(Region { start: self.place.start + at, length })
    }

    /// ENOMEM unless there is memory for `pages` more pages, or most probably is.
    pub fn charge(&self, pages: u64) -> Result<(), Errno> {
        if self.credit.get() < pages {
            let room = place::room(self.place).checked_div(PAGE).filter(|room| *room >= pages).ok_or(Errno::ENOMEM)?;
            self.credit.set(pages + (room - pages).min(CREDIT) / 2);
        }
        self.credit.set(self.credit.get() - pages);
        Ok(())
    }
}

impl Drop for Window {
    fn drop(&mut self) {
        place::release(self.place);
    }
}

impl Bytes {
    /// Number of bytes.
    pub fn length(self) -> u64 {
        self.0.length
    }

    /// Returns the first `count` bytes, or all.
    pub fn first(self, count: u64) -> Self {
        Self(Region { length: self.0.length.min(count), ..self.0 })
    }

    pub(super) fn pointer(self) -> *mut u8 {
        self.0.start as *mut u8
    }

    /// Copies all bytes to the program's memory, which may be the same; `into` is as long.
    pub fn copy_to(self, into: Slice) -> Result<(), Errno> {
        let to = into.first(self.0.length).check()?;
        // SAFETY: `Window::part` made sure that the libos can read the bytes; `check` found the target in the program's window.
        unsafe { to.copy_from(self.pointer(), into.length.min(self.0.length) as usize) };
        Ok(())
    }

    /// Replaces all bytes by those of the program's memory, which may be the same; `from` is as long.
    pub fn copy_from(self, from: Slice) -> Result<(), Errno> {
        let source = from.first(self.0.length).check()?;
        // SAFETY: `Window::part` made sure that the libos can write the bytes; `check` found the source in the program's window.
        unsafe { self.pointer().copy_from(source, from.length.min(self.0.length) as usize) };
        Ok(())
    }

    /// Replaces all bytes by those of another part, which is as long and does not overlap.
    pub fn copy_part(self, from: Self) {
        // SAFETY: `Window::part` made sure that the libos can access both.
        unsafe { self.pointer().copy_from(from.pointer(), self.0.length.min(from.0.length) as usize) };
    }

    /// Replaces all bytes by as many of the libos.
    pub fn fill(self, from: &[u8]) {
        // SAFETY: `Window::part` made sure that the libos can write the bytes; `from` is the libos's own.
        unsafe { self.pointer().copy_from(from.as_ptr(), from.len().min(self.0.length as usize)) };
    }

    /// Appends all bytes to `into`.
    pub fn append_to(self, into: &mut Vec<u8>) {
        let length = self.0.length as usize;
        into.reserve(length);
        if let Some(room) = into.spare_capacity_mut().get_mut(..length) {
            // SAFETY: `Window::part` made sure that the libos can read the bytes; `room` is the vector's and as long.
            unsafe { room.as_mut_ptr().cast::<u8>().copy_from(self.pointer(), length) };
            // SAFETY: the copy above initialised the first `length` bytes of the spare capacity.
            unsafe { into.set_len(into.len() + length) };
        }
    }

    /// Writes zeros.
    pub fn zero(self) {
        // SAFETY: `Window::part` made sure that the libos can write the bytes.
        unsafe { self.pointer().write_bytes(0, self.0.length as usize) };
    }
}

impl<H: Host> Memory<H> {
    /// Reserves zeroed pages for a window, and returns their address.
    pub fn reserve(&mut self, length: u64) -> Result<u64, Errno> {
        let count = usize::try_from(length.div_ceil(PAGE)).map_err(|_| Errno::ENOMEM)?;
        if count.saturating_add(self.reserve) > self.pages.free() {
            return Err(Errno::ENOMEM);
        }
        let span = self.find_sparse(count).ok_or(Errno::ENOMEM)?;
        self.take_for_window(span.clone())?;
        Ok(self.bytes(&span).start)
    }

    /// Reserves the pages behind a window, up to `length` bytes from its start.
    pub fn extend(&mut self, window: Region, length: u64) -> Result<(), Errno> {
        let more = self.span(window.end(), length.saturating_sub(window.length))?;
        let few = more.len().saturating_add(self.reserve) > self.pages.free();
        if few || !self.pages.all(more.clone(), |group| !group.used) {
            return Err(Errno::ENOMEM);
        }
        self.take_for_window(more)
    }

    fn take_for_window(&mut self, span: Span) -> Result<(), Errno> {
        self.attach(&span)?;
        self.set_rights(span.clone(), Rights::READ | Rights::WRITE)?;
        self.zero(span.clone(), MANY_SPARSE)?;
        self.pages.take(span.clone());
        self.pages.set(OWN, span.clone());
        self.pages.set(SPARSE, span.clone());
        self.pages.set(WRITTEN, span);
        Ok(())
    }

    /// Changes the program's rights to pages of a window.
    pub fn protect_window(&mut self, bytes: Region, rights: Rights) -> Result<(), Errno> {
        self.set_rights(self.span(bytes.start, bytes.length)?, rights)
    }

    /// Rights to the page of a window at `address`.
    pub fn rights_to(&mut self, address: u64) -> Rights {
        let page = self.span(address, PAGE).map(|span| self.rights(span.start));
        page.unwrap_or(READ_WRITE)
    }

    /// Makes pages of a window read as zeros.
    pub fn clear_window(&mut self, bytes: Region) -> Result<(), Errno> {
        let span = self.span(bytes.start, bytes.length)?;
        self.zero(span.clone(), MANY_SPARSE)?;
        self.pages.set(WRITTEN, span);
        Ok(())
    }

    /// Frees the pages of a window, and gives their memory back.
    pub fn release_window(&mut self, bytes: Region) {
        if let Ok(span) = self.span(bytes.start, bytes.length) {
            // Pages that cannot be zeroed now are zeroed before they are used again.
            let _ = self.zero(span.clone(), MANY_SPARSE);
            self.pages.release(span);
        }
    }
}

/// Regions of the guest.
#[cfg(not(test))]
mod place {
    use super::super::{MEMORY, of, sparse};
    use super::{PAGE, Region, Rights, SPARE};
    use crate::errno::Errno;
    use alloc::vec::Vec;
    use husk::abi::call::Number;

    /// Returns the start and the length.
    pub fn reserve(wanted: u64, needed: u64) -> Result<(u64, u64), Errno> {
        let sparse = |length| sparse::region().and_then(|mut memory| Some((memory.reserve(length).ok()?, length)));
        // Addresses of the heap are memory.
        sparse(wanted).or_else(|| sparse(needed)).map_or_else(|| Ok((MEMORY.lock().reserve(needed)?, needed)), Ok)
    }

    pub fn rights(address: u64) -> Rights {
        of(address).lock().rights_to(address)
    }

    pub fn extend(window: Region, length: u64) -> Result<(), Errno> {
        of(window.start).lock().extend(window, length)
    }

    pub fn protect(bytes: Region, rights: Rights) -> Result<(), Errno> {
        of(bytes.start).lock().protect_window(bytes, rights)
    }

    pub fn clear(bytes: Region) -> Result<(), Errno> {
        of(bytes.start).lock().clear_window(bytes)
    }

    pub fn populated(bytes: Region) -> Option<Vec<u8>> {
        let mut bits = Vec::new();
        let count = (bytes.length / PAGE).div_ceil(8) as usize;
        bits.try_reserve_exact(count).ok()?;
        bits.resize(count, 0);
        let into = bits.as_mut_ptr() as u64;
        husk::gate::call(Number::Populated, bytes.start, bytes.length, into, 0).ok().map(|_| bits)
    }

    pub fn shrink(behind: Region) -> bool {
        release(behind);
        true
    }

    pub fn release(window: Region) {
        of(window.start).lock().release_window(window);
    }

    /// Memory that the guest can get by touching pages of a window, in bytes.
    pub fn room(window: Region) -> u64 {
        // Pages of the heap have their memory.
        if !husk::boot::info().sparse.contains(window.start) {
            return u64::MAX - u64::MAX % PAGE;
        }
        sparse::room().saturating_sub(SPARE)
    }
}

/// Memory of the host's allocator.
#[cfg(test)]
mod place {
    use super::{PAGE, Region, Rights};
    use crate::errno::Errno;
    use std::alloc::{Layout, alloc_zeroed, dealloc};

    fn layout(length: u64) -> Layout {
        Layout::from_size_align(length as usize, PAGE as usize).expect("whole pages")
    }

    pub fn reserve(wanted: u64, needed: u64) -> Result<(u64, u64), Errno> {
        let length = [wanted, needed].into_iter().find(|length| *length <= 1 << 30).ok_or(Errno::ENOMEM)?;
        // SAFETY: no window is empty.
        Ok((unsafe { alloc_zeroed(layout(length)) } as u64, length))
    }

    pub fn rights(_: u64) -> Rights {
        Rights::READ | Rights::WRITE
    }

    pub fn extend(_: Region, _: u64) -> Result<(), Errno> {
        Err(Errno::ENOMEM)
    }

    pub fn protect(_: Region, _: Rights) -> Result<(), Errno> {
        Ok(())
    }

    pub fn clear(bytes: Region) -> Result<(), Errno> {
        // SAFETY: the bytes are part of a window, which `reserve` allocated.
        unsafe { (bytes.start as *mut u8).write_bytes(0, bytes.length as usize) };
        Ok(())
    }

    pub fn populated(_: Region) -> Option<Vec<u8>> {
        None
    }

    pub fn shrink(_: Region) -> bool {
        false
    }

    pub fn release(window: Region) {
        // SAFETY: `reserve` allocated the window, and cannot have extended it.
        unsafe { dealloc(window.start as *mut u8, layout(window.length)) };
    }

    pub fn room(_: Region) -> u64 {
        1 << 40
    }
}
