//! Sleeps, and checks that it slept long enough.

use std::thread::sleep;
use std::time::{Duration, Instant};

fn main() {
    for ms in [0, 1, 5, 30] {
        let start = Instant::now();
        sleep(Duration::from_millis(ms));
        assert!(start.elapsed() >= Duration::from_millis(ms));
    }
    println!("slept");
}
