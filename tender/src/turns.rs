//! Ends the turn of a guest's thread that keeps the processor while others wait; see [`husk_abi::turns`].
//!
//! A timer counts the processor time of the thread that runs the guest, so a guest that sleeps is never disturbed. Its
//! signal does nothing but stop it. It runs while the record says that it does (`ticking`), which is from when the guest
//! or a signal wants that until there was nothing to do for some looks.

#![expect(unsafe_code, reason = "the record is guest memory, and the timer's signal has a handler")]

use crate::confine::Descriptors;
use crate::error::Error;
use crate::image::Image;
use crate::memory::{Claim, Memory};
use crate::signals::{self, Timer};
use crate::target::Target;
use husk_abi::memory::{Region, Rights};
use husk_abi::turns::{IDLE_LOOKS, INTERVAL_MS, Record};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;

/// The timer's signal.
pub const SIGNAL: libc::c_int = libc::SIGVTALRM;

/// What the image's note says, as addresses of the guest, and the record as one of ours.
#[derive(Debug)]
pub struct Turns {
    record: NonNull<Record>,
    entry: u64,
    /// Where the guest must not be stopped.
    closed: Region,
    image: Region,
    timer: Timer,
    /// How many looks are left in which somebody must want something; the timer does not run if it is 0.
    left: u32,
}

impl Turns {
    /// What there is to know about the turns of `image`, if it takes any; `memory` must outlive it.
    pub fn new(image: &Image, memory: &Memory) -> Option<Self> {
        let note = image.notes.turns?;
        let bias = memory.layout().load_bias;
        let claim = Claim { address: note.record.wrapping_add(bias), length: size_of::<Record>() as u64 };
        let record = memory.check(claim, Rights::READ | Rights::WRITE).ok()?;
        let extent = image.extent();
        let timer = timer().filter(|_| claim.address.is_multiple_of(8))?;
        Some(Self {
            record: record.cast(),
            entry: note.entry.wrapping_add(bias),
            closed: Region::between(note.from.wrapping_add(bias), note.to.wrapping_add(bias)),
            image: Region { start: extent.start.wrapping_add(bias), ..extent },
            timer,
            left: 0,
        })
    }

    /// Notes the timer.
    pub fn list(&self, descriptors: &mut Descriptors) {
        descriptors.turns = Some(self.timer.number());
    }

    /// Looks from now on, until there was nothing to do for some time.
    pub fn tick(&mut self) {
        if self.left == 0 {
            self.set(INTERVAL_MS);
        }
        self.left = IDLE_LOOKS;
    }

    /// Sets the timer; to nothing if the interval is 0.
    fn set(&self, interval_ms: u64) {
        let interval = libc::timespec { tv_sec: 0, tv_nsec: (interval_ms * 1_000_000) as libc::c_long };
        // It fails only for times that are none, and timers that were not made.
        let _ = self.timer.set(interval, interval);
        self.record().ticking.store(u32::from(interval_ms > 0), Relaxed);
    }

    /// Whether the libos is at work.
    pub fn inside(&self) -> bool {
        self.record().inside.load(Relaxed) != 0
    }

    fn record(&self) -> &Record {
        // SAFETY: `new` found the record in guest memory, aligned; its fields are atomics, which the guest may change.
        unsafe { self.record.as_ref() }
    }

    /// Ends the turn of the thread that runs, if somebody wants it, or it `must` end, and the thread may be stopped where
    /// it is.
    pub fn look(&mut self, target: &mut dyn Target, must: bool) -> Result<(), Error> {
        if !(must || self.record().wanted.load(Relaxed) != 0) {
            self.rest();
            return Ok(());
        }
        self.tick();
        let record = self.record();
        if record.inside.load(Relaxed) != 0 {
            return Ok(());
        }
        let registers = target.registers()?;
        if !self.image.contains(registers.rip) || self.closed.contains(registers.rip) {
            return Ok(());
        }
        record.inside.store(1, Relaxed);
        record.rip.store(registers.rip, Relaxed);
        record.rflags.store(registers.rflags, Relaxed);
        target.jump(self.entry)
    }

    /// There was nothing to do. The last time for now, if that was often enough.
    fn rest(&mut self) {
        if self.left == 1 {
            self.set(0);
        }
        self.left = self.left.saturating_sub(1);
    }
}

extern "C" fn nothing(_: libc::c_int) {}

/// The timer, for this thread, which will run the guest. Without one, threads switch at calls only.
fn timer() -> Option<Timer> {
    // SAFETY: the handler does nothing.
    unsafe { signals::handle(SIGNAL, nothing) }.ok()?;
    Timer::new(libc::CLOCK_THREAD_CPUTIME_ID, SIGNAL).ok()
}
