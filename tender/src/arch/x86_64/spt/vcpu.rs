//! The processor of a guest in this process: the thread that runs it.

#![expect(unsafe_code, reason = "what the switch between tender and guest shares is reached by pointer")]

use super::frame;
use super::switch::{self, SWITCH, Switch};
use crate::arch::exception::{INVALID_OPCODE, PAGE_FAULT, PROTECTION};
use crate::arch::registers::Registers;
use crate::confine::{self, Crew};
use crate::spt::signals::{self, Mask};
use crate::vm::clock::{self, Counter, Moment};
use crate::vm::target::{Error, Vcpu, VmExit};
use husk_abi::registers::Registers as General;
use std::ptr::NonNull;

/// Error code of an `int 0x80` without such a gate.
const INT_80: u64 = 0x80 << 3 | 2;

/// Start of a processor. Addresses are the guest's.
#[derive(Clone, Copy, Debug)]
pub struct Start {
    /// Entry of the image.
    pub entry: u64,
    /// Boot information.
    pub boot: u64,
    /// Small stack for the start.
    pub stack: u64,
    /// Entry for the guest's system calls.
    pub dispatcher: u64,
}

/// The processor of a guest in this process, which has one.
#[derive(Debug)]
pub struct Processor {
    dispatcher: u64,
    counter_is_steady: bool,
    /// Signal mask of the guest's thread, once its signals are set up for running the guest.
    mask: Option<Mask>,
}

impl Processor {
    /// Prepares the switch for the start of a guest. Opens a file, so it comes before the process is confined.
    pub fn new(start: Start) -> Self {
        // SAFETY: no other guest is in this process, and this one does not run yet.
        unsafe { (*SWITCH.get()).start(start.entry, start.boot, start.stack) };
        Self { dispatcher: start.dispatcher, counter_is_steady: clock::is_steady(), mask: None }
    }

    /// Lets the guest continue until it stops, and returns the reason: see [`Switch`].
    fn enter(&mut self) -> u32 {
        let into_handler = switch().handler_stack != 0;
        if let Some(mask) = self.mask.as_ref().filter(|_| into_handler) {
            mask.set(true);
        }
        // SAFETY: `new` has prepared the switch, and the stacks are those of this thread.
        unsafe { switch::husk_spt_enter() };
        let from_handler = switch().handler_stack != 0;
        if let Some(mask) = self.mask.as_ref().filter(|_| into_handler || from_handler) {
            mask.set(false);
        }
        switch().stop
    }

    /// Handles a signal that has stopped the guest. Returns the exit; `None` if the guest continues.
    fn signal(&mut self, signal: libc::c_int) -> Option<VmExit> {
        let switch = switch();
        // SAFETY: the pointer is an argument of a signal handler that has not returned.
        let information = unsafe { &*switch.information };
        // SAFETY: the pointer is an argument of a signal handler that has not returned; no
        // other code uses it while the guest does not run.
        let context = unsafe { &mut *switch.context };
        if !signals::RAISED.contains(&signal) {
            signals::forward(signal, information, context);
            return Some(VmExit::Interrupted);
        }
        // Sent by a process (sigaction(2), si_code).
        if information.si_code <= 0 {
            signals::default(signal, information);
        }
        if signal == libc::SIGSYS {
            if !signals::is_native(information) {
                return Some(VmExit::Exception { vector: PROTECTION, error: INT_80 });
            }
            frame::system_call(context, self.dispatcher);
            return None;
        }
        let (mut vector, error) = frame::exception(context);
        // The kernel raises SIGILL for some system calls, too, with the vector and error code of the last exception.
        if signal == libc::SIGILL {
            vector = INVALID_OPCODE;
        }
        if vector == PAGE_FAULT {
            return Some(VmExit::PageFault { address: frame::get(context, libc::REG_CR2), error });
        }
        Some(VmExit::Exception { vector, error })
    }
}

impl Vcpu for Processor {
    fn start_counter(&mut self, began: Moment) -> Counter {
        Counter::of_host(began, self.counter_is_steady)
    }

    fn prepare(&mut self, crew: &mut Crew) -> Result<(), Error> {
        self.mask = Some(signals::take(crew).map_err(confine::Error::NoSignals)?);
        Ok(())
    }

    fn run(&mut self) -> Result<VmExit, Error> {
        loop {
            match self.enter() {
                switch::GATE => {
                    let General { rdi, rsi, rdx, rcx, r8, .. } = switch().guest.general;
                    return Ok(VmExit::Call { number: rdi, arguments: [rsi, rdx, rcx, r8] });
                }
                switch::HALTED => return Ok(VmExit::Interrupted),
                signal => {
                    if let Some(exit) = self.signal(signal as libc::c_int) {
                        return Ok(exit);
                    }
                }
            }
        }
    }

    fn resume_with(&mut self, result: u64) {
        switch().guest.rax = result;
    }

    /// A page fault is a signal, so the guest repeats the access when the handler returns.
    fn retry(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn registers(&self) -> Result<Registers, Error> {
        let switch = switch();
        let gs_base = gs_base();
        if switch.handler_stack != 0 {
            // SAFETY: the pointer is an argument of a signal handler that has not returned.
            let registers = frame::registers(unsafe { &*switch.context });
            return Ok(Registers { fs_base: switch.handler_fs_base, gs_base, ..registers });
        }
        Ok(Registers { gs_base, ..switch.guest })
    }

    fn jump(&mut self, pc: u64) -> Result<(), Error> {
        let switch = switch();
        match switch.handler_stack {
            0 => switch.guest.rip = pc,
            // SAFETY: the pointer is an argument of a signal handler that has not returned.
            _ => frame::set(unsafe { &mut *switch.context }, libc::REG_RIP, pc),
        }
        Ok(())
    }

    fn halt(&mut self) -> NonNull<u8> {
        NonNull::from(&mut switch().halt)
    }
}

/// State of the switch. The guest does not run while a caller holds it.
fn switch() -> &'static mut Switch {
    // SAFETY: only the thread that runs the guest calls this, and no caller keeps the reference across another call.
    unsafe { &mut *SWITCH.get() }
}

/// GS base of the guest, because the tender uses none.
fn gs_base() -> u64 {
    let base;
    // SAFETY: `new` checked that the instruction exists; it reads one register.
    unsafe { core::arch::asm!("rdgsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    base
}
