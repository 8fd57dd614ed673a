//! Sets every flag it can and goes on: nothing of it concerns the tender.

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // SAFETY: none: the test is that the guest is stopped.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x40400", "popfq", "cld") };
    guests::survived();
}
