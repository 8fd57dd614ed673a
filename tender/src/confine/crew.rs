//! The threads of the tender, from their creation until each is inside its filter.
//!
//! A guest of spt shares the address space: a thread that has not entered its filter when the guest runs would execute,
//! unfiltered, whatever the guest writes to its stack. So threads are made by `Crew::spawn` alone (the lints of this crate
//! refuse `std::thread`'s own constructors), and a machine runs only with a [`Confined`], which [`Crew::confine_processor`]
//! returns when the kernel has put all of them into one filter at once, in a process with a guest in it, or else after every
//! one of them has confirmed that it is inside its own.

#![expect(unsafe_code, reason = "the signal mask of a thread")]

use super::calls::{self, Feature};
use super::descriptors::Descriptors;
use super::error::Error;
use super::filter::{self, Program};
use super::plan::Plan;
use super::sentinel;
use crate::host::signals::{self, Duty};
use libc::sock_filter;
use std::ffi::{CStr, CString};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread::Builder;

/// The threads of a process that has given up its privileges.
#[derive(Debug)]
pub struct Crew {
    /// Open files with their purposes. A filter uses those that are known when it is made.
    pub descriptors: Descriptors,
    plan: Plan,
    roll: Arc<Roll>,
    /// Threads that have been made.
    spawned: usize,
    duty: Option<Duty>,
}

/// Proof that every thread of the process is inside its filter.
#[derive(Debug)]
pub struct Confined(());

/// Progress of the threads' confinement, which they share.
#[derive(Debug, Default)]
struct Roll {
    state: Mutex<State>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct State {
    /// Threads that are inside a filter of their own, or ready for the one that all share.
    entered: usize,
    /// Error of a thread that could not enter its filter.
    error: Option<Error>,
    /// True if all threads are inside the filter that they share.
    shared: bool,
}

impl Crew {
    /// Makes a crew with the calling thread as its only one.
    pub(super) fn new(plan: Plan) -> Self {
        Self { descriptors: Descriptors::default(), plan, roll: Arc::default(), spawned: 0, duty: None }
    }

    /// Starts a thread that serves devices. `body` runs once the thread is inside its filter, with all signals but
    /// those of a fault blocked: signals are for the processor's thread. The thread ends with the process.
    pub fn spawn_devices(&mut self, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let own = (!self.plan.is_shared).then(|| Program::new(&self.plan.devices, &[], &self.descriptors));
        self.spawn(c"devices", own, body)
    }

    /// Gives a sentinel this duty, in a process with a guest in it, once all threads are confined.
    pub fn post_sentinel(&mut self, duty: Duty) {
        self.duty = Some(duty);
    }

    /// Starts a thread, which enters its `own` filter, or waits for the shared one.
    fn spawn(
        &mut self,
        name: &'static CStr,
        own: Option<Program>,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), Error> {
        let roll = Arc::clone(&self.roll);
        self.spawned += 1;
        #[cfg(feature = "attack")]
        let delay = super::attack::delay(name.to_str().unwrap_or_default());
        let start = move || {
            #[cfg(feature = "attack")]
            super::attack::pause(delay);
            let Some(program) = own else {
                roll.confirm(Ok(()));
                roll.wait_for_shared();
                return body();
            };
            let result = program.enter();
            let is_confined = result.is_ok();
            roll.confirm(result);
            // The thread that waits for the roll ends the process.
            if is_confined {
                body();
            }
        };
        let (before, name_before) = (block_signals(), rename(name));
        #[expect(clippy::disallowed_methods, reason = "the one place that makes threads")]
        // The thread inherits its name, because naming itself would take a call that its filter does not allow.
        let thread = Builder::new().spawn(start);
        rename(&name_before);
        signals::change_mask(libc::SIG_SETMASK, &before);
        thread.map(drop).map_err(Error::NoThread)
    }

    /// Confines the calling thread, which runs the guest, to the system calls that it makes. `first` are instructions of
    /// the target, which decide before the rest. Returns when every thread is inside a filter.
    pub fn confine_processor(self, first: &[sock_filter]) -> Result<Confined, Error> {
        // This filter is entered at every start, so entering it must be quick.
        let quick = [filter::UNFORESEEN];
        let first = if first.is_empty() { &quick } else { first };
        let duty = self.duty.filter(Duty::is_any);
        let made = |feature: &&&Feature| duty.is_some() || !std::ptr::eq(**feature, &calls::SENTINEL);
        let features: Vec<_> = self.plan.processor.iter().filter(made).copied().collect();
        let program = Program::new(&features, first, &self.descriptors);
        // A C library starts a thread with calls that the filter does not allow: set_robust_list(2), rseq(2), sigaltstack(2).
        if self.plan.is_shared {
            self.roll.wait_for(self.spawned)?;
        }
        match duty {
            Some(duty) => sentinel::start(program, duty)?,
            None if self.plan.is_shared => program.enter_by_all()?,
            None => program.enter()?,
        }
        if self.plan.is_shared {
            self.roll.share();
        } else {
            self.roll.wait_for(self.spawned)?;
        }
        Ok(Confined(()))
    }
}

impl Roll {
    fn confirm(&self, result: Result<(), Error>) {
        self.change(|state| match result {
            Ok(()) => state.entered += 1,
            Err(error) => state.error = Some(error),
        });
    }

    fn share(&self) {
        self.change(|state| state.shared = true);
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner));
        self.changed.notify_all();
    }

    fn wait_for_shared(&self) {
        drop(self.wait_while(|state| !state.shared));
    }

    fn wait_for(&self, threads: usize) -> Result<(), Error> {
        let mut state = self.wait_while(|state| state.entered < threads && state.error.is_none());
        state.error.take().map_or(Ok(()), Err)
    }

    fn wait_while(&self, condition: impl Fn(&State) -> bool) -> MutexGuard<'_, State> {
        let state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        self.changed.wait_while(state, |state| condition(state)).unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names this thread. Returns its previous name.
fn rename(name: &CStr) -> CString {
    let mut before = [0_u8; 16];
    // SAFETY: the buffer has the 16 bytes that PR_GET_NAME writes.
    unsafe { libc::prctl(libc::PR_GET_NAME, before.as_mut_ptr()) };
    // SAFETY: `name` is a NUL-terminated string.
    unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr()) };
    CStr::from_bytes_until_nul(&before).unwrap_or_default().to_owned()
}

/// Blocks all signals but those of a fault for this thread, and so for one that it makes. Returns the previous mask.
fn block_signals() -> libc::sigset_t {
    let mut all = signals::all();
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: the set is a local variable, and the signals exist.
        unsafe { libc::sigdelset(&mut all, signal) };
    }
    signals::change_mask(libc::SIG_SETMASK, &all)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io;

    #[test]
    fn all_are_waited_for() {
        let roll = Arc::new(Roll::default());
        roll.confirm(Ok(()));
        assert!(roll.wait_for(1).is_ok());
        #[expect(clippy::disallowed_methods, reason = "a thread of the test's")]
        let late = {
            let roll = Arc::clone(&roll);
            std::thread::spawn(move || roll.confirm(Ok(())))
        };
        assert!(roll.wait_for(2).is_ok());
        late.join().expect("it does not panic");
    }

    #[test]
    fn a_thread_that_cannot_be_confined_ends_the_start() {
        let roll = Roll::default();
        roll.confirm(Err(Error::NotConfined(io::Error::from_raw_os_error(libc::EINVAL))));
        assert!(roll.wait_for(1).is_err());
    }
}
