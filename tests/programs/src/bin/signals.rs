//! Waits for signals in the way that its argument names, and prints which came.

use std::io::Read;
use std::sync::atomic::{AtomicI32, AtomicU32, Ordering::Relaxed};
use std::time::Duration;

static LAST: AtomicI32 = AtomicI32::new(0);
static COUNT: AtomicU32 = AtomicU32::new(0);

extern "C" fn note(signal: libc::c_int) {
    LAST.store(signal, Relaxed);
    COUNT.fetch_add(1, Relaxed);
}

const SIGNALS: [libc::c_int; 6] =
    [libc::SIGHUP, libc::SIGINT, libc::SIGUSR1, libc::SIGUSR2, libc::SIGTERM, libc::SIGWINCH];

fn handle(with: libc::sighandler_t) {
    // SAFETY: all zeros is a valid value. Without SA_RESTART, calls that wait are interrupted.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = with;
    for signal in SIGNALS {
        // SAFETY: the handler uses atomics only.
        unsafe { libc::sigaction(signal, &action, std::ptr::null_mut()) };
    }
}

/// Blocks all signals; if `now`, unblocks them and waits for one instead (sigsuspend(2)).
fn suspend(now: bool) {
    // SAFETY: all zeros is an empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    if now {
        // SAFETY: the set is a variable of ours.
        unsafe { libc::sigsuspend(&set) };
        return;
    }
    // SAFETY: the set is a local variable.
    unsafe { libc::sigfillset(&mut set) };
    // SAFETY: the set is a local variable.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
}

fn sleep() {
    std::thread::sleep(Duration::from_millis(10));
}

fn ready() {
    println!("ready");
}

fn main() {
    let mode = std::env::args().nth(1).unwrap_or_default();
    match mode.strip_prefix("default-") {
        None if mode == "ignore" => handle(libc::SIG_IGN),
        None => handle(note as extern "C" fn(libc::c_int) as libc::sighandler_t),
        Some(_) => {}
    }
    if mode.ends_with("sleep") {
        suspend(false);
    }
    ready();
    match mode.trim_start_matches("default-") {
        "sleep" => {
            while LAST.load(Relaxed) == 0 {
                suspend(true);
            }
        }
        "spin" => while LAST.load(Relaxed) == 0 {},
        "call" => {
            while LAST.load(Relaxed) == 0 {
                std::thread::yield_now();
            }
        }
        "read" => {
            let result = std::io::stdin().lock().read(&mut [0]).map_err(|error| error.kind());
            println!("read: {result:?}");
        }
        "threads" => {
            let spinner = std::thread::spawn(|| while LAST.load(Relaxed) == 0 {});
            spinner.join().expect("it does not panic");
        }
        "flood" => {
            while LAST.load(Relaxed) != libc::SIGTERM {
                sleep();
            }
            assert!(COUNT.load(Relaxed) > 1);
        }
        "ignore" => loop {
            sleep();
        },
        "stubborn" => {
            let mut heard = 0;
            loop {
                sleep();
                if heard != COUNT.load(Relaxed) {
                    heard = COUNT.load(Relaxed);
                    println!("heard {}", LAST.load(Relaxed));
                }
            }
        }
        "stubborn-spin" => loop {
            std::hint::spin_loop();
        },
        _ => panic!("how?"),
    }
    println!("signal {}", LAST.load(Relaxed));
    std::process::exit(std::env::var("STATUS").map_or(7, |status| status.parse().expect("a number")));
}
