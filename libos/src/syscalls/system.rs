//! Calls about the system that the program runs on.

use super::Arguments;
use crate::clock::SECOND;
use crate::errno::Errno;
use crate::memory::MEMORY;
use crate::state::Libos;
use crate::syscall_result::SyscallResult;
use crate::user::{self, Slice};
use linux_raw_sys::general::*;
use linux_raw_sys::system::{new_utsname, sysinfo};

/// Bytes that getrandom generates at a time.
const RANDOM_AT_ONCE: usize = 256;

/// getrandom(2): fills the whole buffer, up to `i32::MAX` bytes; Linux guarantees that for 256 bytes.
pub fn getrandom(libos: &mut Libos, Arguments([into, length, flags, ..]): Arguments) -> SyscallResult {
    if flags as u32 & !(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mut bytes = [0; RANDOM_AT_ONCE];
    let mut left = Slice::new(into, length.min(i32::MAX as u64));
    while !left.is_empty() {
        let now = left.first(RANDOM_AT_ONCE as u64);
        let bytes = bytes.get_mut(..now.length as usize).unwrap_or_default();
        libos.random.fill(bytes);
        now.copy_in(bytes)?;
        left = left.after(now.length);
    }
    Ok(length.min(i32::MAX as u64))
}

/// uname(2).
pub fn uname(libos: &mut Libos, Arguments([into, ..]): Arguments) -> SyscallResult {
    let field = (size_of::<new_utsname>() / 6) as u64;
    Slice::new(into, 6 * field).zero()?;
    let version = concat!("husk ", env!("CARGO_PKG_VERSION"));
    // The release of the Linux that the libos follows; some programs check for features by it.
    let [system, release, version, machine] = ["Linux", "6.1.0", version, crate::arch::PLATFORM].map(str::as_bytes);
    for (text, at) in [system, libos.files.hostname, release, version, machine].iter().zip(0..) {
        Slice::new(into + at * field, text.len() as u64).copy_in(text)?;
    }
    Ok(0)
}

/// sysinfo(2).
pub fn sysinfo(libos: &mut Libos, Arguments([into, ..]): Arguments) -> SyscallResult {
    let uptime = husk::clock::monotonic_ns().saturating_sub(libos.started) / SECOND;
    let (total, free) = MEMORY.lock().size();
    Slice::new(into, size_of::<sysinfo>() as u64).zero()?;
    let at = |offset: usize| into.wrapping_add(offset as u64);
    user::write(at(core::mem::offset_of!(sysinfo, uptime)), &uptime)?;
    user::write(at(core::mem::offset_of!(sysinfo, totalram)), &total)?;
    user::write(at(core::mem::offset_of!(sysinfo, freeram)), &free)?;
    user::write(at(core::mem::offset_of!(sysinfo, procs)), &1u16)?;
    user::write(at(core::mem::offset_of!(sysinfo, mem_unit)), &1u32)?;
    Ok(0)
}
