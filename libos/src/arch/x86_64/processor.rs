//! Block of the processor: what the entry needs, and the records that it shares with the tender.

#![expect(unsafe_code, reason = "the entry is declared as an address")]

use super::base;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use husk::abi::call::Number;
use husk::abi::memory::Region;
use husk::abi::signals;
use husk::abi::turns::Record;

/// Data of the entry; GS points to it.
#[derive(Debug)]
#[repr(C)]
pub struct Processor {
    /// Address of the running thread's [`super::registers::Registers`]; written on the return to a thread.
    pub(super) current: AtomicU64,
    /// End of the libos's stack.
    pub(super) stack: AtomicU64,
    /// Temporary for a register.
    pub(super) scratch: AtomicU64,
    /// Record that the tender reads to preempt threads.
    pub(super) turns: Record,
    /// Record in which the tender posts signals.
    pub(super) signals: signals::Record,
}

/// Block of the processor. The libos runs first, so `inside` starts as 1.
pub static PROCESSOR: Processor = Processor {
    current: AtomicU64::new(0),
    stack: AtomicU64::new(0),
    scratch: AtomicU64::new(0),
    turns: Record {
        wanted: AtomicU32::new(0),
        inside: AtomicU32::new(1),
        rip: AtomicU64::new(0),
        rflags: AtomicU64::new(0),
        ticking: AtomicU32::new(0),
        reserved: AtomicU32::new(0),
    },
    signals: signals::Record { pending: AtomicU64::new(0) },
};

/// Offset of the preemption record in [`Processor`].
pub const TURNS: usize = offset_of!(Processor, turns);
/// Offset of the running thread's address.
#[cfg(target_os = "none")]
pub const CURRENT: usize = offset_of!(Processor, current);
/// Offset of the signal record.
#[cfg(target_os = "none")]
pub const SIGNALS: usize = offset_of!(Processor, signals);

/// Prepares this processor for system calls, which run on `stack`.
pub fn prepare(stack: Region) {
    PROCESSOR.stack.store(stack.end(), Relaxed);
    base::set_processor_base(core::ptr::from_ref(&PROCESSOR) as u64);
}

unsafe extern "C" {
    /// Entry point, not a function that could be called from here.
    safe static husk_system_call_direct: u8;
}

/// Address of the entry for a system call with its return address in `rcx`.
pub fn direct() -> u64 {
    (&raw const husk_system_call_direct) as u64
}

/// Sets if a thread or an event waits for the running thread's slice to end.
#[inline]
pub fn want_turn(wanted: bool) {
    PROCESSOR.turns.wanted.store(u32::from(wanted), Relaxed);
    if wanted && PROCESSOR.turns.ticking.load(Relaxed) == 0 {
        tick();
    }
}

/// Makes the tender arm its preemption timer.
#[cold]
fn tick() {
    // The call cannot fail.
    let _ = husk::gate::call(Number::Tick, 0, 0, 0, 0);
}

/// Returns true if the tender has posted signals that have not been taken.
#[inline]
pub fn signals_told() -> bool {
    PROCESSOR.signals.pending.load(Relaxed) != 0
}

/// Takes the signals that the tender has posted, bit n-1 for signal n.
pub fn take_signals() -> u64 {
    PROCESSOR.signals.pending.swap(0, Relaxed)
}
