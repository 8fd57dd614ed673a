//! What lies on a thread's stack while its signal handler runs: Linux's `struct rt_sigframe` and, above it, the vector
//! state. Handlers may look at it and change it, so its layout is an interface.

use super::registers::Registers;
use super::vector;
use crate::errno::Errno;
use crate::signals::Action;
use crate::signals::handler::Delivery;
use crate::user::{self, Slice};
use linux_raw_sys::general::SA_ONSTACK;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// The stack pointer at the handler's first instruction points here.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Frame {
    /// Return address of the handler.
    restorer: u64,
    /// `struct ucontext`: flags, link, alternate stack.
    flags: u64,
    link: u64,
    stack: [u64; 3],
    /// `struct sigcontext`: r8 to r15, then rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip.
    general: [u64; 17],
    rflags: u64,
    /// cs, gs, fs, ss: 16 bits each.
    segments: u64,
    error: u64,
    trap: u64,
    old_mask: u64,
    cr2: u64,
    /// Address of the vector state.
    vectors: u64,
    reserved: [u64; 8],
    /// Signals that were blocked.
    mask: u64,
    /// `siginfo_t`.
    information: [u32; 32],
}

/// Bytes below the stack pointer that a function may use without moving it (psABI 3.2.2).
const RED_ZONE: u64 = 128;

/// Makes the thread, whose vector state is in the processor, run a handler next, and later what it was about to run.
pub fn push(registers: &mut Registers, action: &Action, delivery: &Delivery) -> Result<(), Errno> {
    let stack = &delivery.stack;
    let on_it = registers.rsp.wrapping_sub(stack.start) < stack.length;
    let top = if action.flags & u64::from(SA_ONSTACK) != 0 && stack.length != 0 && !on_it {
        stack.start.saturating_add(stack.length)
    } else {
        registers.rsp.saturating_sub(RED_ZONE)
    };
    let size = vector::size() as u64;
    let vectors = top.saturating_sub(size) & !63;
    vector::save_at(Slice::new(vectors, size))?;
    // A function expects its stack pointer to be 8 off a multiple of 16.
    let bottom = (vectors.saturating_sub(size_of::<Frame>() as u64) & !15).saturating_sub(8);
    let information = delivery.origin.information(delivery.signal);
    let r = &*registers;
    let frame = Frame {
        restorer: action.restorer,
        flags: 0,
        link: 0,
        stack: [stack.start, u64::from(stack.flags), stack.length],
        general: [
            r.r8, r.r9, r.r10, r.r11, r.r12, r.r13, r.r14, r.r15, r.rdi, r.rsi, r.rbp, r.rbx, r.rdx, r.rax, r.rcx,
            r.rsp, r.rip,
        ],
        rflags: r.flags(),
        segments: 0,
        error: 0,
        trap: 0,
        old_mask: delivery.mask,
        cr2: 0,
        vectors,
        reserved: [0; 8],
        mask: delivery.mask,
        information,
    };
    user::write(bottom, &frame)?;
    let at = |offset: usize| bottom + offset as u64;
    *registers = Registers {
        rdi: u64::from(delivery.signal),
        rsi: at(core::mem::offset_of!(Frame, information)),
        rdx: at(core::mem::offset_of!(Frame, flags)),
        ..Registers::start(action.handler, bottom)
    };
    Ok(())
}

/// Undoes [`push`], with what the handler has made of it, when it has returned through its restorer. Tells which signals
/// are blocked from now on.
pub fn pop(registers: &mut Registers) -> Result<u64, Errno> {
    let frame: Frame = user::read(registers.rsp.wrapping_sub(8))?;
    vector::load_from(Slice::new(frame.vectors, vector::size() as u64))?;
    let [r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip] = frame.general;
    *registers = Registers {
        rax,
        rbx,
        rcx,
        rdx,
        rsi,
        rdi,
        rbp,
        r8,
        r9,
        r10,
        r11,
        r12,
        r13,
        r14,
        r15,
        ..Registers::start(rip, rsp)
    };
    registers.make_whole(frame.rflags);
    Ok(frame.mask)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_frame_is_laid_out_as_linux_has_it() {
        // arch/x86/include/uapi/asm/sigcontext.h and ucontext.h.
        assert_eq!(core::mem::offset_of!(Frame, general), 8 + 40);
        assert_eq!(core::mem::offset_of!(Frame, vectors) - core::mem::offset_of!(Frame, general), 184);
        assert_eq!(core::mem::offset_of!(Frame, mask) - core::mem::offset_of!(Frame, general), 256);
        assert_eq!(size_of::<Frame>(), 8 + 304 + 128);
    }
}
