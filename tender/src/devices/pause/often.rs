//! Thread that pauses the devices all the time: for tests, never in what is shipped.
//!
//! In each pause it checks that the devices stand still, and makes their queues again from their states. At the end it says how
//! often it has done so; `HUSK_PAUSES` is the number of pauses.

use super::{NotPaused, Paused, Pauser};
use crate::confine::{Crew, Error};
use crate::devices::device_thread::sleep;
use crate::host::time::monotonic_ns;
use crate::say;

/// Pauses, unless the environment says otherwise.
const PAUSES: u32 = 1000;
/// Longest time between two pauses, and longest pause, in nanoseconds.
const APART_NS: u64 = 1_000_000;
const PAUSED_NS: u64 = 500_000;
/// Time in which the devices must stop, in nanoseconds.
const STOP_NS: u64 = 20_000_000_000;

impl Pauser {
    /// Starts the thread, which joins `crew`.
    pub fn pause_often(self, crew: &mut Crew) -> Result<(), Error> {
        // Read while the environment exists.
        let pauses = std::env::var("HUSK_PAUSES").ok().and_then(|value| value.parse().ok());
        crew.spawn_devices(move || match self.pause_times(pauses.unwrap_or(PAUSES)) {
            Ok((pauses, renewed)) => say!("husk: {pauses} pauses, devices made again {renewed} times"),
            Err(error) => say!("husk: not paused: {error}"),
        })
    }

    fn pause_times(&self, pauses: u32) -> Result<(u32, u32), NotPaused> {
        let mut renewed = 0;
        for pause in 0..pauses {
            // Scattered by the golden ratio.
            let part = |of_ns: u64| u64::from(pause).wrapping_mul(0x9e37_79b9_7f4a_7c15) % of_ns;
            sleep(&mut [], monotonic_ns() + part(APART_NS));
            let paused = self.pause(monotonic_ns() + STOP_NS)?;
            renewed += renew(&paused, part(PAUSED_NS));
        }
        Ok((pauses, renewed))
    }
}

/// Makes the devices again that can be saved, after a time in which none may change. Returns their number.
fn renew(paused: &Paused<'_>, after_ns: u64) -> u32 {
    let (states, console) = (paused.states(), paused.console().state());
    sleep(&mut [], monotonic_ns() + after_ns);
    assert!(states == paused.states() && console == paused.console().state(), "the devices do not stand still");
    paused.console().restore(&console);
    let mut renewed = 0;
    paused.each(|served| {
        if let Ok(state) = served.device.state() {
            served.device.restore(&state).expect("it is of these rings");
            renewed += 1;
        }
    });
    renewed
}
