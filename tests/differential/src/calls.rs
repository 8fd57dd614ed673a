//! System calls by number.

use std::ffi::CString;

/// Carries out a system call with arguments that fit it. Returns the result, or the negative error.
#[expect(unsafe_code, reason = "system calls are C's")]
pub fn call(number: i64, arguments: &[usize]) -> i64 {
    let at = |index| arguments.get(index).copied().unwrap_or_default();
    // SAFETY: pointers among the arguments are those of callers' variables, which outlive the call, or addresses that only the
    // kernel touches.
    let result = unsafe { libc::syscall(number, at(0), at(1), at(2), at(3), at(4), at(5)) };
    if result < 0 { -i64::from(std::io::Error::last_os_error().raw_os_error().unwrap_or_default()) } else { result }
}

/// Returns a path for a call.
pub fn path(text: &str) -> CString {
    CString::new(text).expect("no zeros")
}

/// Returns a result as text: a number, or the error's.
pub fn shown(result: i64) -> String {
    if result < 0 { format!("E{}", -result) } else { result.to_string() }
}

/// Returns "ok" for any success.
pub fn done(result: i64) -> String {
    if result < 0 { shown(result) } else { "ok".to_owned() }
}

/// Returns bytes as text that is short.
pub fn digest(bytes: &[u8]) -> String {
    let sum = bytes.iter().fold(0u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
    format!("{} bytes {sum:x}", bytes.len())
}
