//! A thread has the processor to itself for a second, again and again; after each, something else wants to run, while the
//! thread spins until that has happened. With the argument `alone`, nothing else ever wants to run, once another thread has
//! begun to wait for the one that spins.

use std::io::Read;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

static HAPPENED: AtomicBool = AtomicBool::new(false);

fn happen() {
    HAPPENED.store(true, SeqCst);
}

extern "C" fn rung(_: libc::c_int) {
    happen();
}

/// Spins for a second without a system call: the clock is read from memory.
fn be_alone() {
    let start = Instant::now();
    while start.elapsed() < Duration::from_secs(1) {}
}

/// Spins for a second, in which nothing may happen yet; then calls `begin`, and spins until that has happened.
fn expect(what: &str, begin: impl FnOnce()) {
    HAPPENED.store(false, SeqCst);
    be_alone();
    begin();
    while !HAPPENED.load(SeqCst) {
        std::hint::spin_loop();
    }
    println!("{what}");
}

fn ring_soon() {
    let soon = libc::timeval { tv_sec: 0, tv_usec: 1000 };
    let once = libc::itimerval { it_interval: libc::timeval { tv_sec: 0, tv_usec: 0 }, it_value: soon };
    // SAFETY: the handler uses an atomic only.
    unsafe { libc::signal(libc::SIGALRM, rung as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    // SAFETY: the times are a variable of ours.
    assert_eq!(unsafe { libc::setitimer(libc::ITIMER_REAL, &once, null_mut()) }, 0);
}

fn main() {
    if std::env::args().nth(1).is_some_and(|argument| argument == "alone") {
        thread::spawn(be_alone).join().expect("it does not panic");
        return println!("was alone");
    }
    expect("a new thread", || drop(thread::spawn(happen)));
    let parked = thread::spawn(|| {
        thread::park();
        happen();
    });
    // Lets the thread run until it sleeps.
    thread::yield_now();
    expect("a woken thread", || parked.thread().unpark());
    expect("a sleeper", || {
        drop(thread::spawn(|| {
            thread::sleep(Duration::from_millis(1));
            happen();
        }));
        // Lets the thread run until it sleeps.
        thread::yield_now();
    });
    expect("an alarm", ring_soon);
    expect("input", || {
        drop(thread::spawn(|| {
            let _ = std::io::stdin().lock().read(&mut [0]);
            happen();
        }));
    });
}
