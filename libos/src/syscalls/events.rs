//! Calls that make pipes, event counters and timers.

use super::Arguments;
use super::arguments::{descriptor, done};
use crate::clock::{self, Timespec};
use crate::errno::Errno;
use crate::fs::timer::Setting;
use crate::state::{Libos, now};
use crate::syscall_result::SyscallResult;
use crate::user::{self, Slice};

/// pipe2(2).
pub fn pipe2(libos: &mut Libos, Arguments([into, flags, ..]): Arguments) -> SyscallResult {
    Slice::new(into, 8).check()?;
    let (reader, writer) = libos.files.pipe(flags as u32, now())?;
    done(user::write(into, &[reader, writer]))
}

/// pipe(2).
pub fn pipe(libos: &mut Libos, Arguments([into, ..]): Arguments) -> SyscallResult {
    pipe2(libos, Arguments([into, 0, 0, 0, 0, 0]))
}

/// eventfd2(2).
pub fn eventfd2(libos: &mut Libos, Arguments([count, flags, ..]): Arguments) -> SyscallResult {
    descriptor(libos.files.event(count as u32, flags as u32, now()))
}

/// eventfd(2).
pub fn eventfd(libos: &mut Libos, Arguments([count, ..]): Arguments) -> SyscallResult {
    eventfd2(libos, Arguments([count, 0, 0, 0, 0, 0]))
}

/// timerfd_create(2).
pub fn timerfd_create(libos: &mut Libos, Arguments([clock, flags, ..]): Arguments) -> SyscallResult {
    descriptor(libos.files.timer(clock as u32, flags as u32, now()))
}

/// timerfd_settime(2).
pub fn timerfd_settime(libos: &mut Libos, Arguments([file, flags, from, into, ..]): Arguments) -> SyscallResult {
    let [interval, first]: [Timespec; 2] = user::read(from)?;
    let new = [clock::from_timespec(first)?, clock::from_timespec(interval)?];
    let now = husk::clock::monotonic_ns();
    let old = libos.change(|files, _| files.set_timer(file as i32, flags as u32, new, now))?;
    if into == 0 { Ok(0) } else { done(write_setting(into, old)) }
}

/// timerfd_gettime(2).
pub fn timerfd_gettime(libos: &mut Libos, Arguments([file, into, ..]): Arguments) -> SyscallResult {
    let setting = libos.files.timer_setting(file as i32, husk::clock::monotonic_ns())?;
    done(write_setting(into, setting))
}

/// Writes a `struct itimerspec`.
fn write_setting(into: u64, [left, interval]: Setting) -> Result<(), Errno> {
    user::write(into, &[clock::to_timespec(interval), clock::to_timespec(left)])
}
