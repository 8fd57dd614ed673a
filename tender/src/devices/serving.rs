//! Device thread: serves the devices while the guest runs.
//!
//! A guest that waits often is served during its waits, so this thread naps. It starts to serve when the guest has run for a
//! whole nap, or rings the doorbell. Then it serves as long as there is work, polls for a while longer ([`husk_abi::poll`]),
//! and sleeps until the doorbell, a file of a device or a device's deadline, and so forth until the guest waits again.

#![expect(unsafe_code, reason = "system calls that wait")]

use super::bells::Bells;
use super::relay::Relay;
use super::service::Devices;
use crate::confine::{Crew, Error};
use crate::host::signals::readable;
use crate::host::time::{monotonic_ns, time_until};
use crate::vm::fault::Fault;
use husk_abi::poll::Poll;
use std::ptr::{self, null};
use std::sync::Arc;

/// Length of a nap, in wake-ups: the least, and the most, for guests that wait all the time. So naps take no more than a
/// quarter of a processor, and a thirtieth.
const NAP: (u64, u64) = (4, 32);
/// Most sleeps without polling between two trials: each sleep ended with a request, and more may follow as fast as possible.
const SKIPS: u32 = 16;
/// Shortest nap in nanoseconds: the kernel's default timer slack of a thread.
const NAP_MINIMUM_NS: u64 = 50_000;

/// State of the device thread.
#[derive(Debug)]
pub struct Serving {
    bells: Arc<Bells>,
    relay: Arc<Relay<Devices>>,
    poll: Poll,
    /// Length of the next nap, in wake-ups.
    nap: u64,
}

impl Serving {
    /// Starts the thread, which reads nothing of the guest's before it is confined.
    pub fn start(bells: Arc<Bells>, relay: Arc<Relay<Devices>>, crew: &mut Crew) -> Result<(), Error> {
        let serving = Self { bells, relay, poll: Poll::new(SKIPS), nap: NAP.0 };
        crew.spawn_devices(move || serving.run())
    }

    fn run(mut self) {
        #[cfg(feature = "attack")]
        crate::confine::attack::attempt("devices");
        if let Err(fault) = self.serve() {
            self.bells.stop(fault);
        }
    }

    fn serve(&mut self) -> Result<(), Fault> {
        loop {
            if self.nap() {
                self.bells.keep_apart();
                self.attend()?;
            }
        }
    }

    /// Sleeps for a moment, or for as long as the guest waits. Returns true if this thread is to serve now.
    fn nap(&mut self) -> bool {
        let before = self.relay.changes();
        if self.rest(monotonic_ns() + (self.nap * self.bells.sleep_ns()).max(NAP_MINIMUM_NS)) {
            return true;
        }
        let changes = self.relay.changes();
        if changes != before {
            self.nap = (self.nap * 2).min(NAP.1);
            return false;
        }
        self.nap = NAP.0;
        if !Relay::<Devices>::are_taken(changes) {
            return true;
        }
        if self.relay.sleep(changes) {
            self.rest(u64::MAX);
            self.relay.wake();
        }
        self.relay.devices().is_some_and(|devices| devices.left)
    }

    /// Sleeps until the monotonic clock reaches `deadline_ns`, or the doorbell rings. Returns true if the doorbell rang.
    fn rest(&self, deadline_ns: u64) -> bool {
        let mut files = [readable(self.bells.doorbell_file())];
        let asleep_ns = monotonic_ns();
        sleep(&mut files, deadline_ns);
        let rung = files[0].revents != 0;
        if rung {
            self.bells.heard(asleep_ns);
        }
        rung
    }

    /// Serves until the guest waits, is served by its own thread, and leaves no work for the length of a poll.
    fn attend(&mut self) -> Result<(), Fault> {
        loop {
            let changes = self.relay.changes();
            if self.look_around()? {
                continue;
            }
            self.bells.keep_apart();
            if self.relay.changes() != changes || Relay::<Devices>::are_taken(changes) {
                return Ok(());
            }
            if self.may_sleep()? && self.relay.sleep(changes) {
                self.wait();
                self.relay.wake();
                if self.relay.changes() != changes {
                    return Ok(());
                }
            }
        }
    }

    /// Serves as long as there is work, then polls for a while, even if the guest waits and is served during the poll: it may
    /// continue with requests that it does not wait for. Returns true if there was work.
    fn look_around(&mut self) -> Result<bool, Fault> {
        let mut found = false;
        while self.round()? {
            found = true;
        }
        if found {
            return Ok(true);
        }
        let sleep_ns = self.bells.sleep_ns();
        let poll_ns = self.poll.begin(sleep_ns);
        if poll_ns == 0 {
            return Ok(false);
        }
        let begun_ns = monotonic_ns();
        loop {
            found = self.round()?;
            let took_ns = monotonic_ns().saturating_sub(begun_ns);
            if found {
                self.poll.hit(took_ns, sleep_ns);
                return Ok(true);
            }
            if took_ns >= poll_ns {
                self.poll.miss(took_ns, sleep_ns);
                return Ok(false);
            }
            std::hint::spin_loop();
        }
    }

    /// Serves each device once, unless the vCPU thread has the devices. Returns true if there was work.
    fn round(&mut self) -> Result<bool, Fault> {
        let Some(mut devices) = self.relay.devices() else { return Ok(false) };
        devices.beat();
        let progress = devices.serve()?;
        if progress.wake && devices.left {
            self.bells.tell();
        }
        Ok(progress.done)
    }

    /// Arms the doorbells. Returns true if there is no work until one rings.
    fn may_sleep(&mut self) -> Result<bool, Fault> {
        self.relay.devices().map_or(Ok(false), |mut devices| devices.sleep())
    }

    /// Sleeps until the doorbell, a file of a device, or the earliest deadline.
    fn wait(&self) {
        let mut files = vec![readable(self.bells.doorbell_file())];
        let Some(devices) = self.relay.devices() else { return };
        files.extend(devices.files());
        let deadline_ns = devices.deadline_ns();
        drop(devices);
        let asleep_ns = monotonic_ns();
        sleep(&mut files, deadline_ns);
        self.bells.heard(asleep_ns);
    }
}

/// Sleeps until one of `files` is ready, or the monotonic clock reaches `deadline_ns`.
fn sleep(files: &mut [libc::pollfd], deadline_ns: u64) {
    let timeout = time_until(deadline_ns);
    let timeout = timeout.as_ref().map_or(null(), ptr::from_ref);
    // SAFETY: `files` is a slice of the length passed; the timeout is a live variable or null; a null signal mask is allowed.
    unsafe { libc::ppoll(files.as_mut_ptr(), files.len() as libc::nfds_t, timeout, null()) };
}
