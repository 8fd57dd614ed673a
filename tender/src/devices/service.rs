//! The thread that serves a guest's devices: made only if there are some.
//!
//! It serves as long as there is something to do, then looks around for a moment longer (`SPIN_NS`), as what follows at
//! once is usual and being woken is dear, and then sleeps until the doorbell, a file of a device or a device's own time.
//! It learns for how long to look. A guest that waits is served in the processor's thread, as far as that goes at once:
//! where the host has no processor to spare for both threads, one that looks would only hold the other up.

#![expect(unsafe_code, reason = "system calls that wait, and the signal mask of a thread")]

use super::bells::Bells;
use super::ring::Broken;
use super::{Progress, Served};
use crate::clock::{monotonic_ns, time_until};
use crate::error::Error;
use crate::fault::Fault;
use std::ptr::{self, null, null_mut};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, TryLockError};
use std::thread::{Builder, JoinHandle};

/// How long to look for more before sleeping at most, in nanoseconds: about what it costs to be woken.
const SPIN_NS: u64 = 30_000;
/// How long is too short to be worth it, in nanoseconds.
const SPIN_MINIMUM_NS: u64 = 1_000;
/// So many times without a look are followed by one with it.
const TIMES: u64 = 64;
/// How long what a guest has sent may take to go out after its end, in nanoseconds.
const FAREWELL_NS: u64 = 1_000_000_000;

/// The thread, and what it is told by.
#[derive(Debug)]
pub struct Service {
    bells: Arc<Bells>,
    devices: Shared,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts to serve `devices`.
    pub fn start(bells: Arc<Bells>, devices: Vec<Served>) -> Result<Self, Error> {
        let devices = Arc::new(Mutex::new(devices));
        let serving = Serving { bells: Arc::clone(&bells), devices: Arc::clone(&devices), patience_ns: SPIN_NS };
        let before = block_signals();
        let thread = Builder::new().name("devices".to_owned()).spawn(move || serving.run());
        // SAFETY: the set is a variable of ours.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, null_mut()) };
        Ok(Self { bells, devices, thread: Some(thread.map_err(Error::NoThread)?) })
    }

    /// What the devices tell the processor.
    pub fn bells(&self) -> &Bells {
        &self.bells
    }

    /// Serves what can be served without waiting, in the processor's thread, which has nothing else to do: where there
    /// is no processor to spare for the other thread, or it takes long to be woken, this is faster by far. What is left
    /// is left to that thread. Whether the guest should look at once.
    pub fn serve_at_once(&self) -> bool {
        let mut devices = match self.devices.try_lock() {
            Ok(devices) => devices,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => {
                self.bells.ring();
                return false;
            }
        };
        let (mut wake, mut is_quiet) = (false, true);
        for served in devices.iter_mut() {
            let progress = served.device.serve_at_once();
            let quiet = progress.and_then(|progress| {
                wake |= progress.wake;
                served.device.sleep()
            });
            match quiet {
                Ok(quiet) => is_quiet &= quiet,
                Err(broken) => {
                    self.bells.stop(fault(&served.name, broken));
                    return true;
                }
            }
        }
        if !is_quiet {
            self.bells.ring();
        }
        wake
    }

    /// Lets what the guest has sent go out, as far as it goes at once.
    pub fn finish(&mut self) {
        self.bells.end();
        if let Some(thread) = self.thread.take() {
            // A panic in it has been printed; there is nothing to add.
            let _ = thread.join();
        }
    }
}

/// Blocks all signals for this thread, and so for one that it makes: they are for the processor's thread. Tells which
/// were blocked before.
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

/// The service as its own thread has it.
#[derive(Debug)]
struct Serving {
    bells: Arc<Bells>,
    devices: Shared,
    /// How long to look for more the next time, in nanoseconds; below [`SPIN_MINIMUM_NS`], how often that was not done.
    patience_ns: u64,
}

/// The devices, which the thread of the processor serves too.
type Shared = Arc<Mutex<Vec<Served>>>;

fn lock(devices: &Shared) -> MutexGuard<'_, Vec<Served>> {
    devices.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Serving {
    fn run(mut self) {
        if let Err(fault) = self.serve() {
            self.bells.stop(fault);
        }
    }

    /// Serves until the guest has ended.
    fn serve(&mut self) -> Result<(), Fault> {
        loop {
            if self.look_around()? {
                continue;
            }
            if self.bells.ending() {
                return self.farewell();
            }
            if self.sleep()? {
                self.wait();
            }
        }
    }

    /// Serves as long as there is something to do, and a little longer. Whether there was something.
    fn look_around(&mut self) -> Result<bool, Fault> {
        let mut found = false;
        while self.round()? {
            found = true;
        }
        if !found {
            return Ok(false);
        }
        if self.patience_ns < SPIN_MINIMUM_NS {
            self.patience_ns = if self.patience_ns < TIMES { self.patience_ns + 1 } else { SPIN_NS };
            return Ok(false);
        }
        let until = monotonic_ns() + self.patience_ns;
        while monotonic_ns() < until {
            if self.round()? {
                self.patience_ns = (self.patience_ns * 2).min(SPIN_NS);
                return Ok(true);
            }
            std::hint::spin_loop();
        }
        // What comes is not for this thread, or not soon.
        let less = self.patience_ns * 3 / 4;
        self.patience_ns = if less < SPIN_MINIMUM_NS { 0 } else { less };
        Ok(false)
    }

    /// Serves each device once. Whether something was done.
    fn round(&mut self) -> Result<bool, Fault> {
        let mut all = Progress::default();
        for served in lock(&self.devices).iter_mut() {
            let progress = served.device.serve().map_err(|broken| fault(&served.name, broken))?;
            all.done |= progress.done;
            all.wake |= progress.wake;
        }
        if all.wake {
            self.bells.tell();
        }
        Ok(all.done)
    }

    /// Asks to be woken. Whether there is nothing to do until then.
    fn sleep(&mut self) -> Result<bool, Fault> {
        for served in lock(&self.devices).iter_mut() {
            if !served.device.sleep().map_err(|broken| fault(&served.name, broken))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sleeps.
    fn wait(&self) {
        let mut files = vec![libc::pollfd { fd: self.bells.doorbell_file(), events: libc::POLLIN, revents: 0 }];
        let devices = lock(&self.devices);
        files.extend(devices.iter().map(|served| {
            let (fd, events) = served.device.file();
            libc::pollfd { fd, events, revents: 0 }
        }));
        let deadline_ns = devices.iter().map(|served| served.device.deadline_ns()).min().unwrap_or(u64::MAX);
        drop(devices);
        let timeout = time_until(deadline_ns);
        let timeout = timeout.as_ref().map_or(null(), ptr::from_ref);
        // SAFETY: `files` has as many entries; the time is a variable; no set is given.
        unsafe { libc::ppoll(files.as_mut_ptr(), files.len() as libc::nfds_t, timeout, null()) };
        self.bells.heard();
    }

    /// Serves on after the guest's end, until there is nothing to do without waiting for somebody.
    fn farewell(&mut self) -> Result<(), Fault> {
        let until = monotonic_ns() + FAREWELL_NS;
        while self.round()? && monotonic_ns() < until {}
        Ok(())
    }
}

fn fault(device: &str, broken: Broken) -> Fault {
    Fault::Device { device: device.to_owned(), broken }
}
