//! What the processor's thread and that of the devices tell each other: the guest's doorbell, news for a guest that
//! sleeps, and a fault that the devices have found.

#![expect(unsafe_code, reason = "a signal to one thread is a system call without a wrapper")]

use crate::confine::{Descriptors, Role};
use crate::error::Error;
use crate::fault::Fault;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Mutex, PoisonError};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// The signal that stops the processor for the sake of a device.
pub const SIGNAL: libc::c_int = libc::SIGIO;

/// Made by the thread that runs the processor.
#[derive(Debug)]
pub struct Bells {
    doorbell: EventFd,
    news: EventFd,
    fault: Mutex<Option<Fault>>,
    process: libc::pid_t,
    processor: libc::pid_t,
}

impl Bells {
    /// Bells for the processor that this thread runs.
    pub fn new() -> Result<Self, Error> {
        let event = || EventFd::new(EFD_NONBLOCK).map_err(Error::NoThread);
        let process = std::process::id() as libc::pid_t;
        // SAFETY: has no conditions.
        let processor = unsafe { libc::gettid() };
        Ok(Self { doorbell: event()?, news: event()?, fault: Mutex::default(), process, processor })
    }

    /// What the guest's doorbell is to be connected with.
    pub fn doorbell(&self) -> &EventFd {
        &self.doorbell
    }

    /// The file that is readable when the guest has rung.
    pub fn doorbell_file(&self) -> RawFd {
        self.doorbell.as_raw_fd()
    }

    /// Notes which files these are.
    pub fn list(&self, descriptors: &mut Descriptors) {
        descriptors.add(Role::Bell, &self.doorbell);
        descriptors.add(Role::Bell, &self.news);
    }

    /// Rings the doorbell for the guest.
    pub fn ring(&self) {
        // It fails only if 2^64 rings were not heard, which is as good.
        let _ = self.doorbell.write(1);
    }

    /// Takes what has been rung.
    pub fn heard(&self) {
        // It fails only if nothing was.
        let _ = self.doorbell.read();
    }

    /// Ends the wait of a guest whose devices the other thread serves.
    pub fn tell(&self) {
        let _ = self.news.write(1);
    }

    /// The file that is readable while there are news.
    pub fn news(&self) -> RawFd {
        self.news.as_raw_fd()
    }

    /// Takes the news.
    pub fn take_news(&self) {
        // It fails only if there were none.
        let _ = self.news.read();
    }

    /// Stops the guest for this.
    pub fn stop(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        // SAFETY: only numbers; the thread is one of ours, and ends with the process.
        unsafe { libc::syscall(libc::SYS_tgkill, self.process, self.processor, SIGNAL) };
    }

    /// Why the guest must stop.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
