//! Signals as files: signalfd(2).
//!
//! Such a file is ready while a signal of its set is pending because all threads that could take it block it. A signal sent to
//! a certain thread can be read by every thread, so that no thread sees a file as ready without data for it.

use super::{Origin, bit};
use crate::answer::Answer;
use crate::errno::Errno;
use crate::fs::foreign::{Foreign, Owner};
use crate::fs::inode::NodeKey;
use crate::fs::poll::Ready;
use crate::fs::watch::wait;
use crate::state::{Libos, now};
use crate::user::{self, Slice};
use alloc::vec::Vec;
use husk::abi::signals::TOLD;
use linux_raw_sys::general::O_NONBLOCK;

/// Bytes in a `struct signalfd_siginfo`.
const BYTES: u64 = 128;

/// State of a signalfd.
#[derive(Clone, Copy, Debug)]
struct File {
    node: NodeKey,
    /// Set of signals; bit n-1 for signal n.
    set: u64,
    /// Signals of the set that were pending at the last check.
    waited: u64,
}

/// Signal files, by their handle in the files.
#[derive(Debug, Default)]
pub struct SignalFiles(Vec<Option<File>>);

impl SignalFiles {
    /// Returns true if there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns true if a file's set has a signal that may come from outside.
    pub fn may_hear(&self) -> bool {
        self.0.iter().flatten().any(|file| TOLD.into_iter().any(|signal| file.set & bit(signal) != 0))
    }

    /// Removes a file that is closed.
    pub fn forget(&mut self, handle: u32) {
        if let Some(file) = self.0.get_mut(handle as usize) {
            *file = None;
        }
        while let Some(None) = self.0.last() {
            self.0.pop();
        }
    }

    fn get(&mut self, handle: u32) -> Result<&mut File, Errno> {
        self.0.get_mut(handle as usize).and_then(Option::as_mut).ok_or(Errno::EINVAL)
    }
}

impl Libos {
    /// Makes a file for the signals of `set`, with `O_NONBLOCK` and `O_CLOEXEC` of `flags`; or sets the set of an existing one
    /// if `descriptor` is not negative. Returns the descriptor.
    pub fn signal_file(&mut self, descriptor: i32, set: u64, flags: u32) -> Result<i32, Errno> {
        if descriptor >= 0 {
            let handle = self.signal_handle(descriptor)?.ok_or(Errno::EINVAL)?;
            self.signals.files.get(handle)?.set = set;
            return Ok(descriptor);
        }
        let files = &mut self.signals.files.0;
        let free = files.iter().position(Option::is_none).unwrap_or(files.len());
        files.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let foreign = Foreign { owner: Owner::Signal, handle: free as u32 };
        let (descriptor, node) = self.files.open_foreign(foreign, flags, now())?;
        files.resize(files.len().max(free + 1), None);
        if let Some(slot) = files.get_mut(free) {
            *slot = Some(File { node, set, waited: 0 });
        }
        Ok(descriptor)
    }

    /// Handle of the signal file behind a descriptor, if it is one.
    pub fn signal_handle(&self, descriptor: i32) -> Result<Option<u32>, Errno> {
        let foreign = self.files.foreign(descriptor)?.filter(|foreign| foreign.owner == Owner::Signal);
        Ok(foreign.map(|foreign| foreign.handle))
    }

    /// read(2) of a signal file.
    pub fn read_signals(&mut self, descriptor: i32, handle: u32, into: Slice) -> Answer {
        let File { node, set, .. } = *self.signals.files.get(handle)?;
        let count = into.length / BYTES;
        if count == 0 {
            return Err(Errno::EINVAL.into());
        }
        into.check()?;
        let mut done = 0;
        while done < count
            && let Some(signal) = self.take_waiting(set)
        {
            let origin = self.signals.take_origin(signal);
            user::write(into.address + done * BYTES, &origin.for_file(signal))?;
            done += 1;
        }
        match done {
            0 if self.files.status_flags(descriptor)? & O_NONBLOCK != 0 => Err(Errno::EAGAIN.into()),
            0 => Err(wait(node)),
            _ => Ok(done * BYTES),
        }
    }

    /// Takes a signal of this set that is pending for the program, or else for any thread that blocks it.
    fn take_waiting(&mut self, set: u64) -> Option<u32> {
        let due = self.signals.pending & set;
        if due != 0 {
            let signal = due.trailing_zeros() + 1;
            self.signals.pending &= !bit(signal);
            return Some(signal);
        }
        self.threads.take_blocked(set)
    }

    /// Updates the readiness of signal files.
    #[cold]
    pub fn tell_signal_files(&mut self) {
        let waiting = self.signals.pending | self.threads.all_blocked();
        let Self { files, signals, .. } = self;
        for file in signals.files.0.iter_mut().flatten() {
            let waits = waiting & file.set;
            if waits == file.waited {
                continue;
            }
            let ready = if waits == 0 { Ready::empty() } else { Ready::IN };
            let news = if waits & !file.waited == 0 { Ready::empty() } else { Ready::IN };
            file.waited = waits;
            files.set_ready(file.node, ready, news);
        }
        self.settle();
    }
}

impl Origin {
    /// Returns the signal's `struct signalfd_siginfo`.
    fn for_file(self, signal: u32) -> [u32; BYTES as usize / 4] {
        let mut words = [0; BYTES as usize / 4];
        let [low, high] = [self.value as u32, (self.value >> 32) as u32];
        // For a timer, `sender` is the timer's number, which has a field of its own.
        let (process, timer) = if self.is_of_timer() { (0, self.sender) } else { (self.sender, 0) };
        let told = [signal, 0, self.code as u32, process, 0, 0, timer, 0, self.overrun, 0, 0, low, low, high];
        words.iter_mut().zip(told).for_each(|(word, told)| *word = told);
        words
    }
}
