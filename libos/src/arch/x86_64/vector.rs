//! Vector and floating-point state, saved only when the processor turns to another thread.
//!
//! The libos is built without vector instructions, so a system call leaves this state alone. XRSTOR takes 95 ns, whatever
//! it loads. So where the processor tells that a thread has nothing but its SSE registers in use, as most have, these are
//! kept by ordinary moves, which take a tenth of that.

#![expect(unsafe_code, reason = "XSAVE writes an area whose size the processor tells")]

use crate::errno::Errno;
use crate::user::Slice;
use alloc::alloc::{Layout, alloc_zeroed, dealloc};
use core::arch::asm;
use core::arch::x86_64::__cpuid_count;
use core::ptr::NonNull;

/// Alignment that XSAVE demands (Intel SDM volume 1, 13.4).
const ALIGNMENT: usize = 64;

/// Where XSAVE keeps MXCSR, XMM0 and XSTATE_BV (Intel SDM volume 1, 13.4.1 and 13.4.2).
const MXCSR: usize = 24;
const XMM: usize = 160;
const PRESENT: usize = 512;
/// The SSE registers, in XSTATE_BV and XINUSE.
const SSE: u64 = 1 << 1;
/// Whether XGETBV with ECX = 1 is there: CPUID leaf 0xD, sub-leaf 1, EAX.
const TELLS_USE: u32 = 1 << 2;

/// Bytes that XSAVE writes with everything enabled that is: CPUID leaf 0xD, sub-leaf 0, EBX. The guest cannot change
/// what is enabled, so this is a constant; but an instruction that costs an exit to ask for.
pub fn size() -> usize {
    __cpuid_count(0xd, 0).ebx as usize
}

/// Whether these registers are the program's alone. In a test they are those of the test itself, which keeps them.
const ALONE: bool = cfg!(target_os = "none");

/// What the processor keeps of a thread.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    size: usize,
    tells_use: bool,
}

/// What of the vector state may be other than it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// The SSE registers.
    Sse,
    /// Anything.
    Any,
}

impl Shape {
    /// Asks the processor, which costs two exits.
    pub fn ask() -> Self {
        Self { size: size(), tells_use: __cpuid_count(0xd, 1).eax & TELLS_USE != 0 }
    }

    /// What is in use now.
    pub fn in_use(self) -> Use {
        if !self.tells_use {
            return Use::Any;
        }
        let (low, high): (u32, u32);
        // SAFETY: the processor has this register, and reading it changes nothing.
        unsafe {
            asm!("xgetbv", in("ecx") 1, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags))
        };
        if high == 0 && u64::from(low) & !SSE == 0 { Use::Sse } else { Use::Any }
    }
}

/// Room for the state of one thread.
#[derive(Debug)]
pub struct Area {
    start: NonNull<u8>,
    layout: Layout,
    /// What it holds.
    used: Use,
}

// SAFETY: an area is plain memory with one owner; it is bound to no processor.
unsafe impl Send for Area {}

impl Area {
    /// Room for the state of a thread. Zeroed: XRSTOR refuses a header with bits it does not know.
    pub fn new(shape: Shape) -> Result<Self, Errno> {
        let layout = Layout::from_size_align(shape.size.max(1), ALIGNMENT).map_err(|_| Errno::ENOMEM)?;
        // SAFETY: the layout's size is at least 1.
        let start = NonNull::new(unsafe { alloc_zeroed(layout) }).ok_or(Errno::ENOMEM)?;
        Ok(Self { start, layout, used: Use::Any })
    }

    /// Stores the processor's state, of which so much is in use.
    pub fn save(&mut self, used: Use) {
        self.used = used;
        let start = self.start.as_ptr();
        match used {
            _ if !ALONE => {}
            // SAFETY: `new` made the area as large as the processor says, zeroed and aligned, and we own it.
            Use::Sse => unsafe { save_sse(start) },
            // SAFETY: the same.
            Use::Any => unsafe { save(start) },
        }
    }

    /// Loads the state that `save` stored, where so much of another is in use.
    pub fn load(&self, used: Use) {
        let start = self.start.as_ptr();
        match (self.used, used) {
            _ if !ALONE => {}
            // SAFETY: only `save` has written the area since `new` zeroed it.
            (Use::Sse, Use::Sse) => unsafe { load_sse(start) },
            // SAFETY: the same.
            _ => unsafe { load(start) },
        }
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
    if ALONE {
        // SAFETY: the place is the program's, large enough, and its header zero.
        unsafe { save(start) };
    }
    Ok(())
}

/// Loads what [`save_at`] stored. If the program has made nonsense of it, the processor says so to the program.
pub fn load_from(at: Slice) -> Result<(), Errno> {
    let start = at.check()?;
    if !at.address.is_multiple_of(ALIGNMENT as u64) {
        return Err(Errno::EFAULT);
    }
    if ALONE {
        // SAFETY: the place is the program's and large enough.
        unsafe { load(start) };
    }
    Ok(())
}

/// Stores the SSE registers as XSAVE does, and says that there is nothing else.
///
/// # Safety
///
/// As for [`save`].
unsafe fn save_sse(area: *mut u8) {
    // SAFETY: the caller vouches for the area.
    unsafe {
        asm!(
            "stmxcsr [{area} + {mxcsr}]",
            ".irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            "movaps [{area} + {xmm} + \\number * 16], xmm\\number",
            ".endr",
            "mov qword ptr [{area} + {present}], {sse}",
            area = in(reg) area, mxcsr = const MXCSR, xmm = const XMM, present = const PRESENT, sse = const SSE,
            options(nostack, preserves_flags),
        );
    }
}

/// Loads the SSE registers. All others must be as they start.
///
/// # Safety
///
/// As for [`load`].
unsafe fn load_sse(area: *const u8) {
    // SAFETY: the caller vouches for the area; the libos itself uses no vector register.
    unsafe {
        asm!(
            "ldmxcsr [{area} + {mxcsr}]",
            ".irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
            "movaps xmm\\number, [{area} + {xmm} + \\number * 16]",
            ".endr",
            area = in(reg) area, mxcsr = const MXCSR, xmm = const XMM,
            options(nostack, preserves_flags),
        );
    }
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
