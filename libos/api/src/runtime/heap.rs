//! The heap of a native program: one first-fit free list over the memory that the tender gave.

#![expect(unsafe_code, reason = "the heap region is memory by address")]

use husk_abi::memory::Region;
use linked_list_allocator::LockedHeap;

#[global_allocator]
static HEAP: LockedHeap = LockedHeap::empty();

/// Opens the heap. Called once.
pub fn init(region: Region) {
    // SAFETY: the tender gave us this region, zeroed and for good, and nobody else uses it.
    unsafe { HEAP.lock().init(region.start as *mut u8, region.length as usize) };
}
