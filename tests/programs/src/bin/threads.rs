//! Threads in various states; the argument names what happens then.

use std::hint;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Barrier, Mutex, PoisonError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

static DONE: AtomicBool = AtomicBool::new(false);

fn start(name: &str, run: impl FnOnce() + Send + 'static) -> JoinHandle<()> {
    thread::Builder::new().name(name.into()).spawn(run).expect("memory for a thread")
}

#[inline(never)]
fn spin() {
    while !DONE.load(Relaxed) {
        hint::spin_loop();
    }
}

#[inline(never)]
fn doze() {
    while !DONE.load(Relaxed) {
        thread::sleep(Duration::from_secs(3600));
    }
}

#[inline(never)]
fn lock_both(first: &Mutex<()>, second: &Mutex<()>, barrier: &Barrier) {
    let _first = first.lock().unwrap_or_else(PoisonError::into_inner);
    barrier.wait();
    let _second = second.lock().unwrap_or_else(PoisonError::into_inner);
}

/// Starts two threads, each with the lock that the other wants.
fn entangle() -> [JoinHandle<()>; 2] {
    let (left, right, barrier) = (Arc::new(Mutex::new(())), Arc::new(Mutex::new(())), Arc::new(Barrier::new(2)));
    let (l, r, b) = (left.clone(), right.clone(), barrier.clone());
    let one = start("left-right", move || lock_both(&l, &r, &b));
    let other = start("right-left", move || lock_both(&right, &left, &barrier));
    [one, other]
}

extern "C" fn ignore(_: libc::c_int) {}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    let threads: Vec<_> = match mode.as_str() {
        "busy" => vec![start("spinner", spin), start("sleeper", doze), start("parker", thread::park)],
        "deadlock" => entangle().into(),
        "handled" => {
            // SAFETY: the handler does nothing.
            unsafe { libc::signal(libc::SIGTERM, ignore as extern "C" fn(libc::c_int) as libc::sighandler_t) };
            entangle().into()
        }
        "abort" => vec![start("sleeper", doze), start("quitter", || std::process::abort())],
        // SAFETY: a signal without a handler ends the program.
        "raise" => vec![start("raiser", || assert_eq!(unsafe { libc::raise(libc::SIGFPE) }, 0))],
        _ => panic!("how?"),
    };
    println!("ready");
    for thread in threads {
        thread.join().expect("it does not panic");
    }
    println!("survived");
}
