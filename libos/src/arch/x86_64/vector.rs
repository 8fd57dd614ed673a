//! Vector and floating-point state, saved only when the processor turns to another thread.
//!
//! The libos is built without vector instructions, so a system call leaves this state alone.

#![expect(unsafe_code, reason = "XSAVE writes an area whose size the processor tells")]

use crate::errno::Errno;
use crate::user::Slice;
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::arch::asm;
use core::arch::x86_64::__cpuid_count;
use core::ptr::NonNull;

/// Alignment that XSAVE demands (Intel SDM volume 1, 13.4).
const ALIGNMENT: usize = 64;

/// Bytes that XSAVE writes with everything enabled that is: CPUID leaf 0xD, sub-leaf 0, EBX. The guest cannot change
/// what is enabled, so this is a constant; but an instruction that costs an exit to ask for.
pub fn size() -> usize {
    __cpuid_count(0xd, 0).ebx as usize
}

/// Room for the state of one thread.
#[derive(Debug)]
pub struct Area {
    start: NonNull<u8>,
    layout: Layout,
}

// SAFETY: an area is plain memory with one owner; it is bound to no processor.
unsafe impl Send for Area {}

impl Area {
    /// Room for `size` bytes, as told by [`size`]. Zeroed: XRSTOR refuses a header with bits it does not know.
    pub fn new(size: usize) -> Result<Self, Errno> {
        let layout = Layout::from_size_align(size.max(1), ALIGNMENT).map_err(|_| Errno::ENOMEM)?;
        // SAFETY: the layout's size is at least 1.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(Errno::ENOMEM)?;
        Ok(Self { start, layout })
    }

    /// Stores the processor's state.
    pub fn save(&mut self) {
        // SAFETY: `new` made the area as large as the processor says, zeroed and aligned, and we own it.
        unsafe { save(self.start.as_ptr()) };
    }

    /// Loads the state that `save` stored.
    pub fn load(&self) {
        // SAFETY: only `save` has written the area since `new` zeroed it.
        unsafe { load(self.start.as_ptr()) };
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}

/// Where XSAVE keeps its header, and the header's size in bytes (Intel SDM volume 1, 13.4.2).
const HEADER: (u64, u64) = (512, 64);

/// Stores the processor's state in the program's memory; `at` is aligned to 64 and as long as [`size`] says.
pub fn save_at(at: Slice) -> Result<(), Errno> {
    at.after(HEADER.0).first(HEADER.1).zero()?;
    let start = at.check()?;
    // SAFETY: the place is the program's, large enough, and its header zero.
    unsafe { save(start) };
    Ok(())
}

/// Loads what [`save_at`] stored. If the program has made nonsense of it, the processor says so to the program.
pub fn load_from(at: Slice) -> Result<(), Errno> {
    let start = at.check()?;
    if !at.address.is_multiple_of(ALIGNMENT as u64) {
        return Err(Errno::EFAULT);
    }
    // SAFETY: the place is the program's and large enough.
    unsafe { load(start) };
    Ok(())
}

/// # Safety
///
/// `size()` bytes at `area` may be written, and it is aligned; its header is zero or XSAVE's.
unsafe fn save(area: *mut u8) {
    // SAFETY: the caller vouches for the area.
    unsafe { asm!("xsave64 [{}]", in(reg) area, in("eax") -1, in("edx") -1, options(nostack, preserves_flags)) };
}

/// # Safety
///
/// `size()` bytes at `area` may be read, and it is aligned.
unsafe fn load(area: *const u8) {
    // SAFETY: the caller vouches for the area; the libos itself uses no vector register.
    unsafe { asm!("xrstor64 [{}]", in(reg) area, in("eax") -1, in("edx") -1, options(nostack, preserves_flags)) };
}
