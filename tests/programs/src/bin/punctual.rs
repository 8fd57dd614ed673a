//! Measures how punctual a sleep is while other threads spin: counts how many of their turns begin between the end of a sleep
//! and the next turn of the thread that slept.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::SeqCst};
use std::thread;
use std::time::{Duration, Instant};

const SPINNERS: usize = 8;
const SLEEPS: usize = 20;

/// Spinner that had the last turn.
static LAST: AtomicUsize = AtomicUsize::new(usize::MAX);
static DONE: AtomicBool = AtomicBool::new(false);
/// Times at which turns began.
static TURNS: Mutex<Vec<Instant>> = Mutex::new(Vec::new());

fn spin(own: usize) {
    while !DONE.load(SeqCst) {
        if LAST.swap(own, SeqCst) != own {
            let now = Instant::now();
            TURNS.lock().expect("nobody panics").push(now);
        }
    }
}

fn main() {
    let turns = thread::scope(|scope| {
        for own in 0..SPINNERS {
            scope.spawn(move || spin(own));
        }
        let mut turns = 0;
        for _ in 0..SLEEPS {
            let end = Instant::now() + Duration::from_millis(7);
            thread::sleep(end.saturating_duration_since(Instant::now()));
            let begun = TURNS.lock().expect("nobody panics");
            turns += begun.iter().filter(|begun| **begun > end).count();
        }
        DONE.store(true, SeqCst);
        turns
    });
    println!("{}", if turns <= 3 * SLEEPS { "punctual".to_owned() } else { format!("{turns} turns before {SLEEPS}") });
}
