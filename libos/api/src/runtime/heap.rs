//! The heap of a native program: one first-fit free list over the heap region.

#![expect(unsafe_code, reason = "the heap region is memory by address, and an allocator deals in pointers")]

use crate::{boot, gate};
use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{NonNull, null_mut};
use husk_abi::boot::Info;
use husk_abi::call::Number;
use linked_list_allocator::LockedHeap;

/// The free list; memory that the tender has not attached yet is not in it.
struct Heap(LockedHeap);

#[global_allocator]
static HEAP: Heap = Heap(LockedHeap::empty());

/// Opens the part of the heap that is attached from the start. Called once.
pub fn init(info: &Info) {
    // SAFETY: the contract gives this region to the guest, zeroed; `begin` calls `init` once, and only this list uses it.
    unsafe { HEAP.0.lock().init(info.heap.start as *mut u8, info.heap_attached as usize) };
}

impl Heap {
    /// Attaches the rest of the heap. Returns true if there was a rest.
    fn grow(&self) -> bool {
        let heap = boot::info().heap;
        let mut list = self.0.lock();
        let before = list.size() as u64;
        if before >= heap.length {
            return false;
        }
        let attached = gate::call(Number::GrowHeap, heap.length, 0, 0, 0).unwrap_or(before);
        // SAFETY: the tender answered that these bytes are attached now, and they follow the list's memory.
        unsafe { list.extend(attached.saturating_sub(before) as usize) };
        attached > before
    }
}

// SAFETY: both functions forward to the list, and its lock makes them exclusive.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        loop {
            let found = self.0.lock().allocate_first_fit(layout);
            match found {
                Ok(start) => return start.as_ptr(),
                Err(()) if self.grow() => {}
                Err(()) => return null_mut(),
            }
        }
    }

    unsafe fn dealloc(&self, start: *mut u8, layout: Layout) {
        if let Some(start) = NonNull::new(start) {
            // SAFETY: the caller guarantees that `start` came from `alloc` with this layout.
            unsafe { self.0.lock().deallocate(start, layout) };
        }
    }
}
