//! Holds a guest to a share of a processor: `--cpu-limit`.
//!
//! The limit applies to the processor time of the whole tender, the guest's included. A timer on that clock stops the processor
//! periodically; if more time was used than the share allows, the guest waits until its use is within the share. No privilege
//! is needed, and the guest cannot avoid the clock, whatever it does.

#![expect(unsafe_code, reason = "a clock, its timer, and the timer's signal")]

use crate::host::signals::{self, number};
use crate::host::time::monotonic_ns;
use std::io;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;

/// Processor time between two checks, in nanoseconds; kernels check no more often than every few milliseconds.
const INTERVAL_NS: libc::c_long = 2_000_000;
/// Largest burst, in nanoseconds of processor time, for a guest that has waited before.
const BURST_NS: i64 = 10_000_000;
/// Most processors that a share can be of.
const PROCESSORS_MAXIMUM: u32 = 64;

/// True when a check is due.
static DUE: AtomicBool = AtomicBool::new(false);

/// A share of a processor, in hundredths; more than 100 are several processors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CpuQuota(u32);

impl CpuQuota {
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
pub struct Throttle {
    share: CpuQuota,
    /// Processor time that may be used now, in nanoseconds; negative for a debt.
    left_ns: i64,
    used_ns: u64,
    at_ns: u64,
}

impl Throttle {
    /// Starts the limit, for the calling thread, which is the one that runs the guest.
    pub fn start(share: CpuQuota) -> io::Result<Self> {
        start_timer()?;
        Ok(Self { share, left_ns: BURST_NS, used_ns: used_ns(), at_ns: monotonic_ns() })
    }

    /// Returns true if a check is due, and clears that.
    pub fn is_due() -> bool {
        DUE.load(Relaxed) && DUE.swap(false, Relaxed)
    }

    /// Waits until no more is used than allowed, or a signal arrives.
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

/// Returns the processor time that may be used, after `elapsed_ns` in which `used_ns` was used.
pub fn left(before_ns: i64, elapsed_ns: u64, used_ns: u64, share: CpuQuota) -> i64 {
    let earned = i128::from(elapsed_ns) * i128::from(share.0) / 100;
    (i128::from(before_ns) + earned - i128::from(used_ns)).clamp(i64::MIN.into(), BURST_NS.into()) as i64
}

/// Processor time of this process.
fn used_ns() -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // Not through the C library: that calls the vDSO, which has to make a system call for this clock, and a tender with its
    // guest in the same process must not make that call from the vDSO.
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
        assert_eq!(CpuQuota::parse("50%"), Ok(CpuQuota(50)));
        assert_eq!(CpuQuota::parse("150"), Ok(CpuQuota(150)));
        for wrong in ["", "%", "0", "0.5", "-1%", "6401%", "half"] {
            assert!(CpuQuota::parse(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_used_is_kept_up_to_a_burst() {
        assert_eq!(left(0, 4_000_000, 0, CpuQuota(50)), 2_000_000);
        assert_eq!(left(0, u64::MAX, 0, CpuQuota(50)), BURST_NS);
        assert_eq!(left(BURST_NS, 4_000_000, 16_000_000, CpuQuota(50)), BURST_NS - 14_000_000);
        assert_eq!(left(i64::MIN, 0, u64::MAX, CpuQuota(1)), i64::MIN);
    }
}
