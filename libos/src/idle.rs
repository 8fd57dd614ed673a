//! Wait of a processor without a thread to run: what it is for, and until when.

use crate::arch;
use crate::fs::device::Input;
use crate::signals;
use crate::state::Libos;
use alloc::vec::Vec;
use husk::abi::call::News;
use husk::wait::{Source, Wait};

/// A processor that waits for events.
#[derive(Debug)]
pub struct Idle {
    /// The wait, in steps.
    pub wait: Wait,
    /// Monotonic time of its begin, in nanoseconds.
    pub since: u64,
}

impl Libos {
    /// Begins to wait, when no thread can run, for a deadline, an event that threads wait for, or a signal. If none of these can
    /// ever occur, the program ends here.
    pub fn begin_wait(&mut self) -> Idle {
        let since = husk::clock::monotonic_ns();
        let input = self.files.input == Input::Wanted && self.ending.is_none();
        let deadline = match self.ending {
            Some((_, ended)) => match self.net.drains_until(ended) {
                None if self.folders.unmount() => None,
                drained => Some(drained.unwrap_or(since)),
            },
            None => self.threads.deadline().into_iter().chain(self.signals.timers.next_in_sleep()).min(),
        };
        let expected = input || self.net.expects() || self.disks.busy() || self.folders.busy();
        if deadline.is_none() && !expected && !self.signals_expected() && !self.folders.unmount() {
            husk::process::deadlock();
        }
        let timer = self.net.device().and_then(|device| device.stack.deadline());
        let deadline = deadline.into_iter().chain(timer).min().unwrap_or(u64::MAX);
        let news = if input { News::INPUT } else { News::empty() };
        let mut idle = Idle { wait: Wait::new(news, deadline), since };
        self.with_sources(|sources| {
            if !sources.is_empty() {
                idle.wait.start(sources);
            }
        });
        idle
    }

    /// Calls `code` with the devices that a wait is for.
    pub fn with_sources<T>(&mut self, code: impl FnOnce(&mut [&mut dyn Source]) -> T) -> T {
        let network = self.net.device().map(|device| device.wire.source());
        match (network, self.disks.busy() || self.folders.busy()) {
            (None, false) => code(&mut []),
            (Some(network), false) => code(&mut [network]),
            (network, true) => {
                let others = self.disks.sources().into_iter().chain(self.folders.sources());
                code(&mut network.into_iter().chain(others).collect::<Vec<_>>())
            }
        }
    }

    /// Returns true if a signal is pending, or the program counts on one.
    fn signals_expected(&mut self) -> bool {
        arch::signals_posted()
            || self.signals.awaited(self.files.signals_of_files())
            || self.threads.any(signals::waits)
    }
}
