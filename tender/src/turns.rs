//! Ends the turn of a guest's thread that keeps the processor while others wait; see [`husk_abi::turns`].
//!
//! A timer counts the processor time of the thread that runs the guest, so a guest that sleeps is never disturbed. Its
//! signal does nothing but stop it.

#![expect(unsafe_code, reason = "the record is guest memory, and the timer's signal has a handler")]

use crate::error::Error;
use crate::image::Image;
use crate::memory::{Claim, Memory};
use crate::signals;
use crate::target::Target;
use husk_abi::memory::{Region, Rights};
use husk_abi::turns::{INTERVAL_MS, Record};
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
}

impl Turns {
    /// What there is to know about the turns of `image`, if it takes any; `memory` must outlive it.
    pub fn new(image: &Image, memory: &Memory) -> Option<Self> {
        let note = image.notes.turns?;
        let bias = memory.layout().load_bias;
        let claim = Claim { address: note.record.wrapping_add(bias), length: size_of::<Record>() as u64 };
        let record = memory.check(claim, Rights::READ | Rights::WRITE).ok()?;
        let extent = image.extent();
        let turns = Self {
            record: record.cast(),
            entry: note.entry.wrapping_add(bias),
            closed: Region::between(note.from.wrapping_add(bias), note.to.wrapping_add(bias)),
            image: Region { start: extent.start.wrapping_add(bias), ..extent },
        };
        (claim.address.is_multiple_of(8) && start_timer()).then_some(turns)
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
    pub fn look(&self, target: &mut dyn Target, must: bool) -> Result<(), Error> {
        let record = self.record();
        if !(must || record.wanted.load(Relaxed) != 0) || record.inside.load(Relaxed) != 0 {
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
}

extern "C" fn nothing(_: libc::c_int) {}

/// Starts the timer for this thread, which will run the guest. Without one, threads switch at calls only.
fn start_timer() -> bool {
    // SAFETY: the handler does nothing.
    if unsafe { signals::handle(SIGNAL, nothing) }.is_err() {
        return false;
    }
    let interval = libc::timespec { tv_sec: 0, tv_nsec: (INTERVAL_MS * 1_000_000) as libc::c_long };
    signals::start_timer(libc::CLOCK_THREAD_CPUTIME_ID, SIGNAL, interval, interval).is_ok()
}
