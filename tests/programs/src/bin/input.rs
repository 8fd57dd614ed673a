//! Reads standard input in one thread while others run, sleep, and wait for it through poll(2).

use std::io::{BufRead, stdin};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::sync::mpsc;
use std::thread;
use std::time::{Duration, Instant};

static TICKS: AtomicU32 = AtomicU32::new(0);

fn wait_for_input(timeout_ms: i32) -> i32 {
    let mut entry = libc::pollfd { fd: 0, events: libc::POLLIN, revents: 0 };
    // SAFETY: one entry of our own.
    unsafe { libc::poll(&mut entry, 1, timeout_ms) }
}

fn main() {
    let start = Instant::now();
    assert_eq!((wait_for_input(0), wait_for_input(20)), (0, 0), "nothing yet");
    assert!(start.elapsed() >= Duration::from_millis(20));
    println!("waiting");
    let (sender, lines) = mpsc::channel();
    thread::spawn(move || stdin().lock().lines().try_for_each(|line| sender.send(line.expect("text"))));
    thread::spawn(|| {
        loop {
            thread::sleep(Duration::from_millis(1));
            TICKS.fetch_add(1, Relaxed);
        }
    });
    // Other threads run while one waits for input.
    while TICKS.load(Relaxed) < 10 {
        thread::sleep(Duration::from_millis(1));
    }
    println!("others run");
    println!("{}", lines.recv().expect("a line"));
    // The next line arrives while this thread spins and never waits.
    let second = loop {
        if let Ok(line) = lines.try_recv() {
            break line;
        }
    };
    println!("{second}");
    assert!(lines.recv().is_err(), "the end");
    assert_eq!(wait_for_input(-1), 1, "the end can be read");
}
