//! The heap of the libos itself: size classes in front of the page allocator.
//!
//! Small blocks come from chunks that are never given back, each size from a list of its own; large ones are whole
//! pages. Blocks of one class are all alike, so the heap cannot fragment beyond its largest use.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use super::MEMORY;
use crate::errno::Errno;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use husk::abi::memory::PAGE;
use spin::Mutex;

/// The allocator. Its lock lies below that of the libos and above that of the pages.
#[cfg_attr(target_os = "none", global_allocator)]
pub static HEAP: Heap = Heap(Mutex::new(Classes { free: [None; COUNT], next: 0, end: 0 }));

/// Smallest block, and the distance between the smallest classes.
const STEP: usize = 16;
/// Largest block that is not whole pages.
const LARGEST: usize = 2048;
/// Classes: 16 to 128 by 16, then four for each doubling.
const COUNT: usize = class(LARGEST) + 1;
/// Bytes taken from the page allocator at a time.
const CHUNK: usize = 64 << 10;

/// The class of the blocks that hold `size` bytes, which is 1 to [`LARGEST`].
const fn class(size: usize) -> usize {
    if size <= 8 * STEP {
        return (size - 1) / STEP;
    }
    let octave = (size - 1).ilog2() as usize;
    8 + (octave - 7) * 4 + (size - 1 - (1 << octave)) / (1 << (octave - 2))
}

/// Bytes in the blocks of a class.
const fn block(class: usize) -> usize {
    if class < 8 {
        return (class + 1) * STEP;
    }
    let octave = 7 + (class - 8) / 4;
    (1 << octave) + ((class - 8) % 4 + 1) * (1 << (octave - 2))
}

/// Blocks that nobody has; each holds the address of the next in its first bytes.
struct Classes {
    free: [Option<NonNull<Free>>; COUNT],
    /// What is left of the newest chunk.
    next: usize,
    end: usize,
}

struct Free {
    next: Option<NonNull<Self>>,
}

// SAFETY: the lists own their blocks; they are bound to no processor.
unsafe impl Send for Classes {}

impl Classes {
    fn take(&mut self, class: usize) -> Option<NonNull<u8>> {
        let list = self.free.get_mut(class)?;
        if let Some(first) = *list {
            // SAFETY: `put` wrote a `Free` there, and nobody else has had the block since.
            *list = unsafe { first.read() }.next;
            return Some(first.cast());
        }
        let size = block(class);
        if self.end - self.next < size {
            self.next = MEMORY.lock().take(CHUNK / PAGE as usize)? as usize;
            self.end = self.next + CHUNK;
        }
        let start = self.next;
        self.next += size;
        NonNull::new(start as *mut u8)
    }

    /// Takes back a block of this class.
    fn put(&mut self, class: usize, block: NonNull<u8>) {
        if let Some(list) = self.free.get_mut(class) {
            let block = block.cast::<Free>();
            // SAFETY: `Heap::dealloc` got the block from `take`: it is large enough, aligned, and nobody else's.
            unsafe { block.write(Free { next: *list }) };
            *list = Some(block);
        }
    }
}

/// See [`HEAP`].
pub struct Heap(Mutex<Classes>);

/// How a layout is served.
enum Kind {
    Class(usize),
    Pages(usize),
    Never,
}

fn kind(layout: Layout) -> Kind {
    // A block is a multiple of 16 and aligned to that; a power of two from a chunk may lie anywhere, so what needs
    // more than 16 gets whole pages.
    match (layout.align(), layout.size()) {
        (..=STEP, 0..=LARGEST) => Kind::Class(class(layout.size().max(1))),
        (align, size) if align <= PAGE as usize => Kind::Pages(size.div_ceil(PAGE as usize)),
        _ => Kind::Never,
    }
}

// SAFETY: blocks come from lists and chunks that hold each address once; `kind` gives the same answer for the same
// layout, so they return where they came from.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match kind(layout) {
            Kind::Class(class) => self.0.lock().take(class).map_or(null_mut(), NonNull::as_ptr),
            Kind::Pages(count) => MEMORY.lock().take(count).map_or(null_mut(), |address| address as *mut u8),
            Kind::Never => null_mut(),
        }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        if let Kind::Pages(count) = kind(layout) {
            // Most pages are zero without being touched.
            return MEMORY.lock().take_zero(count).map_or(null_mut(), |address| address as *mut u8);
        }
        // SAFETY: the caller's promise is the same.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: the block was just made, and is at least as long.
            unsafe { block.write_bytes(0, layout.size()) };
        }
        block
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match (kind(layout), NonNull::new(block)) {
            (Kind::Class(class), Some(block)) => self.0.lock().put(class, block),
            (Kind::Pages(count), Some(block)) => MEMORY.lock().give_back(block.as_ptr() as u64, count),
            _ => {}
        }
    }
}

/// `length` zeros that take no memory until they are touched, if there are whole pages of them.
pub fn zeros(length: usize) -> Result<Vec<u8>, Errno> {
    let layout = Layout::array::<u8>(length).map_err(|_| Errno::ENOMEM)?;
    if length == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the layout has a size.
    let bytes = unsafe { alloc::alloc::alloc_zeroed(layout) };
    if bytes.is_null() {
        return Err(Errno::ENOMEM);
    }
    // SAFETY: the bytes were just made with this layout, by the allocator of vectors, and all of them are zero.
    Ok(unsafe { Vec::from_raw_parts(bytes, length, length) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_size_fits_its_class_and_not_the_one_below() {
        for size in 1..=LARGEST {
            let class = class(size);
            assert!(block(class) >= size, "{size}");
            assert!(class == 0 || block(class - 1) < size, "{size}");
            assert!(block(class).is_multiple_of(STEP), "{size}");
        }
        assert_eq!(block(COUNT - 1), LARGEST);
    }
}
