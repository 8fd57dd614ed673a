//! Calls about timers that send signals.

use super::Arguments;
use super::signal::number;
use crate::clock::{self, SECOND, Timespec};
use crate::errno::Errno;
use crate::processor_time;
use crate::signals::timers::{Counted, Notice, Setting, due};
use crate::state::Libos;
use crate::syscall_result::SyscallResult;
use crate::user;
use linux_raw_sys::general::*;

/// Nanoseconds in a microsecond.
const MICROSECOND: u64 = 1000;

/// alarm(2): returns the seconds that were left, rounded, but at least 1 if any time was left.
pub fn alarm(libos: &mut Libos, Arguments([seconds, ..]): Arguments) -> SyscallResult {
    let seconds = u64::from(seconds as u32);
    let [left, _] = libos.signals.timers.set_of_process(ITIMER_REAL, [seconds * SECOND, 0], now())?;
    libos.signals.reserve_origins()?;
    Ok(match (left / SECOND, left % SECOND) {
        (0, 1..) => 1,
        (seconds, rest) => seconds + u64::from(rest >= SECOND / 2),
    })
}

/// setitimer(2).
pub fn setitimer(libos: &mut Libos, Arguments([which, from, into, ..]): Arguments) -> SyscallResult {
    let new = if from == 0 { [0; 2] } else { read_micro(from)? };
    let before = libos.signals.timers.set_of_process(which as u32, new, now())?;
    libos.signals.reserve_origins()?;
    if into != 0 {
        write_micro(into, before)?;
    }
    Ok(0)
}

/// getitimer(2).
pub fn getitimer(libos: &mut Libos, Arguments([which, into, ..]): Arguments) -> SyscallResult {
    write_micro(into, libos.signals.timers.of_process(which as u32, now())?)?;
    Ok(0)
}

/// Reads a `struct itimerval`: interval, then value, each in seconds and microseconds.
fn read_micro(from: u64) -> Result<Setting, Errno> {
    let [interval, interval_rest, value, value_rest]: [u64; 4] = user::read(from)?;
    let time = |seconds: u64, rest: u64| match rest < SECOND / MICROSECOND && seconds as i64 >= 0 {
        true => Ok(seconds.saturating_mul(SECOND).saturating_add(rest * MICROSECOND)),
        false => Err(Errno::EINVAL),
    };
    Ok([time(value, value_rest)?, time(interval, interval_rest)?])
}

fn write_micro(into: u64, [left, interval]: Setting) -> Result<(), Errno> {
    let parts = |ns: u64| [ns / SECOND, ns % SECOND / MICROSECOND];
    // Less than a microsecond would look like a disarmed timer.
    let left = if left == 0 { 0 } else { left.max(MICROSECOND) };
    user::write(into, &[parts(interval), parts(left)])
}

/// timer_create(2). Used fields of a `struct sigevent`: the value, the signal, the kind of notice, and the thread.
pub fn timer_create(libos: &mut Libos, Arguments([clock, event, into, ..]): Arguments) -> SyscallResult {
    let base = clock::base(clock as i32)?;
    let counted = match clock as u32 {
        CLOCK_PROCESS_CPUTIME_ID | CLOCK_THREAD_CPUTIME_ID => Counted::Processor,
        _ => Counted::All,
    };
    let (value, signal, thread) = match event {
        0 => (None, SIGALRM, None),
        event => {
            let [value, what, whom]: [u64; 3] = user::read(event)?;
            match (what >> 32) as u32 {
                SIGEV_NONE => (Some(value), 0, None),
                // A C library implements `SIGEV_THREAD` with a signal, too.
                SIGEV_SIGNAL | SIGEV_THREAD => (Some(value), number(what & 0xffff_ffff)?, None),
                SIGEV_THREAD_ID => {
                    let whom = whom as u32;
                    libos.threads.find(whom).ok_or(Errno::EINVAL)?;
                    (Some(value), number(what & 0xffff_ffff)?, Some(whom))
                }
                _ => return Err(Errno::EINVAL.into()),
            }
        }
    };
    libos.signals.reserve_origins()?;
    let made = libos
        .signals
        .timers
        .make(base, counted, |number| Notice::of_timer(signal, thread, number, value.unwrap_or(u64::from(number))))?;
    if let Err(errno) = user::write(into, &made) {
        libos.signals.timers.remove(made)?;
        return Err(errno.into());
    }
    Ok(0)
}

/// timer_settime(2).
pub fn timer_settime(libos: &mut Libos, Arguments([timer, flags, from, into, ..]): Arguments) -> SyscallResult {
    let [interval, value]: [Timespec; 2] = user::read(from)?;
    let (interval, value) = (clock::from_timespec(interval)?, clock::from_timespec(value)?);
    let (base, counted) = libos.signals.timers.get(timer as u32).map(|timer| (timer.base, timer.counted))?;
    let now = now();
    let is_absolute = flags as u32 & TIMER_ABSTIME != 0;
    let due = match counted {
        // The time left is the value less the processor time that the program has had already.
        Counted::Processor if is_absolute && value != 0 => {
            now.saturating_add(value.saturating_sub(processor_time::of_program())).max(1)
        }
        _ => due(base, value, is_absolute, now),
    };
    let before = libos.signals.timers.set(timer as u32, due, interval, now)?;
    if into != 0 {
        write_setting(into, before)?;
    }
    Ok(0)
}

/// timer_gettime(2).
pub fn timer_gettime(libos: &mut Libos, Arguments([timer, into, ..]): Arguments) -> SyscallResult {
    write_setting(into, libos.signals.timers.get(timer as u32)?.setting(now()))?;
    Ok(0)
}

fn write_setting(into: u64, [left, interval]: Setting) -> Result<(), Errno> {
    user::write(into, &[clock::to_timespec(interval), clock::to_timespec(left)])
}

/// timer_getoverrun(2).
pub fn timer_getoverrun(libos: &mut Libos, Arguments([timer, ..]): Arguments) -> SyscallResult {
    Ok(u64::from(libos.signals.timers.get(timer as u32)?.overrun.min(i32::MAX as u32)))
}

/// timer_delete(2).
pub fn timer_delete(libos: &mut Libos, Arguments([timer, ..]): Arguments) -> SyscallResult {
    libos.signals.timers.remove(timer as u32)?;
    Ok(0)
}

fn now() -> u64 {
    husk::clock::monotonic_ns()
}
