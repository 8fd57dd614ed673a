//! Device thread: serves the devices while the guest runs.
//!
//! A guest that waits often is served during its waits, so this thread sleeps for a moment at a time (idle wait). It starts to
//! serve when the guest has run for a whole idle wait, or rings the doorbell. Then it serves as long as there is work, polls
//! for a while longer ([`husk_abi::poll`]), and sleeps until the doorbell, a file of a device or a device's deadline, and so
//! forth until the guest waits again.

#![expect(unsafe_code, reason = "system calls that wait")]

use super::device_loop::Devices;
use super::handoff::Handoff;
use super::notifier::Notifier;
use crate::host::signals::readable;
use crate::host::time::{monotonic_ns, time_until};
use crate::vm::fault::Fault;
use husk_abi::poll::Poll;
use std::ptr::{self, null};
use std::sync::Arc;

/// Length of an idle wait, in wake-ups: the least, and the most, for guests that wait all the time. So idle waits take no more
/// than a quarter of a processor, and a thirtieth.
const IDLE_WAIT: (u64, u64) = (4, 32);
/// Most sleeps without polling between two trials: each sleep ended with a request, and more may follow as fast as possible.
const SKIPS: u32 = 16;
/// Shortest idle wait in nanoseconds: the kernel's default timer slack of a thread.
const IDLE_WAIT_MINIMUM_NS: u64 = 50_000;

/// State of the device thread.
#[derive(Debug)]
pub struct DeviceThread {
    notifier: Arc<Notifier>,
    handoff: Arc<Handoff<Devices>>,
    poll: Poll,
    /// Length of the next idle wait, in wake-ups.
    wake_ups: u64,
}

impl DeviceThread {
    /// Returns the state of a thread that has not served yet.
    pub fn new(notifier: Arc<Notifier>, handoff: Arc<Handoff<Devices>>) -> Self {
        Self { notifier, handoff, poll: Poll::new(SKIPS), wake_ups: IDLE_WAIT.0 }
    }

    /// Body of the thread, once it is confined.
    pub fn run(mut self) {
        #[cfg(feature = "attack")]
        crate::confine::attack::attempt("devices");
        if let Err(fault) = self.serve() {
            self.notifier.stop(fault);
        }
    }

    fn serve(&mut self) -> Result<(), Fault> {
        loop {
            if self.handoff.is_closed() {
                self.wait_for_doorbell(u64::MAX);
            } else if self.idle_wait() {
                self.notifier.leave_vcpu_cpu();
                self.poll_loop()?;
            }
        }
    }

    /// Sleeps for a moment, or for as long as the guest waits. Returns true if this thread is to serve now.
    fn idle_wait(&mut self) -> bool {
        let before = self.handoff.epoch();
        if self.wait_for_doorbell(monotonic_ns() + (self.wake_ups * self.notifier.sleep_ns()).max(IDLE_WAIT_MINIMUM_NS))
        {
            return true;
        }
        let epoch = self.handoff.epoch();
        if epoch != before {
            self.wake_ups = (self.wake_ups * 2).min(IDLE_WAIT.1);
            return false;
        }
        self.wake_ups = IDLE_WAIT.0;
        if !Handoff::<Devices>::vcpu_owns(epoch) {
            return true;
        }
        if self.handoff.sleep(epoch) {
            self.wait_for_doorbell(u64::MAX);
            self.handoff.wake();
        }
        self.handoff.devices().is_some_and(|devices| devices.vcpu_waits)
    }

    /// Sleeps until the monotonic clock reaches `deadline_ns`, or the doorbell rings. Returns true if the doorbell rang.
    fn wait_for_doorbell(&self, deadline_ns: u64) -> bool {
        let mut files = [readable(self.notifier.doorbell_file())];
        let asleep_ns = monotonic_ns();
        sleep(&mut files, deadline_ns);
        let rung = files[0].revents != 0;
        if rung {
            self.notifier.drain(asleep_ns);
        }
        rung
    }

    /// Serves until the devices are paused; or the guest waits, is served by its own thread, and leaves no work for the length
    /// of a poll.
    fn poll_loop(&mut self) -> Result<(), Fault> {
        while !self.handoff.is_closed() {
            let epoch = self.handoff.epoch();
            if self.poll_for_work()? {
                continue;
            }
            self.notifier.leave_vcpu_cpu();
            if self.handoff.epoch() != epoch || Handoff::<Devices>::vcpu_owns(epoch) {
                return Ok(());
            }
            if self.may_sleep()? && self.handoff.sleep(epoch) {
                self.wait();
                self.handoff.wake();
                if self.handoff.epoch() != epoch {
                    return Ok(());
                }
            }
        }
        Ok(())
    }

    /// Serves as long as there is work, then polls for a while, even if the guest waits and is served during the poll: it may
    /// continue with requests that it does not wait for. Returns true if there was work.
    fn poll_for_work(&mut self) -> Result<bool, Fault> {
        let mut found = false;
        while self.round()? {
            found = true;
        }
        if found {
            return Ok(true);
        }
        let sleep_ns = self.notifier.sleep_ns();
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
        let Some(mut devices) = self.handoff.devices() else { return Ok(false) };
        devices.beat();
        let progress = devices.serve()?;
        if progress.wake && devices.vcpu_waits {
            self.notifier.notify_guest();
        }
        Ok(progress.done)
    }

    /// Arms the doorbells. Returns true if there is no work until one rings.
    fn may_sleep(&mut self) -> Result<bool, Fault> {
        self.handoff.devices().map_or(Ok(false), |mut devices| devices.sleep())
    }

    /// Sleeps until the doorbell, a file of a device, or the earliest deadline.
    fn wait(&self) {
        let mut files = vec![readable(self.notifier.doorbell_file())];
        let Some(devices) = self.handoff.devices() else { return };
        files.extend(devices.files());
        let deadline_ns = devices.deadline_ns();
        drop(devices);
        let asleep_ns = monotonic_ns();
        sleep(&mut files, deadline_ns);
        self.notifier.drain(asleep_ns);
    }
}

/// Sleeps until one of `files` is ready, or the monotonic clock reaches `deadline_ns`.
pub fn sleep(files: &mut [libc::pollfd], deadline_ns: u64) {
    let timeout = time_until(deadline_ns);
    let timeout = timeout.as_ref().map_or(null(), ptr::from_ref);
    // SAFETY: `files` is a slice of the length passed; the timeout is a live variable or null; a null signal mask is allowed.
    unsafe { libc::ppoll(files.as_mut_ptr(), files.len() as libc::nfds_t, timeout, null()) };
}
