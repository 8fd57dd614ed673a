//! Sends itself signals in every way, and prints the origin of each (`si_code`), with its value.

use libc::{c_int, c_void, siginfo_t, sigval};
use std::io::Error;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicI32, AtomicUsize, Ordering::SeqCst};

static CODE: AtomicI32 = AtomicI32::new(0);
static VALUE: AtomicUsize = AtomicUsize::new(0);

extern "C" fn note(_: c_int, information: *const siginfo_t, _: *mut c_void) {
    // SAFETY: a handler with SA_SIGINFO gets a valid siginfo_t.
    let information = unsafe { &*information };
    CODE.store(information.si_code, SeqCst);
    // SAFETY: the code decides which member of the union is set, but its bytes can be read in any case.
    VALUE.store(unsafe { information.si_value() }.sival_ptr as usize, SeqCst);
}

fn block(how: c_int) {
    // SAFETY: all zeros is an empty set, and the set is a variable.
    unsafe {
        let mut set = std::mem::zeroed();
        libc::sigaddset(&mut set, libc::SIGUSR1);
        assert_eq!(libc::pthread_sigmask(how, &set, null_mut()), 0);
    }
}

fn main() {
    // SAFETY: all zeros is an action, and the handler takes the three arguments of SA_SIGINFO.
    unsafe {
        let mut action: libc::sigaction = std::mem::zeroed();
        action.sa_sigaction = note as extern "C" fn(c_int, *const siginfo_t, *mut c_void) as usize;
        action.sa_flags = libc::SA_SIGINFO;
        assert_eq!(libc::sigaction(libc::SIGUSR1, &action, null_mut()), 0);
    }
    // SAFETY: getpid(2) takes no arguments.
    let own = unsafe { libc::getpid() };
    let queue = |value: usize| {
        // SAFETY: the handler of the signal stores two words only.
        let sent = unsafe { libc::sigqueue(own, libc::SIGUSR1, sigval { sival_ptr: value as *mut c_void }) };
        assert_eq!(sent, 0, "{}", Error::last_os_error());
    };
    let found = |how: &str| println!("{how}: code {}, value {}", CODE.load(SeqCst), VALUE.load(SeqCst) as u32);
    // SAFETY: the handler of the signal stores two words only.
    unsafe { libc::raise(libc::SIGUSR1) };
    println!("raised: code {}", CODE.load(SeqCst));
    // SAFETY: the handler of the signal stores two words only.
    unsafe { libc::kill(own, libc::SIGUSR1) };
    println!("killed: code {}", CODE.load(SeqCst));
    queue(77);
    found("queued");
    block(libc::SIG_BLOCK);
    queue(78);
    // SAFETY: the handler of the signal stores two words only.
    unsafe { libc::kill(own, libc::SIGUSR1) };
    block(libc::SIG_UNBLOCK);
    found("queued before another");
    // SAFETY: the handler of the signal stores two words only.
    unsafe { libc::kill(own, libc::SIGUSR1) };
    println!("killed: code {}", CODE.load(SeqCst));
}
