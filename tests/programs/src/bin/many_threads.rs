//! Starts very many threads: `in-turn`, each joined before the next; `at-once`, all alive together; `deep`, all alive and
//! touching much of their stacks.

use std::hint::black_box;
use std::sync::{Arc, Barrier};
use std::thread::{self, JoinHandle};

fn in_turn(count: usize) {
    let sum: usize = (0..count).map(|number| thread::spawn(move || number).join().expect("it does not fail")).sum();
    println!("{count} threads in turn: {sum}");
}

/// Touches `bytes` bytes of the stack, and returns their sum.
fn descend(bytes: usize) -> usize {
    let frame = black_box([1u8; 4096]);
    let below = if bytes > frame.len() { descend(bytes - frame.len()) } else { 0 };
    black_box(&frame).iter().map(|byte| usize::from(*byte)).sum::<usize>() + below
}

fn at_once(count: usize, bytes: usize) {
    let barrier = Arc::new(Barrier::new(count + 1));
    let start = |number: usize| {
        let barrier = barrier.clone();
        let run = move || {
            // Waits for all threads, because a stack that is used early may leave none for a later thread.
            barrier.wait();
            descend(bytes) + number
        };
        thread::Builder::new().spawn(run).expect("memory for a thread")
    };
    let threads: Vec<JoinHandle<usize>> = (0..count).map(start).collect();
    barrier.wait();
    let sum: usize = threads.into_iter().map(|thread| thread.join().expect("it does not fail")).sum();
    println!("{count} threads at once: {sum}");
}

/// Reads a line into untouched memory of a stack, and writes it from there.
fn talks() {
    let reader = thread::spawn(|| {
        let mut line = std::mem::MaybeUninit::<[u8; 65536]>::uninit();
        // SAFETY: reads into bytes that are ours.
        let count = unsafe { libc::read(0, line.as_mut_ptr().cast(), 65536) };
        // SAFETY: read(2) has filled as many bytes.
        unsafe { libc::write(1, line.as_ptr().cast(), count as usize) };
    });
    reader.join().expect("it does not fail");
}

fn main() {
    match std::env::args().nth(1).as_deref() {
        Some("in-turn") => in_turn(10_000),
        Some("at-once") => at_once(1000, 4096),
        Some("again") => (0..3).for_each(|_| at_once(1000, 4096)),
        Some("deep") => at_once(1000, 1 << 20),
        Some("talk") => {
            // Enough threads that the reader's stack does not lie in the heap.
            let barrier = Arc::new(Barrier::new(101));
            let wait = || {
                let barrier = barrier.clone();
                thread::spawn(move || _ = barrier.wait())
            };
            let others: Vec<_> = (0..100).map(|_| wait()).collect();
            talks();
            barrier.wait();
            others.into_iter().for_each(|thread| thread.join().expect("it does not fail"));
        }
        other => panic!("what is {other:?}?"),
    }
}
