//! Runs out of the libos stack, as a libos with a fault of its own would.

#![no_std]
#![no_main]

use core::arch::asm;
use husk::boot;

husk::entry!(main);

extern "C" fn overflow() {
    guests::recurse(u64::MAX);
}

fn main() {
    let top = boot::info().libos_stack.end();
    // SAFETY: the libos stack is ours, and nobody uses it; the test is that its end is guarded.
    unsafe { asm!("mov rsp, {top}", "call {overflow}", top = in(reg) top, overflow = sym overflow, options(noreturn)) };
}
