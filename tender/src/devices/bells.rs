//! What the processor's thread and that of the devices tell each other: the guest's doorbell, news for a guest that
//! sleeps, and a fault that the devices have found. On the way, it measures what it costs to wake a thread of this host.

#![expect(unsafe_code, reason = "a signal to one thread is a system call without a wrapper")]

use crate::confine::{Descriptors, Role};
use crate::fault::Fault;
use crate::processors;
use crate::signals::number;
use crate::time::monotonic_ns;
use husk_abi::poll::Cost;
use std::io;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::atomic::Ordering::Relaxed;
use std::sync::atomic::{AtomicU32, AtomicU64};
use std::sync::{Mutex, PoisonError};
use vmm_sys_util::eventfd::{EFD_NONBLOCK, EventFd};

/// No processor of the host.
const NOWHERE: u32 = u32::MAX;
/// How many waits of the guest pass between two looks at where it runs.
const LOOKS: u32 = 16;

/// Made by the thread that runs the processor.
#[derive(Debug)]
pub struct Bells {
    doorbell: EventFd,
    news: EventFd,
    fault: Mutex<Option<Fault>>,
    /// When [`Bells::ring`] was called last, as monotonic time in nanoseconds; 0 once that was heard.
    rung_ns: AtomicU64,
    /// Cost of a wake-up: from the ring to the thread that slept.
    wake_up: Cost,
    /// Whether there is no other processor for another thread.
    is_alone: bool,
    /// Processor of the host on which the guest ran when it was last looked at, or [`NOWHERE`]; and how often it was not.
    place: AtomicU32,
    not_looked: AtomicU32,
    process: libc::pid_t,
    processor: libc::pid_t,
}

impl Bells {
    /// Bells for the processor that this thread runs, which is the only one of the host that this process may use if it
    /// `is_alone`.
    pub fn new(is_alone: bool) -> io::Result<Self> {
        let event = || EventFd::new(EFD_NONBLOCK);
        let process = std::process::id() as libc::pid_t;
        // SAFETY: has no conditions.
        let processor = unsafe { libc::gettid() };
        Ok(Self {
            doorbell: event()?,
            news: event()?,
            fault: Mutex::default(),
            rung_ns: AtomicU64::new(0),
            wake_up: Cost::unknown(),
            is_alone,
            place: AtomicU32::new(NOWHERE),
            not_looked: AtomicU32::new(0),
            process,
            processor,
        })
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
        self.rung_ns.store(monotonic_ns(), Relaxed);
        // It fails only if 2^64 rings were not heard, which is as good.
        let _ = self.doorbell.write(1);
    }

    /// Takes what has been rung, for a thread that began to sleep at this monotonic time, in nanoseconds.
    pub fn heard(&self, asleep_ns: u64) {
        let rung_ns = self.rung_ns.swap(0, Relaxed);
        if rung_ns > asleep_ns {
            self.wake_up.sample(monotonic_ns().saturating_sub(rung_ns));
        }
        // It fails only if nothing was.
        let _ = self.doorbell.read();
    }

    /// What it costs a thread to sleep until another wakes it, in nanoseconds: what it may poll before. 0 as long as that is
    /// unknown, and if there is no other processor on which something could happen meanwhile.
    pub fn sleep_ns(&self) -> u64 {
        if self.is_alone { 0 } else { self.wake_up.ns() }
    }

    /// Notes where the guest runs, for the thread that runs it.
    pub fn note_processor(&self) {
        let count = self.not_looked.load(Relaxed);
        self.not_looked.store(count.wrapping_add(1), Relaxed);
        if count.is_multiple_of(LOOKS) && !self.is_alone {
            self.place.store(processors::current().unwrap_or(NOWHERE), Relaxed);
        }
    }

    /// Takes the other thread away from the guest's processor if it is there: only beside the guest is it of use, and a scheduler
    /// that sees two threads of which one sleeps often may leave both on one processor for long.
    pub fn keep_apart(&self) {
        let place = self.place.load(Relaxed);
        if !self.is_alone && place != NOWHERE && processors::current() == Some(place) {
            processors::avoid(place);
        }
    }

    /// Rings to measure what a wake-up costs, as long as that is unknown.
    pub fn measure(&self) {
        if !self.is_alone && self.wake_up.ns() == 0 {
            self.ring();
        }
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
        unsafe { libc::syscall(libc::SYS_tgkill, self.process, self.processor, number::FAULT) };
    }

    /// Why the guest must stop.
    pub fn fault(&self) -> Option<Fault> {
        self.fault.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}
