//! The buffers of one connection: pages that the kernel makes when they are touched, and that are gone with it. So an idle
//! connection takes next to nothing, and a short one only what it moves: the heap would clear them at once.

#![expect(unsafe_code, reason = "mappings have no other interface")]

use std::ptr::null_mut;
use std::slice;

/// Two buffers of the same length.
#[derive(Debug)]
pub struct Room {
    /// Address of the mapping, which nothing else knows.
    start: usize,
    half: usize,
}

impl Room {
    /// Room for two buffers of `half` bytes each, all zero; nothing if the host has none.
    pub fn new(half: usize) -> Option<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS | libc::MAP_NORESERVE;
        // SAFETY: makes a new mapping.
        let start = unsafe { libc::mmap(null_mut(), half * 2, protection, flags, -1, 0) };
        (start != libc::MAP_FAILED).then_some(Self { start: start as usize, half })
    }

    /// Both buffers.
    ///
    /// # Safety
    ///
    /// It is called once for a room, and nothing of what it returns is used once the room is dropped.
    pub unsafe fn buffers(&self) -> [&'static mut [u8]; 2] {
        [self.start, self.start + self.half].map(|start| {
            // SAFETY: the halves are apart, inside the mapping, and initialized; the caller vouches for the rest.
            unsafe { slice::from_raw_parts_mut(start as *mut u8, self.half) }
        })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours, and the user of its buffers has dropped them.
        unsafe { libc::munmap(self.start as *mut libc::c_void, self.half * 2) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buffers_are_apart_and_empty() {
        let room = Room::new(16 << 10).expect("the host has memory");
        // SAFETY: once, and while the room is there.
        let [first, second] = unsafe { room.buffers() };
        assert!(first.iter().chain(&*second).all(|byte| *byte == 0));
        first.fill(1);
        second.fill(2);
        assert!(first.iter().all(|byte| *byte == 1) && first.len() == 16 << 10);
    }
}
