//! Keeps the guest's clock page true: see [`husk_abi::clock`].
//!
//! The guest's monotonic clock is the host's. The page is corrected before the guest is entered, if it is old enough, or
//! the guest has asked for it. `Keeper` computes its contents.

#![expect(unsafe_code, reason = "the clock page is shared with the guest, reached by pointer")]

mod keeper;

pub use keeper::Moment;

use crate::arch::tsc;
use crate::host::time::{self, monotonic_ns};
use crate::memory::Memory;
use husk_abi::clock::Page;
use husk_abi::memory::CLOCK;
use keeper::Keeper;
use std::ptr::NonNull;

impl Moment {
    /// Reads the clocks, for a guest's counter that is ahead of the host's by `offset`: the quickest of a few readings, because
    /// the thread may be stopped in between.
    pub fn now(offset: u64) -> Self {
        let take = |_| {
            let (before, monotonic_ns, realtime_ns) =
                (tsc::read(), monotonic_ns(), time::nanoseconds(libc::CLOCK_REALTIME));
            let took = tsc::read().wrapping_sub(before);
            let host = before.wrapping_add(took / 2);
            (took, Self { host, guest: host.wrapping_add(offset), monotonic_ns, realtime_ns })
        };
        (0..4).map(take).min_by_key(|(took, _)| *took).map_or_else(Self::default, |(_, moment)| moment)
    }
}

/// A guest's time stamp counter.
#[derive(Clone, Copy, Debug)]
pub struct Counter {
    /// Distance ahead of the host's counter.
    pub offset: Offset,
    /// Rate in kilohertz, if known.
    pub khz: Option<u32>,
    /// Earlier moment, by the host's clocks: start of the measurement of an unknown rate.
    pub began: Moment,
    /// True if the counter is the same on all processors of the host.
    pub steady: bool,
}

impl Counter {
    /// The host's own counter, with a rate that is yet to be measured.
    pub fn of_host(began: Moment, steady: bool) -> Self {
        Self { offset: Offset::default(), khz: None, began, steady }
    }
}

/// Distance of a guest's counter ahead of the host's.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset {
    /// In ticks, modulo 2^64.
    pub ticks: u64,
    /// Ticks by which the distance may be wrong.
    pub slack: u64,
}

/// The writer of one guest's clock page.
#[derive(Debug)]
pub struct Clock {
    page: NonNull<Page>,
    keeper: Keeper,
    offset: Offset,
    /// The host's counter at the guest's last exit.
    left: u64,
    is_asked: bool,
}

impl Clock {
    /// Starts the clock of a guest with this counter.
    ///
    /// # Safety
    ///
    /// `page` points to the clock page, still writable, of guest memory that outlives the clock; only the clock writes it.
    pub unsafe fn start(page: NonNull<Page>, counter: Counter) -> Self {
        let Counter { offset, began, .. } = counter;
        let began = Moment { guest: began.host.wrapping_add(offset.ticks), ..began };
        let now = Moment::now(offset.ticks);
        let keeper = Keeper::start(&began, &now, counter.khz, counter.steady);
        let clock = Self { page, keeper, offset, left: now.host, is_asked: false };
        clock.publish();
        clock
    }

    /// Notes that the guest does not run from here on.
    pub fn leave(&mut self) {
        self.left = tsc::read();
    }

    /// Requests a correction of the page before the guest resumes.
    pub fn ask(&mut self) {
        self.is_asked = true;
    }

    /// Returns true if the page is to be corrected before the guest resumes.
    pub fn is_due(&self) -> bool {
        self.is_asked || self.keeper.is_due(tsc::read())
    }

    /// Corrects the page, which is in `memory`. The guest's counter is ahead of the host's by `offset`, if that was read
    /// back; otherwise by the previous offset.
    pub fn correct(&mut self, memory: &Memory, offset: Option<Offset>) {
        // Each reading differs a little, so the known offset is kept while it is within the slack of both.
        let is_new = |offset: &Offset| {
            let change = offset.ticks.wrapping_sub(self.offset.ticks) as i64;
            change.unsigned_abs() > offset.slack.saturating_add(self.offset.slack)
        };
        self.offset = offset.filter(is_new).unwrap_or(self.offset);
        self.is_asked = false;
        self.keeper.correct(&Moment::now(self.offset.ticks), self.left);
        memory.rewrite_tender_page(CLOCK, || self.publish());
    }

    fn publish(&self) {
        // SAFETY: the caller of `start` guaranteed a valid page that outlives the clock; its fields are atomics, which the
        // guest only reads.
        unsafe { self.page.as_ref() }.write(self.keeper.published());
    }
}

/// Returns true if the host's counter is the same on all its processors, and never stops. Opens a file.
pub fn is_steady() -> bool {
    const OFFERED: &str = "/sys/devices/system/clocksource/clocksource0/available_clocksource";
    is_steady_where(std::fs::read_to_string(OFFERED).ok().as_deref(), tsc::is_invariant)
}

/// Returns true if the counter is steady on a kernel that offers these clock sources: `tsc` is one as long as the kernel
/// trusts it. Without /sys, the processor's invariant TSC bit counts (SDM volume 3, 18.17.1).
fn is_steady_where(offered: Option<&str>, is_promised: impl FnOnce() -> bool) -> bool {
    offered.map_or_else(is_promised, |names| names.split_whitespace().any(|name| name == "tsc"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_counter_is_steady_if_the_kernel_offers_it_or_else_the_processor_says_so() {
        for (offered, promised, steady) in [
            (Some("tsc kvm-clock \n"), false, true),
            (Some("tsc-early hpet acpi_pm\n"), true, false),
            (Some("kvm-clock acpi_pm\n"), true, false),
            (None, true, true),
            (None, false, false),
        ] {
            assert_eq!(is_steady_where(offered, || promised), steady, "{offered:?}");
        }
    }

    #[test]
    fn a_moment_is_that_of_the_clocks() {
        let (before, moment, after) = (monotonic_ns(), Moment::now(7), monotonic_ns());
        assert!((before..=after).contains(&moment.monotonic_ns));
        assert_eq!(moment.guest.wrapping_sub(moment.host), 7);
        assert!(moment.realtime_ns.abs_diff(time::nanoseconds(libc::CLOCK_REALTIME)) < 60_000_000_000);
    }
}
