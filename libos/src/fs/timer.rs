//! Timers as files: timerfd_create(2).
//!
//! An armed timer has an alarm, the time at which it becomes ready. No interrupt fires for it: code that checks files, or
//! sleeps for one, first calls [`Files::ring`] for the alarms that are due, and sleeps at most until the next.

use super::Files;
use super::description::DescriptionKey;
use super::device::Devices;
use super::inode::{Kind, NodeKey, Time, Volume};
use super::poll::Ready;
use super::watch::wait;
use crate::answer::{Answer, Sleep, Stop};
use crate::clock::{self, Base};
use crate::errno::Errno;
use crate::user::{self, Slice};
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// Bytes of a number of expirations.
const BYTES: u64 = size_of::<u64>() as u64;

/// Timer of a timerfd. Times are monotonic, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    base: Base,
    /// The first expiration that has not been read; 0 if the timer is disarmed.
    due: u64,
    /// Time between expirations; 0 for a single one.
    interval: u64,
    /// True if `due` has come.
    rang: bool,
}

/// Time left and interval, in nanoseconds, as in timerfd_settime(2) and timerfd_gettime(2).
pub type Setting = [u64; 2];

impl Timer {
    /// Returns true if the timer has an expiration that has not been read.
    pub fn is_ready(self) -> bool {
        self.rang
    }

    /// Setting at `now`.
    fn setting(self, now: u64) -> Setting {
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
    pending: Vec<(u64, NodeKey)>,
    timers: usize,
}

impl Alarms {
    fn set(&mut self, node: NodeKey, due: u64) {
        self.pending.retain(|(_, other)| *other != node);
        if due != 0 {
            let at = self.pending.partition_point(|(other, _)| *other > due);
            self.pending.insert(at, (due, node));
        }
    }

    /// The earliest time at which a timer expires.
    pub fn next(&self) -> Option<u64> {
        self.pending.last().map(|(due, _)| *due)
    }
}

impl Files {
    /// timerfd_create(2).
    pub fn timer(&mut self, clock: u32, flags: u32, now: Time) -> Result<i32, Errno> {
        let base = match clock {
            linux::CLOCK_MONOTONIC | linux::CLOCK_BOOTTIME | linux::CLOCK_BOOTTIME_ALARM => Base::Monotonic,
            linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_ALARM => Base::Realtime,
            _ => return Err(Errno::EINVAL),
        };
        if flags & !(linux::TFD_CLOEXEC | linux::TFD_NONBLOCK) != 0 {
            return Err(Errno::EINVAL);
        }
        let Alarms { pending, timers } = &mut self.alarms;
        pending.try_reserve(*timers + 1 - pending.len()).map_err(|_| Errno::ENOMEM)?;
        let timer = Timer { base, due: 0, interval: 0, rang: false };
        let node = self.add_node(Kind::Timer(timer), Volume::Nameless, 0o600, now)?;
        self.nodes[node].links = 1;
        self.alarms.timers += 1;
        self.open_node(node, linux::O_RDWR | flags)
    }

    /// timerfd_settime(2); returns the former setting, like timerfd_gettime(2).
    pub fn set_timer(&mut self, descriptor: i32, flags: u32, new: Setting, now: u64) -> Result<Setting, Errno> {
        if flags & !(linux::TFD_TIMER_ABSTIME | linux::TFD_TIMER_CANCEL_ON_SET) != 0 {
            return Err(Errno::EINVAL);
        }
        let node = self.descriptions[self.usable(descriptor)?].node;
        let Kind::Timer(timer) = &mut self.nodes[node].kind else { return Err(Errno::EINVAL) };
        let before = timer.setting(now);
        let [first, interval] = new;
        let due = match first {
            0 => 0,
            first if flags & linux::TFD_TIMER_ABSTIME != 0 => clock::to_monotonic(timer.base, first).max(1),
            first => now.saturating_add(first),
        };
        (timer.due, timer.interval, timer.rang) = (due, interval, false);
        self.alarms.set(node, due);
        // Threads that sleep for the timer, directly or by a set, need a new deadline.
        self.notify(node, Ready::IN);
        self.ring(now);
        Ok(before)
    }

    /// timerfd_gettime(2).
    pub fn timer_setting(&self, descriptor: i32, now: u64) -> Result<Setting, Errno> {
        match &self.nodes[self.descriptions[self.usable(descriptor)?].node].kind {
            Kind::Timer(timer) => Ok(timer.setting(now)),
            _ => Err(Errno::EINVAL),
        }
    }

    /// Marks the timers that are due as ready.
    #[inline]
    pub fn ring(&mut self, now: u64) {
        while self.alarms.next().is_some_and(|due| due <= now)
            && let Some((_, node)) = self.alarms.pending.pop()
        {
            if let Kind::Timer(timer) = &mut self.nodes[node].kind {
                timer.rang = true;
                self.notify(node, Ready::IN);
            }
        }
    }

    /// Time at which the next timer expires.
    #[inline]
    pub fn next_alarm(&self) -> Option<u64> {
        self.alarms.next()
    }

    pub(super) fn read_timer(&mut self, devices: &mut dyn Devices, key: DescriptionKey, into: Slice) -> Answer {
        let description = &self.descriptions[key];
        let (node, nonblocking) = (description.node, description.is_nonblocking());
        let now = devices.monotonic_ns();
        self.ring(now);
        let Kind::Timer(timer) = &mut self.nodes[node].kind else { return Err(Errno::EINVAL.into()) };
        if into.length < BYTES {
            return Err(Errno::EINVAL.into());
        }
        if !timer.rang {
            let deadline = (timer.due != 0).then_some(timer.due);
            return Err(match wait(node) {
                _ if nonblocking => Errno::EAGAIN.into(),
                Stop::Sleep(sleep) => Stop::Sleep(Sleep { deadline, ..sleep }),
                stop => stop,
            });
        }
        let mut read = *timer;
        user::write(into.address, &read.take(now))?;
        *timer = read;
        self.alarms.set(node, read.due);
        Ok(BYTES)
    }

    /// Removes the alarm of a closed timer.
    pub(super) fn timer_closed(&mut self, node: NodeKey) {
        if let Kind::Timer(_) = self.nodes[node].kind {
            self.alarms.set(node, 0);
            self.alarms.timers -= 1;
        }
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
