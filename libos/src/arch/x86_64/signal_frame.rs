//! Signal frame on a thread's stack while its handler runs: Linux's `struct rt_sigframe` and, above it, the vector state.
//! Handlers may read and change it, so its layout is an interface.

use super::registers::Registers;
use super::vector::{self, Area, Shape};
use crate::errno::Errno;
use crate::signals::action::{Action, Delivery};
use crate::threads::signal_stack::SignalStack;
use crate::user;
use husk::abi::registers as abi;
use linux_raw_sys::general::SA_ONSTACK;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Frame at the stack pointer of the handler's first instruction.
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

/// `UC_FP_XSTATE`: the vector state is an XSAVE area.
const EXTENDED_STATE: u64 = 1;

/// Makes the thread, with its vector state in the processor, run a handler next, and then continue. EFAULT if the alternate
/// stack has no room for the whole frame: nothing is written below that stack, as on Linux.
pub fn push(registers: &mut Registers, action: &Action, delivery: &Delivery, shape: &Shape) -> Result<(), Errno> {
    let stack = &delivery.stack;
    let is_on = stack.contains(registers.rsp);
    let enters = action.flags & u64::from(SA_ONSTACK) != 0 && stack.length != 0 && !is_on;
    let top = if enters { stack.start.saturating_add(stack.length) } else { registers.rsp.saturating_sub(RED_ZONE) };
    let (vectors, components) = vector::frame::place(top, shape);
    // A function expects its stack pointer to be 8 below a multiple of 16.
    let bottom = (vectors.saturating_sub(size_of::<Frame>() as u64) & !15).saturating_sub(8);
    if (enters || is_on) && bottom < stack.start {
        return Err(Errno::EFAULT);
    }
    vector::frame::save(vectors, components, shape)?;
    let information = delivery.origin.information(delivery.signal);
    let r = &*registers;
    let frame = Frame {
        restorer: action.restorer,
        flags: if components == 0 { 0 } else { EXTENDED_STATE },
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
    *registers = abi::Registers {
        rip: action.handler,
        rsp: bottom,
        rdi: u64::from(delivery.signal),
        rsi: at(core::mem::offset_of!(Frame, information)),
        rdx: at(core::mem::offset_of!(Frame, flags)),
        ..Default::default()
    }
    .into();
    Ok(())
}

/// State to restore after a handler, besides the registers.
#[derive(Clone, Copy, Debug)]
pub struct Popped {
    /// Signals that are blocked.
    pub mask: u64,
    /// The alternate stack.
    pub stack: SignalStack,
}

/// Undoes [`push`], with the handler's changes, when the handler has returned through its restorer.
/// `vectors` is the thread's own area.
pub fn pop(registers: &mut Registers, shape: &Shape, vectors: &mut Area) -> Result<Popped, Errno> {
    let frame: Frame = user::read(registers.rsp.wrapping_sub(8))?;
    vector::frame::load(frame.vectors, shape, vectors)?;
    let [r8, r9, r10, r11, r12, r13, r14, r15, rdi, rsi, rbp, rbx, rdx, rax, rcx, rsp, rip] = frame.general;
    *registers = abi::Registers {
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
        rip,
        rsp,
        ..Default::default()
    }
    .into();
    registers.make_whole(frame.rflags);
    let [start, flags, length] = frame.stack;
    Ok(Popped { mask: frame.mask, stack: SignalStack { start, flags: flags as u32, length } })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signals::Origin;
    use crate::threads::signal_stack::NO_STACK;
    use core::arch::x86_64::CpuidResult;
    use linux_raw_sys::general::MINSIGSTKSZ;

    /// Size of a std thread's signal stack; the test checks that the memory beside it is not written.
    const LENGTH: usize = 8192;
    #[repr(align(64))]
    struct Memory([u8; 3 * LENGTH]);

    /// Returns the shape of a processor with everything up to AMX, of which the libos keeps x87, SSE, AVX and AVX-512 (2,688
    /// bytes).
    fn everything() -> Shape {
        let cpuid = |leaf, sub_leaf| {
            let (eax, ebx) = match (leaf, sub_leaf) {
                (0xd, 0) => (0x600e7, 11_008),
                (0xd, 5) => (64, 1088),
                (0xd, 6) => (512, 1152),
                (0xd, 7) => (1024, 1664),
                _ => (0, 0),
            };
            CpuidResult { eax, ebx, ecx: if leaf == 1 { 1 << 27 } else { 11_008 }, edx: 0 }
        };
        Shape::of(cpuid, || 0x600e7)
    }

    /// Returns the shape of such a processor with nothing beyond AVX.
    fn avx() -> Shape {
        let cpuid = |leaf, sub_leaf| CpuidResult {
            eax: if (leaf, sub_leaf) == (0xd, 0) { 7 } else { 0 },
            ebx: 832,
            ecx: if leaf == 1 { 1 << 27 } else { 832 },
            edx: 0,
        };
        Shape::of(cpuid, || 7)
    }

    fn area(shape: &Shape) -> Area {
        Area::new(shape).expect("there is memory")
    }

    /// Pushes a frame for a handler with these flags onto an alternate stack of `length` bytes in the middle of `memory`.
    fn deliver(memory: &mut Memory, length: u64, shape: &Shape) -> (SignalStack, Result<Registers, Errno>) {
        let start = memory.0.as_mut_ptr() as u64 + LENGTH as u64;
        let stack = SignalStack { start, flags: 0, length };
        let action = Action { handler: 1, flags: SA_ONSTACK.into(), ..Action::default() };
        let delivery = Delivery { signal: 10, origin: Origin::USER, mask: 6, stack };
        let mut registers = Registers::start(0x1234, start + 2 * LENGTH as u64);
        registers.r12 = 12;
        (stack, push(&mut registers, &action, &delivery, shape).map(|()| registers))
    }

    #[test]
    fn the_frame_is_laid_out_as_linux_has_it() {
        // arch/x86/include/uapi/asm/sigcontext.h and ucontext.h.
        assert_eq!(core::mem::offset_of!(Frame, general), 8 + 40);
        assert_eq!(core::mem::offset_of!(Frame, vectors) - core::mem::offset_of!(Frame, general), 184);
        assert_eq!(core::mem::offset_of!(Frame, mask) - core::mem::offset_of!(Frame, general), 256);
        assert_eq!(size_of::<Frame>(), 8 + 304 + 128);
    }

    #[test]
    fn a_frame_stays_on_an_alternate_stack_that_holds_it_and_comes_back_from_there() {
        for (length, shape) in [(LENGTH as u64, everything()), (MINSIGSTKSZ.into(), avx())] {
            let mut memory = Memory([0xa5; 3 * LENGTH]);
            let (stack, pushed) = deliver(&mut memory, length, &shape);
            let mut registers = pushed.expect("there is room");
            assert!(stack.contains(registers.rsp) && registers.rip == 1 && registers.rdi == 10);
            assert!(memory.0[..LENGTH].iter().all(|byte| *byte == 0xa5), "written below the stack");
            let frame: Frame = user::read(registers.rsp).expect("it is there");
            assert!(frame.vectors > registers.rsp && frame.vectors + shape.size() as u64 + 4 <= stack.start + length);
            // The test build stores no processor state: MXCSR would be here.
            user::write(frame.vectors + 24, &0x1f80_u32).expect("own memory");
            registers.rsp += 8;
            let popped = pop(&mut registers, &shape, &mut area(&shape)).expect("it is whole");
            assert_eq!((registers.rip, registers.r12, popped.mask), (0x1234, 12, 6));
            assert_eq!((popped.stack.start, popped.stack.length), (stack.start, length));
        }
    }

    #[test]
    fn a_frame_that_an_alternate_stack_does_not_hold_is_not_written() {
        for room in [0, 100, 600] {
            let mut memory = Memory([0xa5; 3 * LENGTH]);
            let (_, pushed) = deliver(&mut memory, u64::from(MINSIGSTKSZ) + room, &everything());
            assert_eq!(pushed.expect_err("2,688 bytes and the frame are more"), Errno::EFAULT);
            assert!(memory.0.iter().all(|byte| *byte == 0xa5));
        }
    }

    #[test]
    fn a_handler_on_the_alternate_stack_leaves_less_room_for_the_next() {
        let mut memory = Memory([0xa5; 3 * LENGTH]);
        let shape = everything();
        let (stack, pushed) = deliver(&mut memory, LENGTH as u64, &shape);
        let mut registers = pushed.expect("there is room");
        let action = Action { handler: 1, flags: SA_ONSTACK.into(), ..Action::default() };
        let delivery = Delivery { signal: 10, origin: Origin::USER, mask: 0, stack };
        push(&mut registers, &action, &delivery, &shape).expect("there is room for two");
        assert!(push(&mut registers, &action, &delivery, &shape).is_err());
        assert!(memory.0[..LENGTH].iter().all(|byte| *byte == 0xa5), "written below the stack");
    }

    #[test]
    fn what_a_handler_has_made_nonsense_of_is_refused() {
        // XSTATE_BV with a component that is not kept, a compacted area, a bit of MXCSR that no processor has.
        for (offset, value) in [(512, 1u64 << 9), (520, 1 << 63), (24, 1 << 31)] {
            let mut memory = Memory([0; 3 * LENGTH]);
            let shape = everything();
            let (_, pushed) = deliver(&mut memory, LENGTH as u64, &shape);
            let mut registers = pushed.expect("there is room");
            let frame: Frame = user::read(registers.rsp).expect("it is there");
            user::write(frame.vectors + offset, &value).expect("own memory");
            registers.rsp += 8;
            assert_eq!(pop(&mut registers, &shape, &mut area(&shape)).expect_err("nonsense"), Errno::EFAULT);
        }
    }

    #[test]
    fn a_thread_without_an_alternate_stack_is_on_none() {
        assert!(!NO_STACK.contains(0) && !NO_STACK.contains(u64::MAX));
        let stack = SignalStack { start: 0x1000, flags: 0, length: 0x800 };
        assert!(!stack.contains(0x1000) && stack.contains(0x1001) && stack.contains(0x1800) && !stack.contains(0x1801));
    }
}
