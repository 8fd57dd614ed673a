//! Leaves its sandbox as often as it can while its turns end and signals arrive, and checks a register and a thread-local.

use std::arch::asm;
use std::cell::Cell;
use std::io::{Write, stdout};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

const TIMES: u64 = 100_000;

thread_local!(static OWN: Cell<u64> = const { Cell::new(0) });

fn main() {
    static DONE: AtomicBool = AtomicBool::new(false);
    let others: Vec<_> = (1..3)
        .map(|number: u64| {
            thread::spawn(move || {
                OWN.set(number);
                while !DONE.load(Relaxed) {
                    assert_eq!(OWN.get(), number);
                }
            })
        })
        .collect();
    OWN.set(TIMES);
    let mut output = stdout();
    for time in 0..TIMES {
        let before = time as f64 * 0.5;
        let after: f64;
        // SAFETY: writes a line to standard output by a system call, and keeps the register.
        unsafe {
            asm!("syscall", inlateout("rax") 1_usize => _, in("rdi") 1, in("rsi") c".\n".as_ptr(), in("rdx") 2,
                inlateout("xmm7") before => after, out("rcx") _, out("r11") _);
        }
        assert_eq!((after, OWN.get()), (before, TIMES));
    }
    DONE.store(true, Relaxed);
    others.into_iter().for_each(|other| other.join().expect("it was itself"));
    output.write_all(b"itself\n").expect("a pipe");
}
