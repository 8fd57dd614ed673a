//! Memory for frames, shared with the tender and never freed.

#![expect(unsafe_code, reason = "memory that the tender fills")]

use crate::device::Error;
use alloc::alloc::{Layout, alloc};
use core::ptr::NonNull;
use husk_abi::device::{FRAME_HEADER, GSO_FRAME_MAXIMUM};
use husk_abi::ring::Descriptor;

/// Most bytes of all buffers of one direction, unless these were too few buffers.
const BYTES_MAXIMUM: usize = 1 << 20;
/// Fewest buffers of one direction.
const BUFFERS_MINIMUM: usize = 64;
/// Number of buffers for outgoing GSO frames: more than are under way at a time.
const GSO_BUFFERS: usize = 16;
/// Alignment of buffers, and of their size: a cache line.
const BUFFER_ALIGNMENT: usize = 64;

/// Buffers for GSO frames.
pub struct GsoBuffers {
    /// Buffers for outgoing GSO frames.
    pub to_send: Buffers,
    /// Buffers for arriving GSO frames and all other arriving frames.
    pub to_receive: Buffers,
}

impl GsoBuffers {
    /// Allocates the buffers, if there is memory for them.
    pub fn new() -> Option<Self> {
        let buffers = |maximum| Buffers::new(FRAME_HEADER + GSO_FRAME_MAXIMUM, maximum).ok();
        Some(Self { to_send: buffers(GSO_BUFFERS)?, to_receive: buffers(BUFFERS_MINIMUM)? })
    }
}

/// Contiguous buffers of one size. They are never freed: the tender may use them as long as the guest runs.
#[derive(Debug)]
pub struct Buffers {
    start: NonNull<u8>,
    size: usize,
    /// Number of buffers.
    pub count: usize,
    /// Most bytes of a frame in one buffer.
    pub frame: usize,
}

// SAFETY: the memory is not bound to a thread.
unsafe impl Send for Buffers {}

impl Buffers {
    /// Allocates buffers for frames of `frame` bytes, at most `maximum` of them.
    pub fn new(frame: usize, maximum: usize) -> Result<Self, Error> {
        let size = frame.next_multiple_of(BUFFER_ALIGNMENT);
        let count = (BYTES_MAXIMUM / size).max(BUFFERS_MINIMUM).min(maximum);
        let layout = Layout::from_size_align(size * count, BUFFER_ALIGNMENT).map_err(|_| Error::NoMemory)?;
        // SAFETY: the layout is not empty: a frame is never empty, and a queue has entries.
        let start = NonNull::new(unsafe { alloc(layout) }).ok_or(Error::NoMemory)?;
        // SAFETY: an empty asm block, which the compiler must assume writes to the memory: from here on its bytes are
        // initialized with arbitrary values, without a touch of any page.
        unsafe { core::arch::asm!("/* {0} */", in(reg) start.as_ptr(), options(nostack, preserves_flags)) };
        Ok(Self { start, size, count, frame })
    }

    /// Returns the address of a buffer.
    pub fn at(&self, index: usize) -> NonNull<u8> {
        assert!(index < self.count, "there are {} buffers", self.count);
        // SAFETY: asserted to be inside the allocation.
        unsafe { self.start.add(index * self.size) }
    }
}

/// Returns the descriptor of a request of one part.
pub fn descriptor(start: NonNull<u8>, token: usize, length: usize) -> Descriptor {
    let address = start.as_ptr() as u64;
    Descriptor { address, length: length as u32, token: token as u64, ..Descriptor::default() }
}
