//! The thread that serves a guest's devices: made only if there are some.
//!
//! It serves as long as there is something to do, then looks around for a moment longer (`SPIN_NS`), as what follows at
//! once is usual and being woken is dear, and then sleeps until the doorbell, a file of a device or a device's own time.

#![expect(unsafe_code, reason = "system calls that wait, and the signal mask of a thread")]

use super::bells::Bells;
use super::ring::Broken;
use super::{Progress, Served};
use crate::clock::monotonic_ns;
use crate::error::Error;
use crate::fault::Fault;
use std::ptr::null_mut;
use std::sync::Arc;
use std::thread::{Builder, JoinHandle};

/// How long to look for more before sleeping, in nanoseconds: about what it costs to be woken.
const SPIN_NS: u64 = 30_000;
/// How long what a guest has sent may take to go out after its end, in nanoseconds.
const FAREWELL_NS: u64 = 1_000_000_000;

/// The thread, and what it is told by.
#[derive(Debug)]
pub struct Service {
    bells: Arc<Bells>,
    thread: Option<JoinHandle<()>>,
}

impl Service {
    /// Starts to serve `devices`.
    pub fn start(bells: Arc<Bells>, devices: Vec<Served>) -> Result<Self, Error> {
        let serving = Serving { bells: Arc::clone(&bells), devices };
        let before = block_signals();
        let thread = Builder::new().name("devices".to_owned()).spawn(move || serving.run());
        // SAFETY: the set is a variable of ours.
        unsafe { libc::pthread_sigmask(libc::SIG_SETMASK, &before, null_mut()) };
        Ok(Self { bells, thread: Some(thread.map_err(Error::NoThread)?) })
    }

    /// What the devices tell the processor.
    pub fn bells(&self) -> &Bells {
        &self.bells
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
    devices: Vec<Served>,
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
        if found {
            let until = monotonic_ns() + SPIN_NS;
            while monotonic_ns() < until {
                if self.round()? {
                    return Ok(true);
                }
                std::hint::spin_loop();
            }
        }
        Ok(false)
    }

    /// Serves each device once. Whether something was done.
    fn round(&mut self) -> Result<bool, Fault> {
        let mut all = Progress::default();
        for served in &mut self.devices {
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
        for served in &mut self.devices {
            if !served.device.sleep().map_err(|broken| fault(&served.name, broken))? {
                return Ok(false);
            }
        }
        Ok(true)
    }

    /// Sleeps.
    fn wait(&self) {
        let mut files = vec![libc::pollfd { fd: self.bells.doorbell_file(), events: libc::POLLIN, revents: 0 }];
        files.extend(self.devices.iter().map(|served| {
            let (fd, events) = served.device.file();
            libc::pollfd { fd, events, revents: 0 }
        }));
        let deadline_ns = self.devices.iter().map(|served| served.device.deadline_ns()).min().unwrap_or(u64::MAX);
        let timeout_ns = deadline_ns.saturating_sub(monotonic_ns());
        let timeout = libc::timespec {
            tv_sec: (timeout_ns / 1_000_000_000) as libc::c_long,
            tv_nsec: (timeout_ns % 1_000_000_000) as libc::c_long,
        };
        let timeout = if deadline_ns == u64::MAX { std::ptr::null() } else { &raw const timeout };
        // SAFETY: `files` has as many entries; the time is a variable; no set is given.
        unsafe { libc::ppoll(files.as_mut_ptr(), files.len() as libc::nfds_t, timeout, std::ptr::null()) };
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
