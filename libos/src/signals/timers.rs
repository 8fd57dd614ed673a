//! Timers that send the program signals: alarm(2), setitimer(2), timer_create(2).
//!
//! No interrupt fires: code that answers a call, or ends a time slice, first handles the timers that are due ([`Signals::poll`]),
//! and the guest sleeps at most until the next. The due time of timers that count processor time is moved by the time slept.

use super::action::{FROM_TIMER, Origin};
use super::{Signals, bit};
use crate::clock::{self, Base};
use crate::errno::Errno;
use crate::threads::Threads;
use alloc::vec::Vec;
use linux_raw_sys::general::{SI_KERNEL, SIGALRM, SIGPROF, SIGVTALRM};

/// Most timers of a program: the number of signals that Linux's default limit allows to be queued on a small machine.
const TIMERS_MAXIMUM: usize = 1024;

/// Time left and interval, in nanoseconds.
pub type Setting = [u64; 2];

/// Kind of time that a timer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// Elapsed time.
    All,
    /// Time in which not all threads wait.
    Processor,
}

/// The timers of setitimer(2) by their numbers there: the signal of each, and the time it counts. There is no system time to
/// count apart from the program's.
const OF_PROCESS: [(u32, Counted); 3] =
    [(SIGALRM, Counted::All), (SIGVTALRM, Counted::Processor), (SIGPROF, Counted::Processor)];

/// Effect of an expiration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// Signal to send; none if 0.
    pub signal: u32,
    /// Thread that gets the signal; any if `None`.
    pub thread: Option<u32>,
    /// Origin of the signal, without its overrun.
    pub origin: Origin,
}

/// Timer of the program. Times are monotonic, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    notice: Notice,
    /// Clock of its absolute times.
    pub base: Base,
    /// Kind of time that the timer counts.
    pub counted: Counted,
    /// The next expiration; 0 if the timer is disarmed.
    due: u64,
    /// Time between expirations; 0 for a single one.
    interval: u64,
    /// Expirations without a signal because that of the one before was still pending.
    pub overrun: u32,
}

impl Timer {
    fn new(base: Base, counted: Counted, notice: Notice) -> Self {
        Self { notice, base, counted, due: 0, interval: 0, overrun: 0 }
    }

    /// Setting at `now`.
    pub fn setting(&self, now: u64) -> Setting {
        // A timer that is due and has not expired yet has no time left, but 0 would mean that it is disarmed.
        let left = if self.due == 0 { 0 } else { self.due.saturating_sub(now).max(1) };
        [left, self.interval]
    }

    /// Takes the expirations until `now`, of which there is at least one, and returns their count.
    fn expire(&mut self, now: u64) -> u32 {
        let more = now.saturating_sub(self.due).checked_div(self.interval).unwrap_or(0);
        let passed = self.interval.saturating_mul(more.saturating_add(1));
        self.due = if self.interval == 0 { 0 } else { self.due.saturating_add(passed) };
        u32::try_from(more).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// The program's timers.
#[derive(Debug, Default)]
pub struct Timers {
    /// Timers of setitimer(2), once one is used, come first; the others' indices are their numbers plus the number of these.
    slots: Vec<Option<Timer>>,
    /// Time of the next expiration; 0 if there is none.
    next: u64,
}

impl Timers {
    /// Returns true if a timer is due.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.next != 0 && husk::clock::monotonic_ns() >= self.next
    }

    /// Time of the next expiration.
    #[inline]
    pub fn next(&self) -> Option<u64> {
        (self.next != 0).then_some(self.next)
    }

    /// Time of the next expiration if all threads wait until then.
    pub fn next_in_sleep(&self) -> Option<u64> {
        self.next()?;
        let sleepless = self.slots.iter().flatten().filter(|timer| timer.counted == Counted::All);
        sleepless.map(|timer| timer.due).filter(|due| *due != 0).min()
    }

    /// Accounts for `ns` nanoseconds in which all threads have waited.
    pub fn slept(&mut self, ns: u64) {
        if self.next == 0 {
            return;
        }
        let counting = self.slots.iter_mut().flatten().filter(|timer| timer.counted == Counted::Processor);
        counting.filter(|timer| timer.due != 0).for_each(|timer| timer.due = timer.due.saturating_add(ns));
        self.look();
    }

    /// The timer with this number.
    pub fn get(&self, number: u32) -> Result<&Timer, Errno> {
        self.slots.get(place(number)).and_then(Option::as_ref).ok_or(Errno::EINVAL)
    }

    /// Makes a disarmed timer, and returns its number, with which `notice` is called.
    pub fn make(&mut self, base: Base, counted: Counted, notice: impl FnOnce(u32) -> Notice) -> Result<u32, Errno> {
        self.reserve_those_of_process()?;
        let at = match self.slots.iter().skip(OF_PROCESS.len()).position(Option::is_none) {
            Some(free) => place(free as u32),
            None if self.slots.len() >= TIMERS_MAXIMUM => return Err(Errno::EAGAIN),
            None => {
                self.slots.try_reserve(1).map_err(|_| Errno::EAGAIN)?;
                self.slots.push(None);
                self.slots.len() - 1
            }
        };
        let number = (at - OF_PROCESS.len()) as u32;
        if let Some(slot) = self.slots.get_mut(at) {
            *slot = Some(Timer::new(base, counted, notice(number)));
        }
        Ok(number)
    }

    /// Removes a timer.
    pub fn remove(&mut self, number: u32) -> Result<(), Errno> {
        self.get(number)?;
        if let Some(slot) = self.slots.get_mut(place(number)) {
            *slot = None;
        }
        self.look();
        Ok(())
    }

    /// Sets a timer's first expiration to a monotonic time, 0 for never; returns the former setting.
    pub fn set(&mut self, number: u32, due: u64, interval: u64, now: u64) -> Result<Setting, Errno> {
        self.get(number)?;
        Ok(self.set_slot(place(number), due, interval, now))
    }

    /// Sets a timer of setitimer(2); EINVAL if there is no timer `which`.
    pub fn set_of_process(&mut self, which: u32, [left, interval]: Setting, now: u64) -> Result<Setting, Errno> {
        self.reserve_those_of_process()?;
        let at = check_of_process(which)?;
        let due = if left == 0 { 0 } else { now.saturating_add(left) };
        Ok(self.set_slot(at, due, interval, now))
    }

    /// Setting of a timer of setitimer(2); EINVAL if there is no timer `which`.
    pub fn of_process(&self, which: u32, now: u64) -> Result<Setting, Errno> {
        let timer = self.slots.get(check_of_process(which)?).and_then(Option::as_ref);
        Ok(timer.map_or([0; 2], |timer| timer.setting(now)))
    }

    fn reserve_those_of_process(&mut self) -> Result<(), Errno> {
        if self.slots.is_empty() {
            self.slots.try_reserve(OF_PROCESS.len()).map_err(|_| Errno::ENOMEM)?;
            let origin = Origin { code: SI_KERNEL as i32, sender: 0, user_or_overrun: 0, value: 0 };
            for (signal, counted) in OF_PROCESS {
                self.slots.push(Some(Timer::new(Base::Monotonic, counted, Notice { signal, thread: None, origin })));
            }
        }
        Ok(())
    }

    fn set_slot(&mut self, at: usize, due: u64, interval: u64, now: u64) -> Setting {
        let Some(Some(timer)) = self.slots.get_mut(at) else { return [0; 2] };
        let before = timer.setting(now);
        // A timer that is not set has no interval.
        (timer.due, timer.interval, timer.overrun) = (due, if due == 0 { 0 } else { interval }, 0);
        self.look();
        before
    }

    /// Updates the time of the next expiration.
    fn look(&mut self) {
        let due = self.slots.iter().flatten().map(|timer| timer.due);
        self.next = due.filter(|due| *due != 0).min().unwrap_or(0);
    }
}

/// Index of the timer with this number.
fn place(number: u32) -> usize {
    (number as usize).saturating_add(OF_PROCESS.len())
}

fn check_of_process(which: u32) -> Result<usize, Errno> {
    if (which as usize) < OF_PROCESS.len() { Ok(which as usize) } else { Err(Errno::EINVAL) }
}

impl Signals {
    /// Handles the timers that are due.
    #[cold]
    pub(super) fn ring(&mut self, threads: &mut Threads) {
        let now = husk::clock::monotonic_ns();
        for at in 0..self.timers.slots.len() {
            let Some(Some(timer)) = self.timers.slots.get_mut(at) else { continue };
            if timer.due == 0 || timer.due > now {
                continue;
            }
            let (count, notice) = (timer.expire(now), timer.notice);
            if notice.signal == 0 {
                continue;
            }
            let waits = match notice.thread {
                Some(thread) => threads.find(thread).map_or(0, |(_, thread)| thread.pending),
                None => self.pending | threads.all_pending(),
            } & bit(notice.signal)
                != 0;
            timer.overrun = if waits { timer.overrun.saturating_add(count) } else { count - 1 };
            let origin = Origin { user_or_overrun: timer.overrun, ..notice.origin };
            self.set_origin(notice.signal, origin);
            match notice.thread {
                // The thread may be gone; its signal is dropped then.
                Some(thread) => drop(self.send(threads, thread, notice.signal)),
                None if waits => {}
                None => self.send_to_any(threads, notice.signal),
            }
        }
        self.timers.look();
    }
}

impl Notice {
    /// Returns the signal of the timer with this number, if the program wants one.
    pub fn of_timer(signal: u32, thread: Option<u32>, number: u32, value: u64) -> Self {
        Self { signal, thread, origin: Origin { code: FROM_TIMER, sender: number, user_or_overrun: 0, value } }
    }
}

/// First expiration, as a monotonic time, of a timer of `base` set to `time`; 0 if there is none.
pub fn due(base: Base, time: u64, absolute: bool, now: u64) -> u64 {
    match (time, absolute) {
        (0, _) => 0,
        (time, true) => clock::to_monotonic(base, time).max(1),
        (time, false) => now.saturating_add(time),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use linux_raw_sys::general::{ITIMER_PROF, ITIMER_REAL};

    fn timer(due: u64, interval: u64) -> Timer {
        let notice = Notice::of_timer(0, None, 0, 0);
        Timer { due, interval, ..Timer::new(Base::Monotonic, Counted::All, notice) }
    }

    #[test]
    fn expirations_are_counted_and_the_next_one_lies_ahead() {
        let mut steady = timer(100, 10);
        assert_eq!((steady.expire(100), steady.due), (1, 110));
        assert_eq!((steady.expire(139), steady.due), (3, 140));
        assert_eq!(steady.setting(135), [5, 10]);
        assert_eq!(steady.setting(140), [1, 10]);
        let mut once = timer(100, 0);
        assert_eq!((once.expire(500), once.due, once.setting(500)), (1, 0, [0, 0]));
        let mut busy = timer(1, 1);
        assert_eq!(busy.expire(u64::MAX), u32::MAX);
    }

    #[test]
    fn numbers_are_given_again() {
        let mut timers = Timers::default();
        let notice = |number| Notice::of_timer(1, None, number, 0);
        assert_eq!(timers.make(Base::Monotonic, Counted::All, notice), Ok(0));
        assert_eq!(timers.make(Base::Monotonic, Counted::All, notice), Ok(1));
        assert_eq!(timers.set(1, 50, 0, 10), Ok([0, 0]));
        assert_eq!(timers.set_of_process(ITIMER_REAL, [20, 0], 10), Ok([0, 0]));
        assert_eq!(timers.next(), Some(30));
        assert_eq!((timers.remove(0), timers.remove(0)), (Ok(()), Err(Errno::EINVAL)));
        assert_eq!(timers.make(Base::Monotonic, Counted::All, notice), Ok(0));
        assert_eq!(timers.set_of_process(ITIMER_REAL, [0, 0], 15), Ok([15, 0]));
        assert_eq!(timers.next(), Some(50));
        assert!(timers.get(u32::MAX).is_err());
    }

    #[test]
    fn processor_time_stands_still_in_sleep() {
        let mut timers = Timers::default();
        assert_eq!(timers.set_of_process(ITIMER_PROF, [20, 5], 100), Ok([0, 0]));
        assert_eq!((timers.next(), timers.next_in_sleep()), (Some(120), None));
        timers.slept(1000);
        assert_eq!((timers.next(), timers.of_process(ITIMER_PROF, 1100)), (Some(1120), Ok([20, 5])));
        assert_eq!(timers.set_of_process(ITIMER_REAL, [40, 0], 1100), Ok([0, 0]));
        assert_eq!((timers.next(), timers.next_in_sleep()), (Some(1120), Some(1140)));
        timers.slept(30);
        assert_eq!(timers.next(), Some(1140));
        assert_eq!(timers.set_of_process(3, [1, 0], 0), Err(Errno::EINVAL));
    }
}
