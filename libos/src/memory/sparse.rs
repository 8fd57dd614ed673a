//! The sparse region: where reservations go once they would fill the heap, most of all the stacks of many threads.
//!
//! A reservation in the heap has its memory, and costs nothing when it is touched; here, the first touch of each 64 KiB
//! leaves the guest. So the first stacks are put into the heap, as long as plenty of it is free.

use super::host::Tender;
use super::{MEMORY, Memory};
use husk::abi::call::Number;
use husk::abi::memory::{PAGE, Rights};
use spin::Mutex;

/// The region, whose tables lie in itself. Its lock is never held together with that of [`MEMORY`].
pub static SPARSE: Mutex<Memory<Tender>> = Mutex::new(Memory::empty());

/// What is thought to be touched of a reservation, in bytes, if it is no smaller: a stack of std's.
const LIKELY: u64 = 2 << 20;

/// Maps pages without any rights here, if they are better here than in the heap.
pub fn map(length: u64) -> Option<u64> {
    let region = husk::boot::info().sparse;
    if length < LIKELY || length > region.length || heap_has_plenty(length) {
        return None;
    }
    let room = husk::gate::call(Number::Room, 0, 0, 0, 0).ok()?;
    if room < LIKELY {
        return None;
    }
    let mut memory = SPARSE.lock();
    if memory.size().0 == 0 {
        memory.init(region, region.length).ok()?;
    }
    memory.map(length, Rights::empty()).ok()
}

/// Whether three quarters of the heap are free.
fn heap_has_plenty(length: u64) -> bool {
    let (size, free) = MEMORY.lock().size();
    free.saturating_sub(length) > size / 4 * 3
}

/// Touches the pages that hold these bytes, so that the tender can read and write there.
pub fn touch(address: u64, length: u64) {
    let region = husk::boot::info().sparse;
    if !region.contains(address) {
        return;
    }
    for page in (address & !(PAGE - 1)..address.saturating_add(length)).step_by(PAGE as usize) {
        // The program's own bytes stay as they are.
        let _ = crate::user::read::<u8>(page);
    }
}
