//! For each line of input, prints the time of day and the monotonic time since its start, both in microseconds.

use std::io::BufRead;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

fn main() {
    let start = Instant::now();
    for _ in std::io::stdin().lock().lines() {
        let day = SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_micros();
        println!("{day} {}", start.elapsed().as_micros());
    }
}
