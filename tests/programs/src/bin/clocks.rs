//! Prints the time of day and the monotonic time since its start for each line of input, both in microseconds. Before that,
//! reads its clocks for some seconds (`watch 10`), or computes for about as long without reading them (`compute 3`); neither
//! makes a system call.

use std::hint::black_box;
use std::io::BufRead;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

fn main() {
    let start = Instant::now();
    for line in std::io::stdin().lock().lines() {
        let line = line.expect("a line");
        let (what, number) = line.split_once(' ').unwrap_or((&line, "0"));
        let number = number.parse().expect("a number");
        match what {
            "watch" => watch(Duration::from_secs(number)),
            "compute" => compute(Duration::from_secs(number)),
            _ => {}
        }
        let day = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros();
        println!("{day} {}", start.elapsed().as_micros());
    }
}

/// Checks for `time` that the clock never goes back.
fn watch(time: Duration) {
    let mut last = Instant::now();
    let end = last + time;
    while last < end {
        let now = Instant::now();
        assert!(now >= last, "{last:?}, then {now:?}");
        last = now;
    }
}

/// Computes for about `time`, by a number of steps that follows from the duration of a few.
fn compute(time: Duration) {
    const FEW: u64 = 3_000_000;
    let start = Instant::now();
    work(FEW);
    let steps = u128::from(FEW) * time.as_nanos() / start.elapsed().as_nanos().max(1);
    work(steps as u64);
}

fn work(steps: u64) {
    black_box((0..steps).fold(1u64, |number, step| black_box(number.wrapping_mul(3) ^ step)));
}
