//! The target spt: the guest in this process, which can do nothing but what its devices need.

#![expect(unsafe_code, reason = "what the switch between tender and guest shares is reached by pointer")]

mod bounds;
mod origin;
pub(crate) mod signals;
mod sparse;
pub mod watchdog;

use crate::arch::exception::{INVALID_OPCODE, PAGE_FAULT, PROTECTION, is_fetch};
use crate::arch::registers::Registers;
use crate::arch::spt::frame;
use crate::arch::spt::switch::{self, DOORBELL_FILE, SWITCH, Switch};
use crate::confine::{self, Crew, Descriptors};
use crate::devices::notifier::Notifier;
use crate::image::Image;
use crate::memory::host::protect;
use crate::memory::sparse::given::Touch;
use crate::memory::{self, Claim, Memory};
use crate::vm::gate::{DOORBELL, NO_LIBOS, UNDEFINED};
use crate::vm::target::{Error, Stop, Target};
use husk_abi::call::Status;
use husk_abi::memory::{BOOT, GATE, Region, Rights};
use libc::sock_filter;
use signals::Mask;
use sparse::Sparse;
use std::os::fd::AsRawFd;
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// Error code of an `int 0x80` without such a gate.
const INT_80: u64 = 0x80 << 3 | 2;

/// A guest in this process, which has only one guest.
#[derive(Debug)]
pub struct Spt {
    memory: Arc<Memory>,
    /// Entry for the guest's system calls.
    dispatcher: u64,
    sparse: Sparse,
    /// Size of all mappings, until the limit is set.
    mapped: Option<bounds::Mapped>,
    /// Signal mask of the guest's thread, once its signals are set up for running the guest.
    mask: Option<Mask>,
}

impl Spt {
    /// Prepares to run `image`, with its memory mapped already; `boot` is the boot information area.
    pub fn new(image: &Image, mut memory: Memory, boot: &[u8]) -> Result<(Self, Arc<Memory>), Error> {
        if !has_base_instructions() {
            return Err(Error::NoBaseInstructions);
        }
        let layout = *memory.layout();
        memory.write_own(GATE, &way(&raw const switch::husk_spt_gate));
        memory.write_own(NO_LIBOS, &UNDEFINED);
        memory.write_own(DOORBELL, &way(&raw const switch::husk_spt_doorbell));
        memory.write_own(BOOT, boot);
        memory.seal(image)?;
        let dispatcher = image.notes.system_calls.map_or(layout.own(NO_LIBOS), |at| at.wrapping_add(layout.load_bias));
        let entry = image.entry.wrapping_add(layout.load_bias);
        // SAFETY: no other guest is in this process, and this one does not run yet.
        unsafe { (*SWITCH.get()).start(entry, layout.own(BOOT), layout.libos_stack.end()) };
        let memory = Arc::new(memory);
        let mapped = Some(bounds::Mapped::open());
        bounds::limit_speculation();
        Ok((Self { memory: Arc::clone(&memory), dispatcher, sparse: Sparse::default(), mapped, mask: None }, memory))
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

    /// Handles a signal that has stopped the guest. Returns the stop; `None` if the guest continues.
    fn signal(&mut self, signal: libc::c_int) -> Option<Stop> {
        let switch = switch();
        // SAFETY: the pointer is an argument of a signal handler that has not returned.
        let information = unsafe { &*switch.information };
        // SAFETY: the pointer is an argument of a signal handler that has not returned; no
        // other code uses it while the guest does not run.
        let context = unsafe { &mut *switch.context };
        if !signals::RAISED.contains(&signal) {
            signals::forward(signal, information, context);
            return Some(Stop::Interrupted);
        }
        // Sent by a process (sigaction(2), si_code).
        if information.si_code <= 0 {
            signals::default(signal, information);
        }
        if signal == libc::SIGSYS {
            if !signals::is_native(information) {
                return Some(Stop::Exception { vector: PROTECTION, error: INT_80 });
            }
            frame::system_call(context, self.dispatcher);
            return None;
        }
        let (mut vector, error) = frame::exception(context);
        // The kernel raises SIGILL for some system calls, too, with the vector and error code of the last exception.
        if signal == libc::SIGILL {
            vector = INVALID_OPCODE;
        }
        let address = frame::get(context, libc::REG_CR2);
        if vector == PAGE_FAULT && self.memory.sparse().region().contains(address) {
            match self.sparse.touch(&self.memory, address) {
                Touch::Mapped => return Some(Stop::Touched),
                Touch::OutOfMemory => return Some(Stop::OutOfMemory),
                Touch::Known => {}
            }
        }
        // The guest may have protected the page itself, which the processor reports like an unmapped page.
        if vector == PAGE_FAULT && !is_fetch(error) && self.has(address) {
            return Some(Stop::Forbidden { address: Some(address) });
        }
        Some(Stop::Exception { vector, error })
    }

    /// Returns true if an address lies in memory of which the guest itself sets the protection.
    fn has(&self, address: u64) -> bool {
        self.memory.attached_heap().contains(address) || self.memory.sparse().has(address)
    }
}

impl Target for Spt {
    fn prepare(&mut self, crew: &mut Crew) -> Result<Vec<sock_filter>, Error> {
        self.mask = Some(signals::take(crew).map_err(confine::Error::NoSignals)?);
        self.memory.seal_own()?;
        self.mapped
            .take()
            .map_or(Ok(()), |mapped| bounds::limit_memory(&self.memory, mapped))
            .map_err(memory::Error::NoMemory)?;
        bounds::forget_environment();
        Ok(origin::instructions())
    }

    fn run(&mut self) -> Result<Stop, Error> {
        loop {
            match self.enter() {
                switch::GATE => {
                    let Registers { rdi, rsi, rdx, rcx, r8, .. } = switch().guest;
                    return Ok(Stop::Call { number: rdi, arguments: [rsi, rdx, rcx, r8] });
                }
                switch::HALTED => return Ok(Stop::Interrupted),
                signal => {
                    if let Some(stop) = self.signal(signal as libc::c_int) {
                        return Ok(stop);
                    }
                }
            }
        }
    }

    fn resume_with(&mut self, result: u64) {
        switch().guest.rax = result;
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

    fn jump(&mut self, rip: u64) -> Result<(), Error> {
        let switch = switch();
        match switch.handler_stack {
            0 => switch.guest.rip = rip,
            // SAFETY: the pointer is an argument of a signal handler that has not returned.
            _ => frame::set(unsafe { &mut *switch.context }, libc::REG_RIP, rip),
        }
        Ok(())
    }

    fn halt(&mut self) -> NonNull<u8> {
        NonNull::from(&mut switch().halt)
    }

    fn list(&self, _: &mut Descriptors) {}

    fn connect(&mut self, notifier: &Notifier) {
        DOORBELL_FILE.store(notifier.doorbell().as_raw_fd(), Relaxed);
    }

    fn attach(&mut self, memory: &Memory, length: u64) -> Result<u64, Status> {
        let layout = memory.layout();
        if let Some(end) = layout.attach(memory.attached(), length, self.sparse.bytes())? {
            let more = Region::between(layout.own(memory.attached()), layout.own(end));
            protect(more, Rights::READ | Rights::WRITE).map_err(|_| Status::NoMemory)?;
            memory.note_attached(end);
        }
        Ok(memory.attached_heap().length)
    }

    fn release(&mut self, memory: &Memory, claim: Claim) {
        if memory.sparse().region().contains(claim.address) {
            self.sparse.release(memory, claim);
        }
    }

    fn room(&self, memory: &Memory) -> u64 {
        self.sparse.room(memory)
    }

    fn attach_image(&mut self, _: &Memory) -> Result<u64, Status> {
        // The file is mapped at its final address already.
        Ok(0)
    }
}

/// State of the switch. The guest does not run while a caller holds it.
fn switch() -> &'static mut Switch {
    // SAFETY: only the thread that runs the guest calls this, and no caller keeps the reference across another call.
    unsafe { &mut *SWITCH.get() }
}

/// Code for the gate's page that calls a function of the tender and returns: so a guest that
/// is stopped in a call has its rip in this page.
fn way(function: *const u8) -> [u8; 16] {
    let mut code = [0; 16];
    code[..7].copy_from_slice(&[0xff, 0x15, 2, 0, 0, 0, 0xc3]); // call *2(%rip); ret; and behind it
    code[8..].copy_from_slice(&(function as u64).to_le_bytes());
    code
}

/// Returns true if programs may use RDFSBASE and its like, as the contract requires: AT_HWCAP2 says so (Linux 5.9).
pub fn has_base_instructions() -> bool {
    const HWCAP2_FSGSBASE: libc::c_ulong = 1 << 1;
    // SAFETY: getauxval(3) has no conditions.
    unsafe { libc::getauxval(libc::AT_HWCAP2) & HWCAP2_FSGSBASE != 0 }
}

/// GS base of the guest, because the tender uses none.
fn gs_base() -> u64 {
    let base;
    // SAFETY: `new` checked that the instruction exists; it reads one register.
    unsafe { core::arch::asm!("rdgsbase {}", out(reg) base, options(nomem, nostack, preserves_flags)) };
    base
}
