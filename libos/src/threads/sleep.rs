//! Sleep and wakeup. A thread that sleeps may be in two tables, one for its event and one for its deadline; a wakeup removes it
//! from both.

use super::{Slot, State, Thread, Threads};
use crate::errno::Errno;
use crate::syscall_result::{Resume, Sleep, WaitFor};

/// Base of the futex addresses that stand for waits on single files; no program can name them.
const FILES: u64 = 1 << 63;
/// Base of those that stand for waits on objects of System V, likewise.
const IPC: u64 = 1 << 62;

impl Threads {
    /// Puts the current thread to sleep. [`Threads::run_next`] must follow.
    pub fn sleep(&mut self, sleep: Sleep) {
        let slot = self.here().current;
        let thread = self.current();
        thread.state = State::Asleep(sleep.woken, sleep.expired);
        thread.asleep = 1;
        match sleep.on {
            WaitFor::Time => {}
            WaitFor::Futex(address, bits) => self.futexes.insert(slot, address, bits),
            WaitFor::File(file) => self.futexes.insert(slot, FILES | u64::from(file), u32::MAX),
            WaitFor::Files => self.files.push(slot),
            WaitFor::Ipc(object) => self.futexes.insert(slot, IPC | object, u32::MAX),
        }
        if let Some(deadline) = sleep.deadline {
            self.timers.insert(slot, deadline);
        }
    }

    /// Wakes up to `count` threads that wait at a futex for one of `bits`, and returns their number.
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

    /// Number of the first thread that waits at a futex; true if no other does.
    pub fn first_at(&mut self, address: u64) -> Option<(u32, bool)> {
        let (slot, is_last) = self.futexes.first(address)?;
        let thread = self.slots.get(slot.index())?.as_ref()?;
        Some((thread.id, is_last))
    }

    /// Futex at which the thread with this number waits, and the bits that it waits for.
    pub fn futex_wait_of(&mut self, id: u32) -> Option<(u64, u32)> {
        let (slot, _) = self.find(id)?;
        self.futexes.wait_of(slot)
    }

    /// The lowest futex from `lowest` on at which a thread waits with bits that are `wanted` there.
    pub fn waited_from(&self, lowest: u64, wanted: impl Fn(u64, u32) -> bool) -> Option<u64> {
        self.futexes.waited_from(lowest, wanted)
    }

    /// Sets the bits of all threads that wait at a futex.
    pub fn set_bits(&mut self, address: u64, bits: u32) {
        self.futexes.set_bits(address, bits);
    }

    /// Requeues up to `count` threads from one futex to another, and returns their number.
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

    /// Wakes the threads that wait for this file only.
    pub fn wake_file(&mut self, file: u32) {
        self.wake_futex(FILES | u64::from(file), u32::MAX, u32::MAX);
    }

    /// Returns true if a thread waits for this file only.
    pub fn is_file_awaited(&mut self, file: u32) -> bool {
        self.futexes.first(FILES | u64::from(file)).is_some()
    }

    /// Wakes the threads that wait for an object of System V.
    pub fn wake_ipc(&mut self, object: u64) {
        self.wake_futex(IPC | object, u32::MAX, u32::MAX);
    }

    /// Ends the calls of the threads that wait for an object of System V with an error.
    pub fn end_ipc(&mut self, object: u64, errno: Errno) {
        while let Some(slot) = self.futexes.take(IPC | object, u32::MAX) {
            if let Some(Some(thread)) = self.slots.get_mut(slot.index())
                && let State::Asleep(woken, _) = &mut thread.state
            {
                *woken = Resume::Return(errno.to_result());
            }
            self.wake(slot);
        }
    }

    /// Returns true if the thread with this number waits for an object of System V.
    pub fn waits_for_ipc(&mut self, thread: u32, object: u64) -> bool {
        self.futex_wait_of(thread).is_some_and(|(address, _)| address == IPC | object)
    }

    /// Wakes the threads that wait for a single file, whichever.
    pub fn wake_every_file(&mut self) {
        while let Some(slot) = self.futexes.take_from(FILES) {
            self.wake(slot);
        }
    }

    /// Wakes the threads that wait for files of any number.
    pub fn wake_files(&mut self) {
        while let Some(slot) = self.files.pop() {
            self.wake(slot);
        }
    }

    /// Wakes a thread after the event that it waited for.
    pub fn wake(&mut self, slot: Slot) {
        self.timers.remove(slot);
        if self.make_runnable(slot, |woken, _| woken) {
            self.ready.push_back(slot);
        }
    }

    /// Wakes the thread with this number, if it still is there, after the event that it waited for.
    pub fn wake_thread(&mut self, id: u32) {
        if let Some((slot, _)) = self.find(id) {
            self.wake(slot);
        }
    }

    /// Ends the call of a sleeping thread because of a signal.
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

    /// Number of the first thread for which `holds` is true.
    pub fn willing(&self, holds: impl Fn(&Thread) -> bool) -> Option<u32> {
        self.slots.iter().flatten().find(|thread| holds(thread)).map(|thread| thread.id)
    }

    /// Signals that are pending for any thread.
    pub fn all_pending(&self) -> u64 {
        self.slots.iter().flatten().fold(0, |signals, thread| signals | thread.pending)
    }

    /// Takes back signals of this set that are pending for threads.
    pub fn forget_pending(&mut self, signals: u64) {
        self.slots.iter_mut().flatten().for_each(|thread| thread.pending &= !signals);
    }

    /// Signals that are pending for threads that block them.
    pub fn all_blocked(&self) -> u64 {
        self.slots.iter().flatten().fold(0, |signals, thread| signals | thread.pending & thread.blocked)
    }

    /// Takes the first signal of this set that is pending for a thread that blocks it.
    pub fn take_blocked(&mut self, set: u64) -> Option<u32> {
        self.slots.iter_mut().flatten().find_map(|thread| {
            let due = thread.pending & thread.blocked & set;
            // The lowest bit.
            thread.pending &= !(due & due.wrapping_neg());
            (due != 0).then(|| due.trailing_zeros() + 1)
        })
    }

    /// Handles the expired deadline of a thread.
    fn expire(&mut self, slot: Slot) {
        self.futexes.remove(slot);
        self.files.retain(|waiting| *waiting != slot);
        if self.make_runnable(slot, |_, expired| expired) {
            self.put_in_time(slot);
        }
    }

    /// Makes a sleeping thread ready, without queueing it; returns true if it slept.
    fn make_runnable(&mut self, slot: Slot, choose: fn(Resume, Resume) -> Resume) -> bool {
        let Some(Some(thread)) = self.slots.get_mut(slot.index()) else { return false };
        let State::Asleep(woken, expired) = thread.state else { return false };
        thread.asleep = 0;
        thread.state = match choose(woken, expired) {
            Resume::Restart => State::Restart,
            Resume::Return(result) => {
                thread.end_call(result);
                State::Ready
            }
        };
        true
    }

    /// Makes the threads with an expired deadline ready.
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
