//! Vector and floating-point state, saved only when the processor turns to another thread.
//!
//! The libos is built without vector instructions, so a system call leaves this state alone.

#![expect(unsafe_code, reason = "XSAVE writes an area whose size the processor tells")]

use crate::errno::Errno;
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
        unsafe {
            asm!("xsave64 [{}]", in(reg) self.start.as_ptr(), in("eax") -1, in("edx") -1, options(nostack, preserves_flags));
        }
    }

    /// Loads the state that `save` stored.
    pub fn load(&self) {
        // SAFETY: only `save` has written the area since `new` zeroed it; the libos itself uses no vector register.
        unsafe {
            asm!("xrstor64 [{}]", in(reg) self.start.as_ptr(), in("eax") -1, in("edx") -1, options(nostack, preserves_flags));
        }
    }
}

impl Drop for Area {
    fn drop(&mut self) {
        // SAFETY: `new` allocated it with this layout.
        unsafe { dealloc(self.start.as_ptr(), self.layout) };
    }
}
