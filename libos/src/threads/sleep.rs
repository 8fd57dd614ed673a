//! Falling asleep and being woken. A thread that sleeps may be in two tables, that of what it waits for and that of its
//! deadline; whoever wakes it takes it out of both.

use super::{Slot, State, Thread, Threads};
use crate::answer::{On, Sleep, Then};

/// Who waits for one file does so as if for a futex at an address that no program can name.
const FILES: u64 = 1 << 63;

impl Threads {
    /// Puts the current thread to sleep. Somebody else must run next.
    pub fn sleep(&mut self, sleep: Sleep) {
        let slot = self.current;
        let thread = self.current();
        thread.state = State::Asleep(sleep.woken, sleep.expired);
        thread.asleep = 1;
        match sleep.on {
            On::Time => {}
            On::Futex(address, bits) => self.futexes.insert(slot, address, bits),
            On::File(file) => self.futexes.insert(slot, FILES | u64::from(file), u32::MAX),
            On::Files => self.files.push(slot),
        }
        if let Some(deadline) = sleep.deadline {
            self.timers.insert(slot, deadline);
        }
    }

    /// Wakes up to `count` threads that wait at a futex for one of `bits`, and tells how many.
    pub fn wake_futex(&mut self, address: u64, bits: u32, count: u32) -> u32 {
        let mut woken = 0;
        while woken < count
            && let Some(slot) = self.futexes.take(address, bits)
        {
            self.wake(slot);
            woken += 1;
        }
        woken
    }

    /// Lets up to `count` threads that wait at one futex wait at another, and tells how many.
    pub fn move_futex(&mut self, from: u64, to: u64, count: u32) -> u32 {
        let mut moved = 0;
        while from != to
            && moved < count
            && let Some(slot) = self.futexes.take(from, u32::MAX)
        {
            self.futexes.insert(slot, to, u32::MAX);
            moved += 1;
        }
        moved
    }

    /// Wakes every thread that waits for this file only.
    pub fn wake_file(&mut self, file: u32) {
        self.wake_futex(FILES | u64::from(file), u32::MAX, u32::MAX);
    }

    /// Wakes every thread that waits for one file only, whichever.
    pub fn wake_every_file(&mut self) {
        while let Some(slot) = self.futexes.take_from(FILES) {
            self.wake(slot);
        }
    }

    /// Wakes every thread that waits for files of any number.
    pub fn wake_files(&mut self) {
        while let Some(slot) = self.files.pop() {
            self.wake(slot);
        }
    }

    /// What a thread waited for has come about.
    pub fn wake(&mut self, slot: Slot) {
        self.timers.remove(slot);
        if self.rouse(slot, |woken, _| woken) {
            self.ready.push_back(slot);
        }
    }

    /// If the thread sleeps, its call ends because of a signal.
    pub fn interrupt(&mut self, slot: Slot) {
        let Some(Some(thread)) = self.slots.get_mut(slot.index()) else { return };
        if let State::Asleep(..) = thread.state {
            self.timers.remove(slot);
            self.futexes.remove(slot);
            self.files.retain(|waiting| *waiting != slot);
            thread.asleep = 0;
            thread.state = State::Ready;
            thread.interrupt();
            self.ready.push_back(slot);
        }
    }

    /// The first thread of which this holds.
    pub fn willing(&self, holds: impl Fn(&Thread) -> bool) -> Option<u32> {
        self.slots.iter().flatten().find(|thread| holds(thread)).map(|thread| thread.id)
    }

    /// The signals that wait with any thread.
    pub fn all_pending(&self) -> u64 {
        self.slots.iter().flatten().fold(0, |signals, thread| signals | thread.pending)
    }

    /// Those of them that their threads block.
    pub fn all_blocked(&self) -> u64 {
        self.slots.iter().flatten().fold(0, |signals, thread| signals | thread.pending & thread.blocked)
    }

    /// Takes the first signal of this set that waits with a thread which blocks it.
    pub fn take_blocked(&mut self, set: u64) -> Option<u32> {
        self.slots.iter_mut().flatten().find_map(|thread| {
            let due = thread.pending & thread.blocked & set;
            // The lowest bit.
            thread.pending &= !(due & due.wrapping_neg());
            (due != 0).then(|| due.trailing_zeros() + 1)
        })
    }

    /// A thread's time is over.
    fn expire(&mut self, slot: Slot) {
        self.futexes.remove(slot);
        self.files.retain(|waiting| *waiting != slot);
        if self.rouse(slot, |_, expired| expired) {
            self.put_in_time(slot);
        }
    }

    /// Lets a thread that sleeps be ready, in whatever turn; whether it slept.
    fn rouse(&mut self, slot: Slot, choose: fn(Then, Then) -> Then) -> bool {
        let Some(Some(thread)) = self.slots.get_mut(slot.index()) else { return false };
        let State::Asleep(woken, expired) = thread.state else { return false };
        thread.asleep = 0;
        thread.state = match choose(woken, expired) {
            Then::Again => State::Again,
            Then::Return(result) => {
                thread.end_call(result);
                State::Ready
            }
        };
        true
    }

    /// Makes threads ready whose time has come.
    pub(super) fn expire_due(&mut self) {
        if self.timers.earliest().is_none() {
            return;
        }
        let now = husk::clock::monotonic_ns();
        while let Some(slot) = self.timers.expire(now) {
            self.expire(slot);
        }
    }
}
