//! Pause of a guest's devices by a third thread, beside that of the vCPU and that of the devices.
//!
//! Once [`Pauser::pause`] has returned, no thread is inside a device, no request is in flight on the host, and nothing but the
//! guest itself changes its memory. Files stay open; they are not read. Time goes on: rate limits gain tokens, up to one burst,
//! and a deadline of the user-mode network that has passed is served after the pause.
//!
//! A pause takes no longer than the requests in flight: those of a disk, and a line that the console prints. If one of them
//! hangs, the pause gives up at its deadline, and the devices go on as if nothing had happened. (Without io_uring, a request that
//! hangs takes the thread with it that carries it out, which may be the one that pauses.)

use super::console::Console;
use super::device::{NotSaved, Served, State};
use super::device_loop::{DeviceLoop, Devices};
use super::device_thread::sleep;
use super::handoff::Handoff;
use crate::host::signals::Thread;
use crate::host::time::monotonic_ns;
use std::fmt;
use std::os::fd::RawFd;

#[cfg(feature = "pauses")]
mod often;

/// Interval at which a thread that pauses looks whether the others have left the devices, in nanoseconds.
const INTERVAL_NS: u64 = 50_000;
/// Interval between two signals to the vCPU thread, in nanoseconds.
const INTERRUPT_NS: u64 = 1_000_000;
/// Longest wait for the file of a device with a request in flight, in nanoseconds.
const REQUEST_NS: u64 = 1_000_000;

/// Handle by which a thread pauses the devices of a guest.
#[derive(Clone, Debug)]
pub struct Pauser {
    vcpu: Thread,
    console: Console,
    rings: Option<DeviceLoop>,
}

/// Devices that are paused, until this is dropped.
#[derive(Debug)]
pub struct Paused<'a>(&'a Pauser);

/// Device that does not stand still yet.
#[derive(Default)]
struct Busy {
    name: Option<String>,
    /// The vCPU thread uses it.
    by_vcpu: bool,
    /// File and poll(2) events that show progress.
    file: Option<(RawFd, i16)>,
}

/// Reason why the devices are not paused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotPaused {
    /// A thread has paused the devices already, or is about to.
    Already,
    /// A request of this device did not end in time; without a name, a thread did not leave one of the devices.
    Hangs(Option<String>),
    /// The guest has broken the contract of a device, and ends for that.
    Broken,
}

impl fmt::Display for NotPaused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Already => write!(f, "the devices are paused already"),
            Self::Hangs(device) => {
                let device = device.as_ref().map_or("a device".to_owned(), |name| format!("device '{name}'"));
                write!(f, "{device} does not stop; look whether the host's storage, or what reads the output, answers")
            }
            Self::Broken => write!(f, "the guest ends, because it broke the contract of a device"),
        }
    }
}

impl Pauser {
    /// Returns the handle for the console and the devices of a guest; the calling thread is that of its vCPU.
    pub fn new(console: &Console, devices: Option<&DeviceLoop>) -> Self {
        Self { vcpu: Thread::here(), console: console.clone(), rings: devices.cloned() }
    }

    /// Pauses the devices, unless that takes until the monotonic clock reaches `deadline_ns`.
    pub fn pause(&self, deadline_ns: u64) -> Result<Paused<'_>, NotPaused> {
        if !self.console.close() {
            return Err(NotPaused::Already);
        }
        // Opens the devices again in case of an error.
        let paused = Paused(self);
        self.rings.iter().for_each(|rings| rings.handoff.close());
        let mut interrupted_ns = 0;
        loop {
            let Some(Busy { name, by_vcpu, file }) = self.busy()? else { return Ok(paused) };
            let now_ns = monotonic_ns();
            if now_ns >= deadline_ns {
                return Err(NotPaused::Hangs(name));
            }
            // A signal before a system call does not keep the thread from blocking in it.
            if by_vcpu && now_ns >= interrupted_ns + INTERRUPT_NS {
                self.vcpu.interrupt();
                interrupted_ns = now_ns;
            }
            let (fd, events) = file.unwrap_or((-1, 0));
            let interval_ns = if file.is_some() { REQUEST_NS } else { INTERVAL_NS };
            sleep(&mut [libc::pollfd { fd, events, revents: 0 }], deadline_ns.min(now_ns + interval_ns));
        }
    }

    /// Goes on with the requests in flight. Returns the first device that does not stand still.
    fn busy(&self) -> Result<Option<Busy>, NotPaused> {
        if !self.console.is_idle() {
            return Ok(Some(Busy { name: Some("console".to_owned()), by_vcpu: true, file: None }));
        }
        let Some(DeviceLoop { notifier, handoff }) = &self.rings else { return Ok(None) };
        let Some(mut devices) = handoff.try_lock() else {
            // The vCPU thread holds the lock while its guest waits, unless it is interrupted.
            let by_vcpu = Handoff::<Devices>::vcpu_owns(handoff.epoch());
            return Ok(Some(Busy { by_vcpu, ..Busy::default() }));
        };
        let outcome = devices.drain();
        if devices.news && devices.vcpu_waits {
            notifier.notify_guest();
        }
        if let Err(fault) = outcome {
            notifier.stop(fault);
            return Err(NotPaused::Broken);
        }
        let busy = |served: &Served| Busy {
            name: Some(served.name.clone()),
            by_vcpu: false,
            file: Some(served.device.file()),
        };
        Ok(devices.busy().map(busy))
    }
}

impl Paused<'_> {
    /// States of the devices, in their order, with their names.
    pub fn states(&self) -> Vec<(String, Result<State, NotSaved>)> {
        let mut states = Vec::new();
        self.each(|served| states.push((served.name.clone(), served.device.state())));
        states
    }

    /// Calls `each` with every device behind rings.
    pub fn each(&self, each: impl FnMut(&mut Served)) {
        if let Some(rings) = &self.0.rings {
            rings.handoff.lock().all.iter_mut().for_each(each);
        }
    }

    /// The console, which stands still too.
    pub fn console(&self) -> &Console {
        &self.0.console
    }
}

impl Drop for Paused<'_> {
    fn drop(&mut self) {
        if let Some(rings) = &self.0.rings {
            rings.handoff.open();
            // The device thread looks for everything that has come meanwhile.
            rings.notifier.ring();
        }
        self.0.console.open();
    }
}

#[cfg(test)]
#[expect(
    unsafe_code,
    clippy::disallowed_methods,
    reason = "rings are used by pointer, in threads that are not confined"
)]
mod tests;
