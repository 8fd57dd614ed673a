//! A guest in the tender's own process on x86-64: the switch between both, and the signal frame of a stopped guest.

#![expect(unsafe_code, reason = "the kernel is asked for what it offers to programs")]

pub(crate) mod frame;
pub(crate) mod switch;
pub(crate) mod vcpu;

/// Code for the gate's page that calls a function of the tender and returns: so a guest that
/// is stopped in a call has its `rip` in this page.
pub fn trampoline(function: *const u8) -> [u8; 16] {
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
