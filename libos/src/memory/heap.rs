//! The heap of the libos itself: size classes in front of the page allocator.
//!
//! Small blocks come from chunks that are never freed, with a free list per size class; large ones are whole pages. Blocks of a
//! class are interchangeable, so the heap cannot fragment beyond its largest use.

#![expect(unsafe_code, reason = "an allocator hands out raw memory")]

use super::MEMORY;
use crate::errno::Errno;
use alloc::vec::Vec;
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use husk::abi::memory::PAGE;
use spin::Mutex;

/// The allocator. Lock order: after that of the libos and before that of the pages.
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

/// Class of the blocks that hold `size` bytes, which is 1 to [`LARGEST`].
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

/// Free blocks; each holds the address of the next in its first bytes.
struct Classes {
    free: [Option<NonNull<Free>>; COUNT],
    /// Unused part of the newest chunk.
    next: usize,
    end: usize,
}

struct Free {
    next: Option<NonNull<Self>>,
}

// SAFETY: the lists own their blocks, which are plain memory and not bound to a processor.
unsafe impl Send for Classes {}

impl Classes {
    fn take(&mut self, class: usize) -> Option<NonNull<u8>> {
        let list = self.free.get_mut(class)?;
        if let Some(first) = *list {
            // SAFETY: `put` wrote a `Free` there, and the block has not been handed out since.
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
            // SAFETY: `Heap::dealloc` got the block from `take`: it is large enough, aligned, and without any other owner.
            unsafe { block.write(Free { next: *list }) };
            *list = Some(block);
        }
    }
}

/// Type of [`HEAP`].
pub struct Heap(Mutex<Classes>);

/// Source of the memory for a layout.
enum Kind {
    Class(usize),
    Pages(usize),
    Never,
}

fn kind(layout: Layout) -> Kind {
    // A block is a multiple of 16 and aligned to 16, but not to more, because its position in the chunk is arbitrary. So larger
    // alignments get whole pages.
    match (layout.align(), layout.size()) {
        (..=STEP, 0..=LARGEST) => Kind::Class(class(layout.size().max(1))),
        (align, size) if align <= PAGE as usize => Kind::Pages(size.div_ceil(PAGE as usize)),
        _ => Kind::Never,
    }
}

// SAFETY: blocks come from lists and chunks that hold each address once; `kind` is a function of the layout, so they return to
// the list or to the pages that they came from.
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
            // Most pages are known to be zero, so they are not touched.
            return MEMORY.lock().take_zero(count).map_or(null_mut(), |address| address as *mut u8);
        }
        // SAFETY: `layout` has a size other than 0, which `alloc_zeroed` requires of its caller as `alloc` does.
        let block = unsafe { self.alloc(layout) };
        if !block.is_null() {
            // SAFETY: `alloc` just returned the block, which has at least `layout.size()` bytes.
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

/// Returns `length` zeros. Whole pages of them take no memory until they are touched.
pub fn zeros(length: usize) -> Result<Vec<u8>, Errno> {
    let layout = Layout::array::<u8>(length).map_err(|_| Errno::ENOMEM)?;
    if length == 0 {
        return Ok(Vec::new());
    }
    // SAFETY: the layout has a size other than 0, because `length` is not 0.
    let bytes = unsafe { alloc::alloc::alloc_zeroed(layout) };
    if bytes.is_null() {
        return Err(Errno::ENOMEM);
    }
    // SAFETY: the global allocator, which vectors use, just returned the bytes for this layout, and they are zero.
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
