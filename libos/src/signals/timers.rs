//! Timers that send the program signals: alarm(2), setitimer(2), timer_create(2).
//!
//! Nobody rings: whoever answers a call, or ends a turn, first lets those expire that are due ([`Libos::hear`]), and the
//! guest sleeps no longer than until the next. Those that count processor time are put off by what it slept.

use super::{Origin, bit};
use crate::clock::{self, Base};
use crate::errno::Errno;
use crate::libos::Libos;
use alloc::vec::Vec;
use linux_raw_sys::general::{SI_KERNEL, SIGALRM, SIGPROF, SIGVTALRM};

/// Most timers of a program, as many signals as Linux's default limit has waiting in a small machine.
const TIMERS_MAXIMUM: usize = 1024;

/// `SI_TIMER`, which the bindings have as an unsigned number.
pub(super) const FROM_TIMER: i32 = -2;

/// Time left and interval, in nanoseconds.
pub type Setting = [u64; 2];

/// Which time a timer counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Counted {
    /// All that passes.
    All,
    /// That in which not all threads wait.
    Processor,
}

/// The timers of setitimer(2) by their numbers there: the signal of each, and what it counts. The system has no time of
/// its own that the program could be spared.
const OF_PROCESS: [(u32, Counted); 3] =
    [(SIGALRM, Counted::All), (SIGVTALRM, Counted::Processor), (SIGPROF, Counted::Processor)];

/// What a timer does when it expires.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notice {
    /// The signal that it sends; none if 0.
    pub signal: u32,
    /// The thread that gets it; whoever takes it if none.
    pub thread: Option<u32>,
    /// Where it comes from, its overrun aside.
    pub origin: Origin,
}

/// A timer. Times are monotonic, in nanoseconds.
#[derive(Clone, Copy, Debug)]
pub struct Timer {
    notice: Notice,
    /// What its absolute times are measured by.
    pub base: Base,
    /// Which time it counts.
    pub counted: Counted,
    /// The next expiration; 0 if there is none.
    due: u64,
    /// Time from one expiration to the next; 0 if there is only one.
    interval: u64,
    /// Expirations that came to nothing because the signal of the one before had not been taken.
    pub overrun: u32,
}

impl Timer {
    fn new(base: Base, counted: Counted, notice: Notice) -> Self {
        Self { notice, base, counted, due: 0, interval: 0, overrun: 0 }
    }

    /// What is set at `now`.
    pub fn setting(&self, now: u64) -> Setting {
        // One that is due and has not expired yet has no time left, which would mean that it is not set.
        let left = if self.due == 0 { 0 } else { self.due.saturating_sub(now).max(1) };
        [left, self.interval]
    }

    /// Takes the expirations until `now`, of which there is one at least.
    fn expire(&mut self, now: u64) -> u32 {
        let more = now.saturating_sub(self.due).checked_div(self.interval).unwrap_or(0);
        let passed = self.interval.saturating_mul(more.saturating_add(1));
        self.due = if self.interval == 0 { 0 } else { self.due.saturating_add(passed) };
        u32::try_from(more).unwrap_or(u32::MAX).saturating_add(1)
    }
}

/// All timers.
#[derive(Debug, Default)]
pub struct Timers {
    /// Those of setitimer(2), once one is used, come first; the others' places are their numbers plus as many.
    slots: Vec<Option<Timer>>,
    /// When the next one expires; 0 if none does.
    next: u64,
}

impl Timers {
    /// Whether one has to expire.
    #[inline]
    pub fn is_due(&self) -> bool {
        self.next != 0 && husk::clock::monotonic_ns() >= self.next
    }

    /// When the next one expires.
    #[inline]
    pub fn next(&self) -> Option<u64> {
        (self.next != 0).then_some(self.next)
    }

    /// The same if all threads wait until then.
    pub fn next_in_sleep(&self) -> Option<u64> {
        self.next()?;
        let sleepless = self.slots.iter().flatten().filter(|timer| timer.counted == Counted::All);
        sleepless.map(|timer| timer.due).filter(|due| *due != 0).min()
    }

    /// All threads have waited for so long, in nanoseconds.
    pub fn slept(&mut self, ns: u64) {
        if self.next == 0 {
            return;
        }
        let counting = self.slots.iter_mut().flatten().filter(|timer| timer.counted == Counted::Processor);
        counting.filter(|timer| timer.due != 0).for_each(|timer| timer.due = timer.due.saturating_add(ns));
        self.look();
    }

    /// The timer of this number.
    pub fn get(&self, number: u32) -> Result<&Timer, Errno> {
        self.slots.get(place(number)).and_then(Option::as_ref).ok_or(Errno::EINVAL)
    }

    /// Makes a timer, told its number, and tells the number. It is not set.
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

    /// Sets a timer to expire first at a monotonic time, 0 for never; tells what was set.
    pub fn set(&mut self, number: u32, due: u64, interval: u64, now: u64) -> Result<Setting, Errno> {
        self.get(number)?;
        Ok(self.set_slot(place(number), due, interval, now))
    }

    /// The same for one of setitimer(2); EINVAL if `which` is none.
    pub fn set_of_process(&mut self, which: u32, [left, interval]: Setting, now: u64) -> Result<Setting, Errno> {
        self.reserve_those_of_process()?;
        let at = check_of_process(which)?;
        let due = if left == 0 { 0 } else { now.saturating_add(left) };
        Ok(self.set_slot(at, due, interval, now))
    }

    /// What one of setitimer(2) is set to; EINVAL if `which` is none.
    pub fn of_process(&self, which: u32, now: u64) -> Result<Setting, Errno> {
        let timer = self.slots.get(check_of_process(which)?).and_then(Option::as_ref);
        Ok(timer.map_or([0; 2], |timer| timer.setting(now)))
    }

    fn reserve_those_of_process(&mut self) -> Result<(), Errno> {
        if self.slots.is_empty() {
            self.slots.try_reserve(OF_PROCESS.len()).map_err(|_| Errno::ENOMEM)?;
            let origin = Origin { code: SI_KERNEL as i32, sender: 0, overrun: 0, value: 0 };
            for (signal, counted) in OF_PROCESS {
                self.slots.push(Some(Timer::new(Base::Monotonic, counted, Notice { signal, thread: None, origin })));
            }
        }
        Ok(())
    }

    fn set_slot(&mut self, at: usize, due: u64, interval: u64, now: u64) -> Setting {
        let Some(Some(timer)) = self.slots.get_mut(at) else { return [0; 2] };
        let before = timer.setting(now);
        (timer.due, timer.interval, timer.overrun) = (due, interval, 0);
        self.look();
        before
    }

    /// Looks when the next one expires.
    fn look(&mut self) {
        let due = self.slots.iter().flatten().map(|timer| timer.due);
        self.next = due.filter(|due| *due != 0).min().unwrap_or(0);
    }
}

/// Where the timer of this number is.
fn place(number: u32) -> usize {
    (number as usize).saturating_add(OF_PROCESS.len())
}

fn check_of_process(which: u32) -> Result<usize, Errno> {
    if (which as usize) < OF_PROCESS.len() { Ok(which as usize) } else { Err(Errno::EINVAL) }
}

impl Libos {
    /// Lets the timers whose time has come expire.
    #[cold]
    pub(super) fn ring(&mut self) {
        let now = husk::clock::monotonic_ns();
        for at in 0..self.signals.timers.slots.len() {
            let Some(Some(timer)) = self.signals.timers.slots.get_mut(at) else { continue };
            if timer.due == 0 || timer.due > now {
                continue;
            }
            let (count, notice) = (timer.expire(now), timer.notice);
            if notice.signal == 0 {
                continue;
            }
            let waits = match notice.thread {
                Some(thread) => self.threads.find(thread).map_or(0, |(_, thread)| thread.pending),
                None => self.signals.pending | self.threads.all_pending(),
            } & bit(notice.signal)
                != 0;
            timer.overrun = if waits { timer.overrun.saturating_add(count) } else { count - 1 };
            let origin = Origin { overrun: timer.overrun, ..notice.origin };
            self.signals.set_origin(notice.signal, origin);
            match notice.thread {
                // Nobody misses what was meant for a thread that is gone.
                Some(thread) => drop(self.send_signal(thread, notice.signal)),
                None if waits => {}
                None => self.send_signal_to_any(notice.signal),
            }
        }
        self.signals.timers.look();
    }
}

impl Notice {
    /// The signal of a timer that was made with this number, if the program wants one.
    pub fn of_timer(signal: u32, thread: Option<u32>, number: u32, value: u64) -> Self {
        Self { signal, thread, origin: Origin { code: FROM_TIMER, sender: number, overrun: 0, value } }
    }
}

/// The monotonic time at which a timer of `base` expires first that is set to `time`; 0 if that is never.
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
