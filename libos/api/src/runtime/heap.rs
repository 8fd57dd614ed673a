//! The heap of a native program: one first-fit free list over the memory that the tender gave.

#![expect(unsafe_code, reason = "the heap region is memory by address")]

use crate::gate;
use husk_abi::boot::Info;
use husk_abi::call::Number;
use husk_abi::memory::Region;
use linked_list_allocator::LockedHeap;

#[cfg_attr(target_os = "none", global_allocator)]
static HEAP: LockedHeap = LockedHeap::empty();

/// Opens the heap, as much of it as the tender has memory for. Called once.
pub fn init(info: &Info) {
    let attached = match info.heap_attached < info.heap.length {
        true => gate::call(Number::Attach, info.heap.length, 0, 0, 0).unwrap_or(info.heap_attached),
        false => info.heap.length,
    };
    let region = Region { length: attached, ..info.heap };
    // SAFETY: the tender gave us this region, zeroed and for good, and nobody else uses it.
    unsafe { HEAP.lock().init(region.start as *mut u8, region.length as usize) };
}
