//! Asks which advice about memory there is, with none to advise on; passes as a process, too.
#![expect(unsafe_code, reason = "std does not advise")]

use std::ptr::null_mut;

fn main() {
    for advice in [libc::MADV_NORMAL, libc::MADV_WILLNEED, libc::MADV_DONTNEED, libc::MADV_FREE] {
        // SAFETY: there is no memory that it could change.
        assert_eq!(unsafe { libc::madvise(null_mut(), 0, advice) }, 0, "{advice}");
    }
    // SAFETY: as above.
    assert_eq!(unsafe { libc::madvise(null_mut(), 0, 12345) }, -1);
    println!("advice works");
}
