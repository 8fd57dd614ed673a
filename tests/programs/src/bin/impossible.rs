//! Tries what no unikernel can do, each twice: starts a program, maps memory to execute.

#![expect(unsafe_code, reason = "mmap is a function of C")]

use programs::errno;
use std::process::Command;

fn main() {
    for _ in 0..2 {
        Command::new("/bin/true").status().expect_err("one image, one program");
    }
    println!("no process");
    for _ in 0..2 {
        let (rights, kind) = (libc::PROT_READ | libc::PROT_EXEC, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS);
        // SAFETY: a new mapping.
        let mapped = unsafe { libc::mmap(std::ptr::null_mut(), 4096, rights, kind, -1, 0) };
        assert_eq!((mapped, errno()), (libc::MAP_FAILED, libc::EACCES));
    }
    println!("not executable");
}
