//! Memory for requests, with the largest alignment that any disk requires.

#![expect(unsafe_code, reason = "memory is allocated with an alignment of its own")]

use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::ops::{Deref, DerefMut};
use core::ptr::NonNull;
use core::slice;
use husk_abi::block::SECTOR_MAXIMUM;

/// Aligned bytes, zeroed at first.
#[derive(Debug)]
pub struct Buffer {
    start: NonNull<u8>,
    length: usize,
}

// SAFETY: the memory is not bound to a thread.
unsafe impl Send for Buffer {}

impl Buffer {
    /// Allocates a buffer of `length` bytes, at least one; `None` if the heap has no room for it.
    pub fn try_new(length: usize) -> Option<Self> {
        let layout =
            Layout::from_size_align(length, SECTOR_MAXIMUM as usize).ok().filter(|layout| layout.size() > 0)?;
        // SAFETY: the filter above rejects an empty layout.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) })?;
        Some(Self { start, length })
    }

    /// Allocates a buffer of `length` bytes.
    ///
    /// # Panics
    ///
    /// Panics if the heap has no room for the buffer, or `length` is 0.
    pub fn new(length: usize) -> Self {
        match Self::try_new(length) {
            Some(buffer) => buffer,
            None => panic!("the heap has no room for a buffer of {length} bytes"),
        }
    }
}

fn layout(length: usize) -> Layout {
    match Layout::from_size_align(length, SECTOR_MAXIMUM as usize) {
        Ok(layout) => layout,
        Err(_) => unreachable!("it was allocated"),
    }
}

impl Deref for Buffer {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        // SAFETY: `start` is an allocation of this buffer, `length` bytes long, and `try_new` zeroed it.
        unsafe { slice::from_raw_parts(self.start.as_ptr(), self.length) }
    }
}

impl DerefMut for Buffer {
    fn deref_mut(&mut self) -> &mut [u8] {
        // SAFETY: `start` is an allocation of this buffer alone, `length` bytes long, and `try_new` zeroed it.
        unsafe { slice::from_raw_parts_mut(self.start.as_ptr(), self.length) }
    }
}

impl Drop for Buffer {
    fn drop(&mut self) {
        // SAFETY: `try_new` allocated it with this layout.
        unsafe { dealloc(self.start.as_ptr(), layout(self.length)) };
    }
}
