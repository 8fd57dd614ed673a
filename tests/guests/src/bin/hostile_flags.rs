//! Sets the flags DF and AC and continues: neither concerns the tender.

#![no_std]
#![no_main]

use core::arch::asm;

husk::entry!(main);

fn main() {
    // SAFETY: none: the test is that the flags do not affect the tender.
    unsafe { asm!("pushfq", "or qword ptr [rsp], 0x40400", "popfq", "cld") };
    guests::survived();
}
