//! Makes two system calls that do not exist here (ENOSYS), several times.

fn main() {
    for _ in 0..3 {
        for number in [libc::SYS_bpf, libc::SYS_keyctl] {
            // SAFETY: neither exists here; no pointer is passed.
            let result = unsafe { libc::syscall(number, 0, 0, 0) };
            assert_eq!((result, std::io::Error::last_os_error().raw_os_error()), (-1, Some(libc::ENOSYS)));
        }
    }
    println!("both answered ENOSYS");
}
