//! Calls madvise(2) on an empty range with every kind of advice, to find those that exist; passes as a process, too.
#![expect(unsafe_code, reason = "std does not advise")]

use std::ptr::null_mut;

fn main() {
    for advice in [libc::MADV_NORMAL, libc::MADV_WILLNEED, libc::MADV_DONTNEED, libc::MADV_FREE] {
        // SAFETY: the range is empty.
        assert_eq!(unsafe { libc::madvise(null_mut(), 0, advice) }, 0, "{advice}");
    }
    // SAFETY: the range is empty.
    assert_eq!(unsafe { libc::madvise(null_mut(), 0, 12345) }, -1);
    println!("advice works");
}
