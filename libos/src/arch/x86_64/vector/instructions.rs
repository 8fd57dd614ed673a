//! Instructions that save and restore vector state: XSAVE and XRSTOR with a mask of components, FXSAVE and FXRSTOR without
//! XSAVE (mask 0), and ordinary moves for the SSE registers.

#![expect(unsafe_code, reason = "instructions that read and write an area")]

use super::SSE;
use super::shape::{CONTROL, LEGACY};
use core::arch::asm;

/// Offsets of MXCSR, XMM0 and XSTATE_BV in an XSAVE area (Intel SDM volume 1, 13.4.1 and 13.4.2).
const MXCSR: usize = 24;
const XMM: usize = 160;
const PRESENT: usize = 512;

/// Extended control register `number`.
fn extended_control(number: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the callers have checked CPUID for this register, and reading it has no side effects.
    unsafe {
        asm!("xgetbv", in("ecx") number, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags))
    };
    u64::from(high) << 32 | u64::from(low)
}

/// Enabled components: XCR0. CPUID must report OSXSAVE.
pub fn enabled() -> u64 {
    extended_control(0)
}

/// Components that may differ from their initial state: XINUSE. CPUID must report that it can be read.
#[inline]
pub fn in_use() -> u64 {
    extended_control(1)
}

/// Bits that the processor has in MXCSR: MXCSR_MASK, which FXSAVE stores.
pub fn control_mask() -> u32 {
    const MASK: core::ops::Range<usize> = 28..32;
    #[repr(align(16))]
    struct Area([u8; LEGACY]);
    let mut area = Area([0; LEGACY]);
    // SAFETY: the area is aligned, and as large as FXSAVE demands.
    unsafe { asm!("fxsave64 [{}]", in(reg) area.0.as_mut_ptr(), options(nostack, preserves_flags)) };
    match area.0.get(MASK).and_then(|bytes| bytes.as_array()).map_or(0, |bytes| u32::from_le_bytes(*bytes)) {
        0 => CONTROL,
        mask => mask,
    }
}

/// Stores the SSE registers as XSAVE does, and marks them as the only component.
///
/// # Safety
///
/// See [`save`].
pub unsafe fn save_sse(area: *mut u8) {
    // SAFETY: the caller guarantees that the area is aligned and large enough for XSAVE.
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

/// Loads the SSE registers. All other components must be in their initial state.
///
/// # Safety
///
/// See [`load`].
pub unsafe fn load_sse(area: *const u8) {
    // SAFETY: the caller guarantees that the area holds a saved state; the libos itself uses no vector register.
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

/// Stores the components in `mask`, a subset of XCR0; with mask 0, the state of FXSAVE.
///
/// # Safety
///
/// `area` is writable for as many bytes as [`super::Shape`] has for these components, and aligned; its header is zero or
/// XSAVE's.
pub unsafe fn save(area: *mut u8, mask: u64) {
    let (low, high) = (mask as u32, (mask >> 32) as u32);
    match mask {
        // SAFETY: the caller guarantees that the area is aligned and large enough for FXSAVE.
        0 => unsafe { asm!("fxsave64 [{}]", in(reg) area, options(nostack, preserves_flags)) },
        // SAFETY: the caller guarantees that the area is aligned, large enough for these components, and has a valid header.
        _ => unsafe {
            asm!("xsave64 [{}]", in(reg) area, in("eax") low, in("edx") high, options(nostack, preserves_flags))
        },
    }
}

/// Loads a state that [`save`] stored with this mask or part of it; components in the mask that are not in the area get their
/// initial state.
///
/// # Safety
///
/// The area holds a state from [`save`], or anything with a valid XSAVE header and room for its components.
pub unsafe fn load(area: *const u8, mask: u64) {
    let (low, high) = (mask as u32, (mask >> 32) as u32);
    match mask {
        // SAFETY: the caller guarantees that the area holds a state of FXSAVE; the libos itself uses no vector register.
        0 => unsafe { asm!("fxrstor64 [{}]", in(reg) area, options(nostack, preserves_flags)) },
        // SAFETY: the caller guarantees a valid header and room for its components; the libos itself uses no vector register.
        _ => unsafe {
            asm!("xrstor64 [{}]", in(reg) area, in("eax") low, in("edx") high, options(nostack, preserves_flags))
        },
    }
}

#[cfg(test)]
mod tests;
