//! Preemption: ends the turn of a guest's thread that keeps the processor while others wait; see [`husk_abi::processor`].
//!
//! The timer counts the processor time of the thread that runs the guest, so that a guest that sleeps is never disturbed. Its
//! signal only stops the guest. The timer is armed by the Tick call or a signal, and disarmed after `IDLE_CHECKS` expirations
//! with nothing to preempt; `armed` in the processor's block is set while it is armed.
//!
//! A look costs processor time itself: where leaving the guest is slow, more than the interval. The interval is then longer,
//! and starts anew at the end of the look, so that the guest always has most of the time.

#![expect(unsafe_code, reason = "the block is guest memory, and the timer's signal has a handler")]

use crate::confine::Descriptors;
use crate::host::signals::{self, Timer, number};
use crate::image::Image;
use crate::memory::{Claim, Memory};
use crate::vm::target::{Error, Vcpu};
use husk_abi::memory::{Region, Rights};
use husk_abi::processor::{Block, IDLE_CHECKS, INTERVAL_MS};
use std::ptr::NonNull;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

/// Guest addresses from the image's note, and the processor's block as a host pointer.
#[derive(Debug)]
pub struct Preemption {
    block: NonNull<Block>,
    entry: u64,
    /// Instructions at which the guest must not be stopped.
    no_preempt: Region,
    image: Region,
    timer: Timer,
    /// Interval that the timer is set to.
    interval: Duration,
    /// Looks left before the timer is disarmed, if none finds the processor wanted; 0 while the timer is disarmed.
    left: u32,
}

impl Preemption {
    /// Prepares preemption for `image`, if it has a note about it; `memory` must outlive the result.
    pub fn new(image: &Image, memory: &Memory) -> Option<Self> {
        let note = image.notes.processors?;
        let bias = memory.layout().load_bias;
        let claim = Claim { address: note.blocks.wrapping_add(bias), length: size_of::<Block>() as u64 };
        let block = memory.check(claim, Rights::READ | Rights::WRITE).ok()?;
        let extent = image.extent();
        let timer = timer().filter(|_| claim.address.is_multiple_of(align_of::<Block>() as u64))?;
        Some(Self {
            block: block.cast(),
            entry: note.entry.wrapping_add(bias),
            no_preempt: Region::between(note.from.wrapping_add(bias), note.to.wrapping_add(bias)),
            image: Region { start: extent.start.wrapping_add(bias), ..extent },
            timer,
            interval: Duration::ZERO,
            left: 0,
        })
    }

    /// Notes the timer.
    pub fn list(&self, descriptors: &mut Descriptors) {
        descriptors.turns = Some(self.timer.number());
    }

    /// Arms the timer, until there was nothing to do for `IDLE_CHECKS` looks.
    pub fn tick(&mut self) {
        if self.left == 0 {
            self.set(INTERVAL);
        }
        self.left = IDLE_CHECKS;
    }

    /// Sets the interval of the timer; 0 disarms it.
    fn set(&mut self, interval: Duration) {
        self.interval = interval;
        let time = libc::timespec { tv_sec: 0, tv_nsec: interval.subsec_nanos().into() };
        // Fails only for invalid times, and timers that were not made.
        let _ = self.timer.set(time, time);
        self.block().armed.store(u32::from(!interval.is_zero()), Relaxed);
    }

    /// Returns the address of the running thread's registers, as the guest has it.
    pub fn current(&self) -> u64 {
        self.block().current.load(Relaxed)
    }

    /// Returns true if the libos is at work.
    pub fn in_libos(&self) -> bool {
        self.block().in_libos.load(Relaxed) != 0
    }

    fn block(&self) -> &Block {
        // SAFETY: `new` found the block in guest memory, aligned; its fields are atomics, which the guest may change.
        unsafe { self.block.as_ref() }
    }

    /// Ends the turn of the running thread, if its block says that the processor is wanted, or if `must` is true, and if the
    /// thread may be stopped at its current instruction.
    pub fn on_timer(&mut self, vcpu: &mut dyn Vcpu, must: bool) -> Result<(), Error> {
        let started = processor_time();
        self.end_turn(vcpu, must)?;
        let interval = interval(processor_time().saturating_sub(started));
        // Usually the timer's period continues without a change.
        if self.left > 0 && (interval > INTERVAL || interval != self.interval) {
            self.set(interval);
        }
        Ok(())
    }

    fn end_turn(&mut self, vcpu: &mut dyn Vcpu, must: bool) -> Result<(), Error> {
        if !(must || self.block().need_resched.load(Relaxed) != 0) {
            self.rest();
            return Ok(());
        }
        self.tick();
        let block = self.block();
        if block.in_libos.load(Relaxed) != 0 {
            return Ok(());
        }
        let registers = vcpu.registers()?;
        if !self.image.contains(registers.pc()) || self.no_preempt.contains(registers.pc()) {
            return Ok(());
        }
        block.in_libos.store(1, Relaxed);
        block.pc.store(registers.pc(), Relaxed);
        block.flags.store(registers.flags(), Relaxed);
        vcpu.jump(self.entry)
    }

    /// Counts a look with nothing to do, and disarms the timer at the last one.
    fn rest(&mut self) {
        if self.left == 1 {
            self.set(Duration::ZERO);
        }
        self.left = self.left.saturating_sub(1);
    }
}

/// The usual interval.
const INTERVAL: Duration = Duration::from_millis(INTERVAL_MS);
/// Least ratio of the interval to the cost of a look. Leaving the guest and entering it again cost some looks more.
const LOOKS: u32 = 16;
/// The longest interval.
const INTERVAL_MAXIMUM: Duration = Duration::from_millis(200);

/// Returns the time from a look that took `cost` to the next one.
fn interval(cost: Duration) -> Duration {
    (cost * LOOKS).clamp(INTERVAL, INTERVAL_MAXIMUM)
}

/// Processor time of this thread so far.
fn processor_time() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is a variable of ours.
    unsafe { libc::clock_gettime(libc::CLOCK_THREAD_CPUTIME_ID, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

extern "C" fn nothing(_: libc::c_int) {}

/// The timer, for this thread, which will run the guest. Without one, threads switch at calls only.
fn timer() -> Option<Timer> {
    // SAFETY: the handler does nothing.
    unsafe { signals::handle(number::TURN, nothing) }.ok()?;
    Timer::new(libc::CLOCK_THREAD_CPUTIME_ID, number::TURN).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_check_never_takes_most_of_the_time() {
        assert_eq!(interval(Duration::from_micros(5)), INTERVAL);
        for cost_us in [130, 1000, 10_000] {
            let cost = Duration::from_micros(cost_us);
            assert!(interval(cost) >= 15 * cost, "{cost_us} us");
        }
        // A measurement that cannot be true does not switch turns off.
        assert_eq!(interval(Duration::from_secs(60)), INTERVAL_MAXIMUM);
    }
}
