//! Blocks of the processors: what the entry needs, and what libos and tender share of each.

#![expect(unsafe_code, reason = "the entry is declared as an address")]

use super::base;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use husk::abi::call::Number;
use husk::abi::memory::Region;
use husk::abi::processor::Block;
use husk::abi::signals;

/// Processors that the libos can use.
pub const PROCESSORS: usize = 1;

/// Blocks of the processors; GS of each points to its own. The first word for our own use is a temporary for a register.
pub static BLOCKS: [Block; PROCESSORS] = [const { Block::new() }; PROCESSORS];

/// Record in which the tender posts signals.
pub static SIGNALS: signals::Record = signals::Record { pending: AtomicU64::new(0) };

/// The block of this processor.
#[inline]
fn block() -> &'static Block {
    let [block] = &BLOCKS;
    block
}

/// Prepares this processor for system calls, which run on `stack`.
pub fn prepare(stack: Region) {
    block().libos_stack.store(stack.end(), Relaxed);
    base::set_processor_base(core::ptr::from_ref(block()) as u64);
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
pub fn set_need_resched(needed: bool) {
    let block = block();
    block.need_resched.store(u32::from(needed), Relaxed);
    if needed && block.armed.load(Relaxed) == 0 {
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
pub fn signals_posted() -> bool {
    SIGNALS.pending.load(Relaxed) != 0
}

/// Takes the signals that the tender has posted, bit n-1 for signal n.
pub fn take_signals() -> u64 {
    SIGNALS.pending.swap(0, Relaxed)
}
