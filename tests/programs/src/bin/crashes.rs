//! Crashes in places that are hard to report: in a system call, in a signal handler.

#[inline(never)]
fn in_a_call() {
    // SAFETY: a new mapping changes nothing; its page has no rights (PROT_NONE).
    let page = unsafe { libc::mmap(std::ptr::null_mut(), 8192, 0, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
    let zeros = std::fs::File::open("/dev/zero").expect("there are always zeros");
    // SAFETY: none: the page has no rights, so the libos faults when it writes there.
    let count = unsafe { libc::read(std::os::fd::AsRawFd::as_raw_fd(&zeros), page, 4096) };
    println!("survived {count}");
}

extern "C" fn handler(_: libc::c_int) {
    // SAFETY: none: the report is what is tested.
    unsafe { std::ptr::null::<u8>().read_volatile() };
}

#[inline(never)]
fn in_a_handler() {
    // SAFETY: the handler is a function.
    unsafe { libc::signal(libc::SIGUSR1, handler as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    // SAFETY: raise(3) takes a number only.
    unsafe { libc::raise(libc::SIGUSR1) };
    println!("survived");
}

#[inline(never)]
fn spin() {
    // SAFETY: the handler is a function.
    unsafe { libc::signal(libc::SIGUSR1, handler as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    println!("ready");
    loop {
        std::hint::spin_loop();
    }
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("call") => in_a_call(),
        Some("handler") => in_a_handler(),
        _ => spin(),
    }
}
