//! Memory for frames: lent to the tender, and never given back by us.

#![expect(unsafe_code, reason = "memory that the tender fills")]

use crate::device::Error;
use alloc::alloc::{Layout, alloc};
use core::ptr::NonNull;
use husk_abi::device::{FRAME_HEADER, ROW_MAXIMUM};
use husk_abi::ring::Descriptor;

/// Bytes that the buffers of one direction take at most, unless that were too few buffers.
const BYTES_MAXIMUM: usize = 1 << 20;
/// Fewest buffers of one direction.
const BUFFERS_MINIMUM: usize = 64;
/// Buffers for rows of TCP segments that are to be sent: more than are on their way at a time.
const ROWS: usize = 16;
/// Alignment of buffers, and what their size is a multiple of: a cache line.
const BUFFER_ALIGNMENT: usize = 64;

/// Buffers for rows of TCP segments.
pub struct Rows {
    /// For those that are sent.
    pub to_send: Buffers,
    /// For those that arrive, and for all other frames.
    pub to_receive: Buffers,
}

impl Rows {
    /// Buffers, if there is memory for them.
    pub fn new() -> Option<Self> {
        let buffers = |maximum| Buffers::new(FRAME_HEADER + ROW_MAXIMUM, maximum).ok();
        Some(Self { to_send: buffers(ROWS)?, to_receive: buffers(BUFFERS_MINIMUM)? })
    }
}

/// Buffers of one size, side by side. They are never given back: the tender may use them as long as the guest runs.
#[derive(Debug)]
pub struct Buffers {
    start: NonNull<u8>,
    size: usize,
    /// How many there are.
    pub count: usize,
    /// Bytes of the frame that each has room for.
    pub frame: usize,
}

// SAFETY: the memory is not bound to a thread.
unsafe impl Send for Buffers {}

impl Buffers {
    /// Buffers for frames of that many bytes, `maximum` or fewer.
    pub fn new(frame: usize, maximum: usize) -> Result<Self, Error> {
        let size = frame.next_multiple_of(BUFFER_ALIGNMENT);
        let count = (BYTES_MAXIMUM / size).max(BUFFERS_MINIMUM).min(maximum);
        let layout = Layout::from_size_align(size * count, BUFFER_ALIGNMENT).map_err(|_| Error::NoMemory)?;
        // SAFETY: the layout has a size: a frame is never empty, and there are entries.
        let start = NonNull::new(unsafe { alloc(layout) }).ok_or(Error::NoMemory)?;
        // SAFETY: no instruction at all, which for all the compiler knows writes to the memory: so its bytes have values
        // from here on, whatever these are, without a page of it being touched.
        unsafe { core::arch::asm!("/* {0} */", in(reg) start.as_ptr(), options(nostack, preserves_flags)) };
        Ok(Self { start, size, count, frame })
    }

    /// Where one is.
    pub fn at(&self, index: usize) -> NonNull<u8> {
        assert!(index < self.count, "there are {} buffers", self.count);
        // SAFETY: asserted to be inside the allocation.
        unsafe { self.start.add(index * self.size) }
    }
}

/// The descriptor of a request of one part.
pub fn descriptor(start: NonNull<u8>, token: usize, length: usize) -> Descriptor {
    let address = start.as_ptr() as u64;
    Descriptor { address, length: length as u32, token: token as u64, ..Descriptor::default() }
}
