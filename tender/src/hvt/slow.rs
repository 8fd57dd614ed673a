//! Simulates a slow host, by delays: for benches, never in what is shipped.
//!
//! `HUSK_SLOW_EXIT_NS` is added to each exit to the tender, `HUSK_SLOW_TOUCH_NS` to each first touch that the tender answers.
//! Work that KVM does by itself (a doorbell, a first touch of the heap) is not delayed.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// Default delays: the cost on the slowest host seen so far, beyond a usual one.
const EXIT_NS: u64 = 46_000;
const TOUCH_NS: u64 = 26_000;

/// Reads the delays, while the environment exists.
pub fn start() {
    delays();
}

/// Delays an exit.
pub fn exit() {
    delay(delays().0);
}

/// Delays a first touch.
pub fn touch() {
    delay(delays().1);
}

fn delays() -> (Duration, Duration) {
    static DELAYS: OnceLock<(Duration, Duration)> = OnceLock::new();
    let named = |name: &str, usual_ns| {
        let ns = std::env::var(name).ok().and_then(|value| value.parse().ok());
        Duration::from_nanos(ns.unwrap_or(usual_ns))
    };
    *DELAYS.get_or_init(|| (named("HUSK_SLOW_EXIT_NS", EXIT_NS), named("HUSK_SLOW_TOUCH_NS", TOUCH_NS)))
}

/// Keeps the processor busy, as a slow exit does.
fn delay(duration: Duration) {
    let until = Instant::now() + duration;
    while Instant::now() < until {
        std::hint::spin_loop();
    }
}
