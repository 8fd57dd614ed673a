//! The copy that a fault of the guest's side ends early: `rep movsb` keeps in rcx how many bytes are left.

#![expect(unsafe_code, reason = "one instruction copies by address, and a signal handler steps over it")]

use libc::ucontext_t;

unsafe extern "C" {
    /// Address of the instruction that copies.
    static husk_guest_copy: u8;
    /// Address of the instruction after it.
    static husk_guest_copy_end: u8;
}

/// Copies `length` bytes; returns the bytes left if the copy had to stop.
///
/// # Safety
///
/// Both sides are mapped for `length` bytes, or a fault is handled by [`skip`]; no other thread uses the tender's side.
#[unsafe(naked)]
pub unsafe extern "sysv64" fn copy(to: *mut u8, from: *const u8, length: usize) -> usize {
    core::arch::naked_asm!(
        "mov rcx, rdx",
        ".globl husk_guest_copy",
        "husk_guest_copy:",
        "rep movsb",
        ".globl husk_guest_copy_end",
        "husk_guest_copy_end:",
        "mov rax, rcx",
        "ret",
    )
}

/// Ends the copy, in the handler of a fault that it raised; returns false if another instruction raised the fault.
pub fn skip(context: &mut ucontext_t) -> bool {
    let instruction = &mut context.uc_mcontext.gregs[libc::REG_RIP as usize];
    let is_copy = *instruction == (&raw const husk_guest_copy) as i64;
    if is_copy {
        *instruction = (&raw const husk_guest_copy_end) as i64;
    }
    is_copy
}
