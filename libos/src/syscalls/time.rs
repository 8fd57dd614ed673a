//! Calls about time. Most programs ask for it through the vDSO instead.

use super::Arguments;
use crate::clock::{self, Base, Timespec};
use crate::stack::TICKS_PER_SECOND;
use crate::state::Libos;
use crate::syscall_result::{Resume, Sleep, Stop, SyscallResult, WaitFor};
use crate::{processor_time, user, vdso};
use linux_raw_sys::general::TIMER_ABSTIME;

/// nanosleep(2).
pub fn nanosleep(libos: &mut Libos, Arguments([duration, ..]): Arguments) -> SyscallResult {
    let duration = clock::from_timespec(user::read::<Timespec>(duration)?)?;
    sleep_until(libos.threads.deadline_in(duration))
}

/// clock_nanosleep(2).
pub fn clock_nanosleep(libos: &mut Libos, Arguments([id, flags, time, ..]): Arguments) -> SyscallResult {
    let base = clock::base(id as i32)?;
    let time = clock::from_timespec(user::read::<Timespec>(time)?)?;
    if flags & u64::from(TIMER_ABSTIME) != 0 {
        sleep_until(clock::to_monotonic(base, time))
    } else {
        sleep_until(libos.threads.deadline_in(time))
    }
}

fn sleep_until(deadline: u64) -> SyscallResult {
    let done = Resume::Return(0);
    Err(Stop::Block(Sleep { on: WaitFor::Time, deadline: Some(deadline), woken: done, expired: done }))
}

/// clock_gettime(2).
pub fn clock_gettime(_: &mut Libos, Arguments([id, into, ..]): Arguments) -> SyscallResult {
    user::write(into, &clock::to_timespec(clock::read(id as i32)?))?;
    Ok(0)
}

/// clock_getres(2).
pub fn clock_getres(_: &mut Libos, Arguments([id, into, ..]): Arguments) -> SyscallResult {
    Ok(vdso::clock_getres(id as i32, into) as i64 as u64)
}

/// gettimeofday(2).
pub fn gettimeofday(_: &mut Libos, Arguments([into, timezone, ..]): Arguments) -> SyscallResult {
    Ok(vdso::gettimeofday(into, timezone) as i64 as u64)
}

/// time(2).
pub fn time(_: &mut Libos, Arguments([into, ..]): Arguments) -> SyscallResult {
    Ok(vdso::time(into) as u64)
}

/// times(2), in ticks: the program's processor time, and the time since an arbitrary start.
pub fn times(_: &mut Libos, Arguments([into, ..]): Arguments) -> SyscallResult {
    let ticks = |ns: u64| ns / (clock::SECOND / TICKS_PER_SECOND);
    if into != 0 {
        user::write(into, &[ticks(processor_time::of_program()), 0, 0, 0])?;
    }
    Ok(ticks(clock::now(Base::Monotonic)))
}
