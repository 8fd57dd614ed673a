//! The threads of the tender, from their creation until each is inside its filter.
//!
//! A guest of spt shares the address space: a thread that has not entered its filter when the guest runs would execute,
//! unfiltered, whatever the guest writes to its stack. So threads are made by `Crew::spawn` alone (the lints of this crate
//! refuse `std::thread`'s own constructors), and a machine runs only with a [`Confined`], which [`Crew::confine_processor`]
//! returns after every one of them has confirmed.

#![expect(unsafe_code, reason = "the signal mask of a thread")]

use super::{Descriptors, Plan, Program, calls, filter};
use crate::error::Error;
use crate::spt::sentinel::{Duty, Sentinel};
use libc::sock_filter;
use std::ptr::null_mut;
use std::sync::{Arc, Condvar, Mutex, PoisonError};
use std::thread::Builder;

/// The threads of a process that has given up its privileges.
#[derive(Debug)]
pub struct Crew {
    /// Every file that is open, with what it is for. A filter goes by those that are known when it is made.
    pub descriptors: Descriptors,
    plan: Plan,
    roll: Arc<Roll>,
    spawned: usize,
    sentinel: Option<Sentinel>,
}

/// Proof that every thread of the process is inside its filter.
#[derive(Debug)]
pub struct Confined(());

/// Threads that have confirmed, and why one could not.
#[derive(Debug, Default)]
struct Roll {
    entered: Mutex<(usize, Option<Error>)>,
    changed: Condvar,
}

impl Crew {
    /// A crew whose only thread is the calling one.
    pub(super) fn new(plan: Plan) -> Self {
        Self { descriptors: Descriptors::default(), plan, roll: Arc::default(), spawned: 0, sentinel: None }
    }

    /// Starts the thread that serves the devices. `body` runs once the thread is inside its filter, with all signals but
    /// those of a fault blocked: signals are for the processor's thread. The thread ends with the process.
    pub fn spawn_devices(&mut self, body: impl FnOnce() + Send + 'static) -> Result<(), Error> {
        let program = Program::new(&self.plan.devices, &[], &self.descriptors);
        self.spawn("devices", program, body)
    }

    /// Starts the sentinel of a process with a guest in it. The calling thread is the one that is to run the guest.
    pub fn spawn_sentinel(&mut self, duty: Duty) -> Result<(), Error> {
        let program = Program::new(&[&calls::SENTINEL], &[filter::UNFORESEEN], &self.descriptors);
        #[cfg(feature = "attack")]
        let delay_s = super::attack::delay("sentinel").as_secs();
        #[cfg(not(feature = "attack"))]
        let delay_s = 0;
        self.sentinel = Some(Sentinel::start(program, duty, delay_s)?);
        Ok(())
    }

    fn spawn(
        &mut self,
        name: &'static str,
        program: Program,
        body: impl FnOnce() + Send + 'static,
    ) -> Result<(), Error> {
        let roll = Arc::clone(&self.roll);
        #[cfg(feature = "attack")]
        let delay = super::attack::delay(name);
        let start = move || {
            #[cfg(feature = "attack")]
            std::thread::sleep(delay);
            let result = program.enter();
            let is_confined = result.is_ok();
            roll.confirm(result);
            // The one that waits for the roll ends the process.
            if is_confined {
                body();
            }
        };
        let before = block_signals();
        #[expect(clippy::disallowed_methods, reason = "the one place that makes threads")]
        let thread = Builder::new().name(name.to_owned()).spawn(start);
        // SAFETY: the set is a variable of ours.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, null_mut()) };
        thread.map_err(Error::NoThread)?;
        self.spawned += 1;
        Ok(())
    }

    /// Gives up the system calls that the thread which runs the guest does not make. It is the calling one. `first` are
    /// instructions of its target's, which decide before. Blocks until every other thread is inside its filter.
    pub fn confine_processor(self, first: &[sock_filter]) -> Result<Confined, Error> {
        // One that is entered at every start is entered fast.
        let quick = [filter::UNFORESEEN];
        let first = if first.is_empty() { &quick } else { first };
        Program::new(&self.plan.processor, first, &self.descriptors).enter()?;
        self.sentinel.map_or(Ok(()), Sentinel::wait)?;
        self.roll.wait_for(self.spawned)?;
        Ok(Confined(()))
    }
}

impl Roll {
    fn confirm(&self, result: Result<(), Error>) {
        let mut entered = self.entered.lock().unwrap_or_else(PoisonError::into_inner);
        match result {
            Ok(()) => entered.0 += 1,
            Err(error) => entered.1 = Some(error),
        }
        drop(entered);
        self.changed.notify_one();
    }

    fn wait_for(&self, threads: usize) -> Result<(), Error> {
        let entered = self.entered.lock().unwrap_or_else(PoisonError::into_inner);
        let is_open = |(count, error): &mut (usize, Option<Error>)| *count < threads && error.is_none();
        let waited = self.changed.wait_while(entered, is_open);
        waited.unwrap_or_else(PoisonError::into_inner).1.take().map_or(Ok(()), Err)
    }
}

/// Blocks all signals for this thread, and so for one that it makes. Returns the mask before.
fn block_signals() -> libc::sigset_t {
    // SAFETY: all zeros is a valid value.
    let (mut all, mut before): (libc::sigset_t, libc::sigset_t) = unsafe { std::mem::zeroed() };
    // SAFETY: a variable of ours.
    unsafe { libc::sigfillset(&mut all) };
    for signal in [libc::SIGSEGV, libc::SIGBUS] {
        // SAFETY: a variable of ours; the signals exist.
        unsafe { libc::sigdelset(&mut all, signal) };
    }
    // SAFETY: both sets are variables of ours.
    unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &all, &mut before) };
    before
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
