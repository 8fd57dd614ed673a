//! Files to read signals from: signalfd(2).
//!
//! Such a file is ready while a signal of its set waits because all who could take it block it. One that was sent to a
//! certain thread can be read by every thread: so nobody sees a file be ready that has nothing for them.

use super::{Origin, bit};
use crate::answer::Answer;
use crate::errno::Errno;
use crate::fs::foreign::{Foreign, Owner};
use crate::fs::inode::NodeKey;
use crate::fs::poll::Ready;
use crate::fs::watch::wait;
use crate::libos::Libos;
use crate::syscalls::files::{now, settle};
use crate::user::{self, Slice};
use alloc::vec::Vec;
use husk::abi::signals::TOLD;
use linux_raw_sys::general::O_NONBLOCK;

/// Bytes in a `struct signalfd_siginfo`.
const BYTES: u64 = 128;

/// A file to read signals from.
#[derive(Clone, Copy, Debug)]
struct File {
    node: NodeKey,
    /// Which signals; bit n-1 for signal n.
    set: u64,
    /// Those of them that waited when it was last looked.
    waited: u64,
}

/// All of them, by what the files know them by.
#[derive(Debug, Default)]
pub struct SignalFiles(Vec<Option<File>>);

impl SignalFiles {
    /// Whether there are none.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether a signal from outside could be read from one.
    pub fn may_hear(&self) -> bool {
        self.0.iter().flatten().any(|file| TOLD.into_iter().any(|signal| file.set & bit(signal) != 0))
    }

    /// Nobody has this file any more.
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
    /// Makes a file to read the signals of `set` from, with `O_NONBLOCK` and `O_CLOEXEC` of `flags`; or has the one of this
    /// `descriptor` be for that set from now on, if it is not negative. Tells the descriptor.
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

    /// What is known of a descriptor if it stands for such a file.
    pub fn signal_handle(&self, descriptor: i32) -> Result<Option<u32>, Errno> {
        let foreign = self.files.foreign(descriptor)?.filter(|foreign| foreign.owner == Owner::Signal);
        Ok(foreign.map(|foreign| foreign.handle))
    }

    /// read(2) of such a file.
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

    /// Takes a signal of this set that was sent to the program, or else to any thread that blocks it.
    fn take_waiting(&mut self, set: u64) -> Option<u32> {
        let due = self.signals.pending & set;
        if due != 0 {
            let signal = due.trailing_zeros() + 1;
            self.signals.pending &= !bit(signal);
            return Some(signal);
        }
        self.threads.take_blocked(set)
    }

    /// Tells who waits for such files what they are ready for.
    #[cold]
    pub(super) fn tell_signal_files(&mut self) {
        let waiting = self.signals.pending | self.threads.all_blocked();
        let Self { files, net, signals, threads, .. } = self;
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
        settle(files, net, signals, threads);
    }
}

impl Origin {
    /// `struct signalfd_siginfo` of the signal.
    fn for_file(self, signal: u32) -> [u32; BYTES as usize / 4] {
        let mut words = [0; BYTES as usize / 4];
        let [low, high] = [self.value as u32, (self.value >> 32) as u32];
        // Of a timer, `sender` is the number, which has a place of its own.
        let (process, timer) = if self.is_of_timer() { (0, self.sender) } else { (self.sender, 0) };
        let told = [signal, 0, self.code as u32, process, 0, 0, timer, 0, self.overrun, 0, 0, low, low, high];
        words.iter_mut().zip(told).for_each(|(word, told)| *word = told);
        words
    }
}
