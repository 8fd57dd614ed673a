//! Timers as files: timerfd_create(2).
//!
//! An armed timer has an alarm, the time at which it becomes ready. No interrupt fires for it: code that checks files, or
//! sleeps for one, first calls [`super::Files::ring`] for the alarms that are due, and sleeps at most until the next.

use super::handle::NodeKey;
use super::ready::Ready;
use crate::clock::Base;
use crate::errno::Errno;
use crate::user::{self, Slice};
use alloc::vec::Vec;

/// Bytes of a number of expirations.
const BYTES: u64 = size_of::<u64>() as u64;

/// Timer of a timerfd. Times are monotonic, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    /// Clock of its absolute times.
    pub base: Base,
    /// The first expiration that has not been read; 0 if the timer is disarmed.
    pub(super) due: u64,
    /// Time between expirations; 0 for a single one.
    pub(super) interval: u64,
    /// True if `due` has come.
    pub(super) rang: bool,
}

/// Time left and interval, in nanoseconds, as in timerfd_settime(2) and timerfd_gettime(2).
pub type Setting = [u64; 2];

impl Timer {
    /// Returns a disarmed timer.
    pub fn new(base: Base) -> Self {
        Self { base, due: 0, interval: 0, rang: false }
    }

    /// Events that the timer is ready for: an expiration that has not been read.
    pub fn ready(self) -> Ready {
        if self.rang { Ready::IN } else { Ready::empty() }
    }

    /// Time of the next expiration, if the timer is armed.
    pub fn deadline(self) -> Option<u64> {
        (self.due != 0).then_some(self.due)
    }

    /// Reads the number of expirations until `now`; EAGAIN if there are none. Returns the bytes read.
    pub fn read(&mut self, into: Slice, now: u64) -> Result<u64, Errno> {
        if into.length < BYTES {
            return Err(Errno::EINVAL);
        }
        if !self.rang {
            return Err(Errno::EAGAIN);
        }
        let mut read = *self;
        user::write(into.address, &read.take(now))?;
        *self = read;
        Ok(BYTES)
    }

    /// Setting at `now`.
    pub fn setting(self, now: u64) -> Setting {
        let Self { due, interval, .. } = self;
        let left = match now.checked_sub(due) {
            _ if due == 0 => 0,
            None => due - now,
            Some(late) if interval > 0 => interval - late % interval,
            Some(_) => 0,
        };
        [left, interval]
    }

    /// Takes the expirations until `now`, of which there is at least one.
    fn take(&mut self, now: u64) -> u64 {
        self.rang = false;
        if self.interval == 0 {
            self.due = 0;
            return 1;
        }
        let count = now.saturating_sub(self.due) / self.interval + 1;
        self.due = self.due.saturating_add(count.saturating_mul(self.interval));
        count
    }
}

/// Expirations of all timers, the next one last. Capacity is reserved for one alarm per timer.
#[derive(Debug, Default)]
pub struct Alarms {
    pub(super) pending: Vec<(u64, NodeKey)>,
    pub(super) timers: usize,
}

impl Alarms {
    /// Sets or removes the alarm of a timer.
    pub(super) fn set(&mut self, node: NodeKey, due: u64) {
        self.pending.retain(|(_, other)| *other != node);
        if due != 0 {
            let at = self.pending.partition_point(|(other, _)| *other > due);
            self.pending.insert(at, (due, node));
        }
    }

    /// Removes a closed timer.
    pub(super) fn close(&mut self, node: NodeKey) {
        self.set(node, 0);
        self.timers -= 1;
    }

    /// The earliest time at which a timer expires.
    pub fn next(&self) -> Option<u64> {
        self.pending.last().map(|(due, _)| *due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expirations_are_counted_from_the_first_that_nobody_read() {
        let mut timer = Timer { base: Base::Monotonic, due: 100, interval: 10, rang: true };
        assert_eq!(timer.setting(90), [10, 10]);
        assert_eq!(timer.setting(135), [5, 10]);
        assert_eq!(timer.take(135), 4);
        assert_eq!((timer.due, timer.rang), (140, false));
        let mut once = Timer { interval: 0, rang: true, ..timer };
        assert_eq!((once.setting(150), once.take(150), once.setting(150)), ([0, 0], 1, [0, 0]));
    }
}
