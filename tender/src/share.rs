//! Holds a guest to a share of a processor: `--cpu-limit`.
//!
//! What counts is the processor time of the whole tender, the guest's included. A timer of that clock stops the processor
//! now and then; if more was used than the share allows, the guest waits until it is not any more. It takes no privilege,
//! and what the guest does meanwhile makes no difference: there is no way past the clock.

#![expect(unsafe_code, reason = "a clock, its timer, and the timer's signal")]

use crate::signals::{self, number};
use crate::time::monotonic_ns;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// How much processor time passes between two looks, in nanoseconds; kernels look no more often than every few
/// milliseconds.
const INTERVAL_NS: libc::c_long = 2_000_000;
/// How much may be used at once, in nanoseconds of processor time, by a guest that has waited before.
const BURST_NS: i64 = 10_000_000;
/// Most processors that a share can be of.
const PROCESSORS_MAXIMUM: u32 = 64;

/// It is time to look.
static DUE: AtomicBool = AtomicBool::new(false);

/// A share of a processor, in hundredths; more than 100 are several processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Share(u32);

impl Share {
    /// Reads `50%`.
    pub fn parse(text: &str) -> Result<Self, String> {
        let number = text.strip_suffix('%').unwrap_or(text).parse().ok();
        let share = number.filter(|share| (1..=100 * PROCESSORS_MAXIMUM).contains(share));
        share.map(Self).ok_or_else(|| "write a share of a processor, such as 50%".to_owned())
    }

    /// The share and one processor more.
    #[must_use]
    pub fn and_a_processor(self) -> Self {
        Self(self.0 + 100)
    }
}

/// Holds this process to a share.
#[derive(Debug)]
pub struct Hold {
    share: Share,
    /// What may be used now, in nanoseconds of processor time; below 0 it is a debt.
    left_ns: i64,
    used_ns: u64,
    at_ns: u64,
}

impl Hold {
    /// Begins to, for the thread that runs the guest, which is the calling one.
    pub fn start(share: Share) -> io::Result<Self> {
        start_timer()?;
        Ok(Self { share, left_ns: BURST_NS, used_ns: used_ns(), at_ns: monotonic_ns() })
    }

    /// Whether it is time to look.
    pub fn is_due() -> bool {
        DUE.load(Relaxed) && DUE.swap(false, Relaxed)
    }

    /// Waits until no more is used than may be, or a signal arrives.
    pub fn wait(&mut self) {
        let (used_ns, now_ns) = (used_ns(), monotonic_ns());
        let used = used_ns - self.used_ns;
        self.left_ns = left(self.left_ns, now_ns - self.at_ns, used, self.share);
        (self.used_ns, self.at_ns) = (used_ns, now_ns);
        if self.left_ns < 0 {
            signals::wait(&mut [], now_ns + self.left_ns.unsigned_abs() * 100 / u64::from(self.share.0));
        }
    }
}

/// What may be used, after so much time in which so much was.
pub fn left(before_ns: i64, elapsed_ns: u64, used_ns: u64, share: Share) -> i64 {
    let earned = i128::from(elapsed_ns) * i128::from(share.0) / 100;
    (i128::from(before_ns) + earned - i128::from(used_ns)).clamp(i64::MIN.into(), BURST_NS.into()) as i64
}

/// Processor time of this process.
fn used_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // Not by the C library: it asks the kernel's page of code, which has to call the kernel for this clock, and a tender
    // whose guest is in the same process must not from there.
    // SAFETY: `time` is ours to fill; the clock always exists.
    unsafe { libc::syscall(libc::SYS_clock_gettime, libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

extern "C" fn look(_: libc::c_int) {
    DUE.store(true, Relaxed);
    signals::halt();
}

fn start_timer() -> io::Result<()> {
    let interval = libc::timespec { tv_sec: 0, tv_nsec: INTERVAL_NS };
    // SAFETY: the handler uses nothing but atomics and the byte that keeps the processor from running.
    unsafe { signals::handle(number::SHARE, look) }?;
    signals::Timer::new(libc::CLOCK_PROCESS_CPUTIME_ID, number::SHARE)?.set(interval, interval)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_are_read() {
        assert_eq!(Share::parse("50%"), Ok(Share(50)));
        assert_eq!(Share::parse("150"), Ok(Share(150)));
        for wrong in ["", "%", "0", "0.5", "-1%", "6401%", "half"] {
            assert!(Share::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_used_is_kept_up_to_a_burst() {
        assert_eq!(left(0, 4_000_000, 0, Share(50)), 2_000_000);
        assert_eq!(left(0, u64::MAX, 0, Share(50)), BURST_NS);
        assert_eq!(left(BURST_NS, 4_000_000, 16_000_000, Share(50)), BURST_NS - 14_000_000);
        assert_eq!(left(i64::MIN, 0, u64::MAX, Share(1)), i64::MIN);
    }
}
