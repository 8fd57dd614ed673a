//! Threads on one disk: each writes bytes of its own, side by side with the others' in the same sectors; another one counts
//! at the same time, because a call on a disk blocks its own thread only. Signals arrive all the time and end no call.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::thread;

const THREADS: usize = 8;
const ROUNDS: usize = 200;
/// Bytes of each thread in a row: seven sectors hold parts of all.
const STRIPE: usize = 412;

static SIGNALS: AtomicU64 = AtomicU64::new(0);

extern "C" fn count(_: i32) {
    SIGNALS.fetch_add(1, Relaxed);
}

fn main() {
    let handler = count as extern "C" fn(i32);
    // SAFETY: the handler counts only.
    unsafe { libc::signal(libc::SIGUSR1, handler as usize) };
    let file = Arc::new(File::options().read(true).write(true).open("/dev/data").expect("it is attached"));
    let done = Arc::new(AtomicBool::new(false));
    let counter = {
        let done = Arc::clone(&done);
        thread::spawn(move || {
            let mut counted = 0u64;
            while !done.load(Relaxed) {
                counted += 1;
                if counted.is_multiple_of(1000) {
                    // SAFETY: kill(2) takes numbers only.
                    unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
                }
                thread::yield_now();
            }
            counted
        })
    };
    let writers: Vec<_> = (0..THREADS)
        .map(|number| {
            let file = Arc::clone(&file);
            thread::spawn(move || {
                let offset = (number * STRIPE) as u64;
                for round in 0..ROUNDS {
                    let bytes = [(number * 31 + round) as u8; STRIPE];
                    file.write_all_at(&bytes, offset).expect("it is written");
                    let mut found = [0; STRIPE];
                    file.read_exact_at(&mut found, offset).expect("it is read");
                    assert!(found == bytes, "thread {number}, round {round}");
                    if round % 50 == 0 {
                        file.sync_data().expect("a flush");
                    }
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|writer| writer.join().expect("no writer fails"));
    done.store(true, Relaxed);
    let counted = counter.join().expect("it only counts");
    assert!(counted > 0);
    println!("written by {THREADS}");
}
