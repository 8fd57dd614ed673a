//! Buffers of one connection: pages that the kernel allocates at the first touch. So an idle connection takes almost no memory,
//! and a short one only what it moves; the heap would clear all of it at once. Some rooms are kept for later connections,
//! because unmapping pages makes KVM invalidate its state of them.

#![expect(unsafe_code, reason = "mappings have no other interface")]

use std::ptr::null_mut;
use std::slice;
use std::sync::{Mutex, PoisonError};

/// Most rooms that are kept.
const KEPT: usize = 8;

/// Rooms that no connection uses.
static SPARE: Mutex<Vec<Mapping>> = Mutex::new(Vec::new());

/// Memory for two buffers of the same length.
#[derive(Debug)]
pub struct Room(Option<Mapping>);

#[derive(Debug)]
struct Mapping {
    /// Start address, known only to this value.
    start: usize,
    /// Half of the length.
    half: usize,
}

impl Room {
    /// Returns memory for two buffers of `half` bytes each, with any contents; `None` if the host has none.
    pub fn new(half: usize) -> Option<Self> {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = spare.iter().position(|mapping| mapping.half == half).map(|at| spare.swap_remove(at));
        Some(Self(Some(kept.or_else(|| Mapping::new(half))?)))
    }

    /// Returns both buffers.
    ///
    /// # Safety
    ///
    /// The caller calls this once per room, and uses neither buffer after the room is dropped.
    pub unsafe fn buffers(&self) -> [&'static mut [u8]; 2] {
        let Some(Mapping { start, half }) = &self.0 else { return [&mut [], &mut []] };
        let (start, half) = (*start, *half);
        [start, start + half].map(|start| {
            // SAFETY: the halves are disjoint, inside the mapping, and initialized by the kernel; the caller takes them once,
            // and drops them before the room.
            unsafe { slice::from_raw_parts_mut(start as *mut u8, half) }
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        if spare.len() < KEPT {
            spare.extend(self.0.take());
        }
    }
}

impl Mapping {
    fn new(half: usize) -> Option<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: a new mapping at an address of the kernel's choice.
        let start = unsafe { libc::mmap(null_mut(), half * 2, protection, flags, -1, 0) };
        (start != libc::MAP_FAILED).then_some(Self { start: start as usize, half })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: `new` made the mapping with this length; the caller of `buffers` uses them only while the room exists.
        unsafe { libc::munmap(self.start as *mut libc::c_void, self.half * 2) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_apart() {
        let room = Room::new(16 << 10).expect("the host has memory");
        // SAFETY: the only call for this room, which outlives the buffers.
        let [first, second] = unsafe { room.buffers() };
        first.fill(1);
        second.fill(2);
        assert!(first.iter().all(|byte| *byte == 1) && [first.len(), second.len()] == [16 << 10; 2]);
    }
}
