//! The instructions that keep vector state: XSAVE and XRSTOR with a mask of components, FXSAVE and FXRSTOR where there is
//! no XSAVE (mask 0), and ordinary moves for the SSE registers.

#![expect(unsafe_code, reason = "instructions that read and write an area")]

use super::SSE;
use core::arch::asm;

/// Where XSAVE keeps MXCSR, XMM0 and XSTATE_BV (Intel SDM volume 1, 13.4.1 and 13.4.2).
const MXCSR: usize = 24;
const XMM: usize = 160;
const PRESENT: usize = 512;

/// Extended control register `number`.
fn extended_control(number: u32) -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: the callers know that the processor has this register, and reading it changes nothing.
    unsafe {
        asm!("xgetbv", in("ecx") number, out("eax") low, out("edx") high, options(nomem, nostack, preserves_flags))
    };
    u64::from(high) << 32 | u64::from(low)
}

/// The components that are enabled: XCR0. CPUID must say that XSAVE is enabled.
pub fn enabled() -> u64 {
    extended_control(0)
}

/// The components that may be other than they start: XINUSE. CPUID must say that it can be read.
#[inline]
pub fn in_use() -> u64 {
    extended_control(1)
}

/// Stores the SSE registers as XSAVE does, and says that there is nothing else.
///
/// # Safety
///
/// As for [`save`].
pub unsafe fn save_sse(area: *mut u8) {
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
pub unsafe fn load_sse(area: *const u8) {
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

/// Stores the components in `mask`, which XCR0 has; what FXSAVE stores if it is 0.
///
/// # Safety
///
/// As many bytes at `area` may be written as [`super::Shape`] has for these components, and it is aligned; its header is
/// zero or XSAVE's.
pub unsafe fn save(area: *mut u8, mask: u64) {
    let (low, high) = (mask as u32, (mask >> 32) as u32);
    match mask {
        // SAFETY: the caller vouches for the area.
        0 => unsafe { asm!("fxsave64 [{}]", in(reg) area, options(nostack, preserves_flags)) },
        // SAFETY: the same.
        _ => unsafe {
            asm!("xsave64 [{}]", in(reg) area, in("eax") low, in("edx") high, options(nostack, preserves_flags))
        },
    }
}

/// Loads what [`save`] stored with this mask or part of it; components in the mask that the area has not become as they
/// start.
///
/// # Safety
///
/// The area holds what [`save`] stored, or anything with a header of XSAVE's whose components it has room for.
pub unsafe fn load(area: *const u8, mask: u64) {
    let (low, high) = (mask as u32, (mask >> 32) as u32);
    match mask {
        // SAFETY: the caller vouches for the area; the libos itself uses no vector register.
        0 => unsafe { asm!("fxrstor64 [{}]", in(reg) area, options(nostack, preserves_flags)) },
        // SAFETY: the same.
        _ => unsafe {
            asm!("xrstor64 [{}]", in(reg) area, in("eax") low, in("edx") high, options(nostack, preserves_flags))
        },
    }
}

#[cfg(test)]
mod tests;
