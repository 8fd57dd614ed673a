//! Sparse region: for reservations that would fill the heap, above all the stacks of many threads.
//!
//! A reservation in the heap has its memory, and costs no exit when it is touched; here, the first touch of each 64 KiB leaves
//! the guest. So the first stacks go to the heap, as long as plenty of it is free.

use super::host::Tender;
use super::{MEMORY, Memory};
use core::iter::successors;
use husk::abi::call::Number;
use husk::abi::memory::{PAGE, Region, Rights};
use spin::{Mutex, MutexGuard};

/// The region, with its tables in itself. Its lock is never held together with that of [`MEMORY`].
pub static SPARSE: Mutex<Memory<Tender>> = Mutex::new(Memory::empty());

/// Size of a reservation's part that will probably be touched, in bytes, and least size for this region: a stack of std's.
const LIKELY: u64 = 2 << 20;

/// Maps pages without any rights here, unless the heap is better.
pub fn map(length: u64) -> Option<u64> {
    let region = husk::boot::info().sparse;
    if length < LIKELY || length > region.length || heap_has_plenty(length) {
        return None;
    }
    self::region()?.map(length, Rights::empty()).ok()
}

/// Returns the region, with its tables; `None` without one, or without memory for what is likely to be touched.
pub fn region() -> Option<MutexGuard<'static, Memory<Tender>>> {
    let region = husk::boot::info().sparse;
    if region.length == 0 || room() < LIKELY {
        return None;
    }
    let mut memory = SPARSE.lock();
    if memory.size().0 == 0 {
        let region = Region { length: usable(region)?, ..region };
        memory.init(region, region.length).ok()?;
    }
    Some(memory)
}

/// Returns the length of the region's part that the host has addresses for, or a half of that or more: the tender refuses pages
/// beyond it.
fn usable(region: Region) -> Option<u64> {
    let lengths = successors(Some(region.length), |length| Some((length / 2) & !(PAGE - 1)));
    let is_there = |length: &u64| {
        let (last, rights) = (region.start + length - PAGE, Rights::READ | Rights::WRITE);
        husk::gate::call(Number::Protect, last, PAGE, rights.bits(), 0).is_ok()
    };
    lengths.take_while(|length| *length >= LIKELY).find(is_there)
}

/// Returns the number of bytes of memory that the guest can still get here.
pub fn room() -> u64 {
    husk::gate::call(Number::AvailableMemory, 0, 0, 0, 0).unwrap_or(0)
}

/// Returns true if three quarters of the heap would be free.
fn heap_has_plenty(length: u64) -> bool {
    let (size, free) = MEMORY.lock().size();
    free.saturating_sub(length) > size / 4 * 3
}

/// Touches the pages of these bytes, so that the tender can access them.
pub fn touch(address: u64, length: u64) {
    let region = husk::boot::info().sparse;
    if !region.contains(address) {
        return;
    }
    for page in (address & !(PAGE - 1)..address.saturating_add(length)).step_by(PAGE as usize) {
        // A read leaves the program's bytes as they are.
        let _ = crate::user::read::<u8>(page);
    }
}
