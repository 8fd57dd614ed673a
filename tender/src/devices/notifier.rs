//! Events between the vCPU thread and the device thread: the guest's doorbell (an eventfd), news for a guest that sleeps
//! (another), and a fault found by the devices. The doorbell also measures the cost of waking a thread of this host.

use crate::confine::{Descriptors, Role};
use crate::host::processors;
use crate::host::signals::Thread;
use crate::host::time::monotonic_ns;
use crate::vm::fault::Fault;
use husk_abi::poll::Cost;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Mutex, PoisonError};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// Value for no processor of the host.
const NO_CPU: u32 = u32::MAX;
/// Waits of the guest between two queries of the processor that it runs on.
const WAITS_PER_QUERY: u32 = 16;

/// Events of one guest, created by the vCPU thread.
#[derive(Debug)]
pub struct Notifier {
    doorbell: EventFd,
    news: EventFd,
    fault: Mutex<Option<Fault>>,
    /// Monotonic time of the last call of [`Notifier::ring`], in nanoseconds; 0 once that ring was taken.
    rung_ns: AtomicU64,
    /// Cost of a wake-up: from the ring to the return of the thread that slept.
    wake_up: Cost,
    /// True if the host has no second processor for another thread.
    is_alone: bool,
    /// Host processor on which the guest ran at the last query, or [`NO_CPU`]; and the number of waits, queried or not.
    vcpu_cpu: AtomicU32,
    waits: AtomicU32,
    vcpu: Thread,
}

impl Notifier {
    /// Creates the events for the vCPU that the calling thread runs. `is_alone`: this process may use only one processor of the
    /// host.
    pub fn new(is_alone: bool) -> io::Result<Self> {
        let event = || EventFd::new(EFD_NONBLOCK);
        Ok(Self {
            doorbell: event()?,
            news: event()?,
            fault: Mutex::default(),
            rung_ns: AtomicU64::new(0),
            wake_up: Cost::unknown(),
            is_alone,
            vcpu_cpu: AtomicU32::new(NO_CPU),
            waits: AtomicU32::new(0),
            vcpu: Thread::here(),
        })
    }

    /// Eventfd to be connected with the guest's doorbell.
    pub fn doorbell(&self) -> &EventFd {
        &self.doorbell
    }

    /// Descriptor that is readable when the guest has rung.
    pub fn doorbell_file(&self) -> RawFd {
        self.doorbell.as_raw_fd()
    }

    /// Adds both eventfds to `descriptors`.
    pub fn list(&self, descriptors: &mut Descriptors) {
        descriptors.add(Role::Bell, &self.doorbell);
        descriptors.add(Role::Bell, &self.news);
    }

    /// Rings the doorbell for the guest.
    pub fn ring(&self) {
        self.rung_ns.store(monotonic_ns(), Relaxed);
        // The write fails only if 2^64 rings are pending, which wakes the reader just as well.
        let _ = self.doorbell.write(1);
    }

    /// Drains the doorbell, for a thread that began to sleep at the monotonic time `asleep_ns`, in nanoseconds.
    pub fn drain(&self, asleep_ns: u64) {
        let rung_ns = self.rung_ns.swap(0, Relaxed);
        if rung_ns > asleep_ns {
            self.wake_up.sample(monotonic_ns().saturating_sub(rung_ns));
        }
        // The read fails only if no ring is pending.
        let _ = self.doorbell.read();
    }

    /// Cost of a sleep and its wake-up, in nanoseconds, which bounds halt polling. 0 as long as that is unknown, and if there
    /// is no other processor that could produce an event during the poll.
    pub fn sleep_ns(&self) -> u64 {
        if self.is_alone { 0 } else { self.wake_up.ns() }
    }

    /// Notes the processor on which the guest runs; the vCPU thread calls this.
    pub fn note_vcpu_cpu(&self) {
        let count = self.waits.load(Relaxed);
        self.waits.store(count.wrapping_add(1), Relaxed);
        if count.is_multiple_of(WAITS_PER_QUERY) && !self.is_alone {
            self.vcpu_cpu.store(processors::current().unwrap_or(NO_CPU), Relaxed);
        }
    }

    /// Moves the device thread off the guest's processor if it runs there: it is of use only beside the guest, and a scheduler
    /// that sees two threads of which one sleeps often may leave both on one processor for long.
    pub fn leave_vcpu_cpu(&self) {
        let vcpu_cpu = self.vcpu_cpu.load(Relaxed);
        if !self.is_alone && vcpu_cpu != NO_CPU && processors::current() == Some(vcpu_cpu) {
            processors::avoid(vcpu_cpu);
        }
    }

    /// Rings to measure the cost of a wake-up, as long as that is unknown.
    pub fn measure_wake_up(&self) {
        if !self.is_alone && self.wake_up.ns() == 0 {
            self.ring();
        }
    }

    /// Ends the guest's wait while the device thread serves the devices.
    pub fn notify_guest(&self) {
        let _ = self.news.write(1);
    }

    /// Descriptor that is readable while news are pending.
    pub fn news(&self) -> RawFd {
        self.news.as_raw_fd()
    }

    /// Drains the news.
    pub fn drain_news(&self) {
        // The read fails only if no news are pending.
        let _ = self.news.read();
    }

    /// Records `fault` and interrupts the vCPU thread by a signal.
    pub fn stop(&self, fault: Fault) {
        *self.fault.lock().unwrap_or_else(PoisonError::into_inner) = Some(fault);
        self.vcpu.interrupt();
    }

    /// Takes the fault for which the guest must stop, if there is one.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
