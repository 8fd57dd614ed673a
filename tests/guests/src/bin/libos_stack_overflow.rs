//! Overflows the libos stack, as a faulty libos would.

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
    // SAFETY: the libos stack is ours, and not in use; the test is that its end is guarded.
    unsafe { asm!("mov rsp, {top}", "call {overflow}", top = in(reg) top, overflow = sym overflow, options(noreturn)) };
}
