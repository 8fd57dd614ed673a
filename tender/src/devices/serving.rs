//! The devices' own thread: it serves them while the guest runs.
//!
//! A guest that waits often is served then, so this thread naps. It takes part when the guest has run for a whole nap, or
//! rings the doorbell. Then it serves as long as there is something to do, looks around for a moment longer ([`Patience`]),
//! and sleeps until the doorbell, a file of a device or a device's own time: until the guest waits again.

#![expect(unsafe_code, reason = "system calls that wait")]

use super::bells::Bells;
use super::patience::Patience;
use super::relay::Relay;
use super::service::Devices;
use crate::clock::{monotonic_ns, time_until};
use crate::confine::Crew;
use crate::error::Error;
use crate::fault::Fault;
use crate::signals::readable;
use std::ptr::{self, null};
use std::sync::Arc;

/// How long a nap takes, in nanoseconds: the least, and the most, when guests wait all the time.
const NAP_NS: (u64, u64) = (50_000, 400_000);

/// The service as its own thread has it.
#[derive(Debug)]
pub struct Serving {
    bells: Arc<Bells>,
    relay: Arc<Relay<Devices>>,
    patience: Patience,
    /// How long the next nap takes, in nanoseconds.
    nap_ns: u64,
}

impl Serving {
    /// Starts the thread, which looks at nothing of the guest's before it is confined.
    pub fn start(bells: Arc<Bells>, relay: Arc<Relay<Devices>>, crew: &mut Crew) -> Result<(), Error> {
        let serving = Self { bells, relay, patience: Patience::default(), nap_ns: NAP_NS.0 };
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
                self.attend()?;
            }
        }
    }

    /// Sleeps for a moment, or for as long as the guest waits. Whether this thread is to serve now.
    fn nap(&mut self) -> bool {
        let before = self.relay.changes();
        if self.rest(monotonic_ns() + self.nap_ns) {
            return true;
        }
        let changes = self.relay.changes();
        if changes != before {
            self.nap_ns = (self.nap_ns * 2).min(NAP_NS.1);
            return false;
        }
        self.nap_ns = NAP_NS.0;
        if !Relay::<Devices>::are_taken(changes) {
            return true;
        }
        if self.relay.sleep(changes) {
            self.rest(u64::MAX);
            self.relay.wake();
        }
        self.relay.devices().is_some_and(|devices| devices.left)
    }

    /// Sleeps until the monotonic clock reaches `deadline_ns`, or the doorbell rings. Whether it did.
    fn rest(&self, deadline_ns: u64) -> bool {
        let mut files = [readable(self.bells.doorbell_file())];
        sleep(&mut files, deadline_ns);
        let rung = files[0].revents != 0;
        if rung {
            self.bells.heard();
        }
        rung
    }

    /// Serves until the guest waits, is served then, and leaves nothing to be done for a moment.
    fn attend(&mut self) -> Result<(), Fault> {
        loop {
            let changes = self.relay.changes();
            if self.look_around()? {
                continue;
            }
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

    /// Looks for something to do for a while, and serves as long as there is. Whether there was something.
    fn look_around(&mut self) -> Result<bool, Fault> {
        let mut found = false;
        while self.round()? {
            found = true;
        }
        let look_ns = self.patience.look_ns();
        if found || look_ns == 0 {
            return Ok(found);
        }
        let until = monotonic_ns() + look_ns;
        while !found && monotonic_ns() < until {
            found = self.round()?;
            std::hint::spin_loop();
        }
        self.patience.learn(found);
        Ok(found)
    }

    /// Serves each device once, if that is for this thread to do. Whether something was done.
    fn round(&mut self) -> Result<bool, Fault> {
        let Some(mut devices) = self.relay.devices() else { return Ok(false) };
        let progress = devices.serve()?;
        if progress.wake && devices.left {
            self.bells.tell();
        }
        Ok(progress.done)
    }

    /// Asks to be woken. Whether there is nothing to do until then.
    fn may_sleep(&mut self) -> Result<bool, Fault> {
        self.relay.devices().map_or(Ok(false), |mut devices| devices.sleep())
    }

    /// Sleeps.
    fn wait(&self) {
        let mut files = vec![readable(self.bells.doorbell_file())];
        let Some(devices) = self.relay.devices() else { return };
        files.extend(devices.files());
        let deadline_ns = devices.deadline_ns();
        drop(devices);
        sleep(&mut files, deadline_ns);
        self.bells.heard();
    }
}

/// Sleeps until one of `files` is ready, or the monotonic clock reaches `deadline_ns`.
fn sleep(files: &mut [libc::pollfd], deadline_ns: u64) {
    let timeout = time_until(deadline_ns);
    let timeout = timeout.as_ref().map_or(null(), ptr::from_ref);
    // SAFETY: `files` has as many entries; the time is a variable; no set is given.
    unsafe { libc::ppoll(files.as_mut_ptr(), files.len() as libc::nfds_t, timeout, null()) };
}
