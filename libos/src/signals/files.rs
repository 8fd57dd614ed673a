//! Reads of signals as files: signalfd(2). See [`crate::fs::signal`].

use super::{Origin, Signals, bit};
use crate::errno::Errno;
use crate::threads::Threads;
use crate::user::{self, Slice};

/// Bytes in a `struct signalfd_siginfo`.
const BYTES: u64 = 128;

impl Signals {
    /// Takes pending signals of a set, as many as fit, and writes a `struct signalfd_siginfo` for each; EAGAIN if there is none.
    /// Returns the number of bytes.
    pub fn read(&mut self, threads: &mut Threads, set: u64, into: Slice) -> Result<u64, Errno> {
        let count = into.length / BYTES;
        if count == 0 {
            return Err(Errno::EINVAL);
        }
        into.check()?;
        let mut done = 0;
        while done < count
            && let Some(signal) = self.take_waiting(threads, set)
        {
            let origin = self.take_origin(signal);
            user::write(into.address + done * BYTES, &origin.for_file(signal))?;
            done += 1;
        }
        if done == 0 { Err(Errno::EAGAIN) } else { Ok(done * BYTES) }
    }

    /// Takes a signal of this set that is pending for any thread that blocks it, or else for the program.
    fn take_waiting(&mut self, threads: &mut Threads, set: u64) -> Option<u32> {
        if let Some(signal) = threads.take_blocked(set) {
            return Some(signal);
        }
        let due = self.pending & set;
        if due != 0 {
            let signal = due.trailing_zeros() + 1;
            self.pending &= !bit(signal);
            return Some(signal);
        }
        None
    }
}

impl Origin {
    /// Returns the signal's `struct signalfd_siginfo`.
    fn for_file(self, signal: u32) -> [u32; BYTES as usize / 4] {
        let mut words = [0; BYTES as usize / 4];
        let [low, high] = [self.value as u32, (self.value >> 32) as u32];
        // For a timer, `sender` is the timer's number, which has a field of its own.
        let (process, timer) = if self.is_of_timer() { (0, self.sender) } else { (self.sender, 0) };
        let (user, overrun) = if timer == 0 { (self.user_or_overrun, 0) } else { (0, self.user_or_overrun) };
        let told = [signal, 0, self.code as u32, process, user, 0, timer, 0, overrun, 0, 0, low, low, high];
        words.iter_mut().zip(told).for_each(|(word, told)| *word = told);
        words
    }
}
