//! The buffers of one connection: pages that the kernel makes when they are touched. So an idle connection takes next to
//! nothing, and a short one only what it moves, where the heap would clear all of it at once. Some rooms are kept for
//! connections to come, as giving pages back makes KVM forget what it knew of them.

#![expect(unsafe_code, reason = "mappings have no other interface")]

use std::ptr::null_mut;
use std::slice;
use std::sync::{Mutex, PoisonError};

/// Rooms that are kept, at most.
const KEPT: usize = 8;

/// Rooms that no connection uses.
static SPARE: Mutex<Vec<Mapping>> = Mutex::new(Vec::new());

/// Room for two buffers of the same length.
#[derive(Debug)]
pub struct Room(Option<Mapping>);

#[derive(Debug)]
struct Mapping {
    /// Its address, which nothing else knows.
    start: usize,
    /// Half of its length.
    half: usize,
}

impl Room {
    /// Room for two buffers of `half` bytes each, with anything in them; nothing if the host has none.
    pub fn new(half: usize) -> Option<Self> {
        let mut spare = SPARE.lock().unwrap_or_else(PoisonError::into_inner);
        let kept = spare.iter().position(|mapping| mapping.half == half).map(|at| spare.swap_remove(at));
        Some(Self(Some(kept.or_else(|| Mapping::new(half))?)))
    }

    /// Both buffers.
    ///
    /// # Safety
    ///
    /// It is called once for a room, and nothing of what it returns is used once the room is dropped.
    pub unsafe fn buffers(&self) -> [&'static mut [u8]; 2] {
        let Some(Mapping { start, half }) = &self.0 else { return [&mut [], &mut []] };
        let (start, half) = (*start, *half);
        [start, start + half].map(|start| {
            // SAFETY: the halves are apart, inside the mapping, and initialized; the caller vouches for the rest.
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
        // SAFETY: makes a new mapping.
        let start = unsafe { libc::mmap(null_mut(), half * 2, protection, flags, -1, 0) };
        (start != libc::MAP_FAILED).then_some(Self { start: start as usize, half })
    }
}

impl Drop for Mapping {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and the user of its buffers has dropped them.
        unsafe { libc::munmap(self.start as *mut libc::c_void, self.half * 2) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_apart() {
        let room = Room::new(16 << 10).expect("the host has memory");
        // SAFETY: once, and while the room is there.
        let [first, second] = unsafe { room.buffers() };
        first.fill(1);
        second.fill(2);
        assert!(first.iter().all(|byte| *byte == 1) && [first.len(), second.len()] == [16 << 10; 2]);
    }
}
