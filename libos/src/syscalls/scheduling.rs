//! Calls about scheduling. Threads take turns of equal length, whatever a program asks for; but permitted requests succeed.

use super::Arguments;
use crate::clock;
use crate::errno::Errno;
use crate::state::Libos;
use crate::syscall_result::SyscallResult;
use crate::threads::SLICE;
use crate::user;
use linux_raw_sys::general::*;

/// Priority under the policies without real-time priorities; real-time ones are from 1 to 99.
const NONE: i32 = 0;
/// Result of getpriority(2) for niceness 0: 20 less the niceness.
const NEITHER: u64 = 20;

/// sched_getscheduler(2): always the time-sharing policy.
pub fn sched_getscheduler(libos: &mut Libos, Arguments([thread, ..]): Arguments) -> SyscallResult {
    known(libos, thread)?;
    Ok(SCHED_NORMAL.into())
}

/// sched_setscheduler(2).
pub fn sched_setscheduler(libos: &mut Libos, Arguments([thread, policy, priority, ..]): Arguments) -> SyscallResult {
    known(libos, thread)?;
    match policy as u32 {
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE if user::read::<i32>(priority)? == NONE => Ok(0),
        SCHED_FIFO | SCHED_RR => Err(Errno::EPERM.into()),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// sched_getparam(2).
pub fn sched_getparam(libos: &mut Libos, Arguments([thread, into, ..]): Arguments) -> SyscallResult {
    known(libos, thread)?;
    user::write(into, &NONE)?;
    Ok(0)
}

/// sched_setparam(2).
pub fn sched_setparam(libos: &mut Libos, Arguments([thread, priority, ..]): Arguments) -> SyscallResult {
    known(libos, thread)?;
    if user::read::<i32>(priority)? == NONE { Ok(0) } else { Err(Errno::EINVAL.into()) }
}

/// sched_get_priority_max(2).
pub fn highest(_: &mut Libos, Arguments([policy, ..]): Arguments) -> SyscallResult {
    priority(policy, 99)
}

/// sched_get_priority_min(2).
pub fn lowest(_: &mut Libos, Arguments([policy, ..]): Arguments) -> SyscallResult {
    priority(policy, 1)
}

fn priority(policy: u64, of_others: u64) -> SyscallResult {
    match policy as u32 {
        SCHED_FIFO | SCHED_RR => Ok(of_others),
        SCHED_NORMAL | SCHED_BATCH | SCHED_IDLE => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// sched_rr_get_interval(2): the length of a time slice.
pub fn sched_rr_get_interval(libos: &mut Libos, Arguments([thread, into, ..]): Arguments) -> SyscallResult {
    known(libos, thread)?;
    user::write(into, &clock::to_timespec(SLICE))?;
    Ok(0)
}

/// getpriority(2).
pub fn getpriority(libos: &mut Libos, Arguments([which, who, ..]): Arguments) -> SyscallResult {
    of_somebody(libos, which, who)?;
    Ok(NEITHER)
}

/// setpriority(2).
pub fn setpriority(libos: &mut Libos, Arguments([which, who, ..]): Arguments) -> SyscallResult {
    of_somebody(libos, which, who)?;
    Ok(0)
}

fn of_somebody(libos: &mut Libos, which: u64, who: u64) -> Result<(), Errno> {
    match which as u32 {
        PRIO_PROCESS | PRIO_PGRP => known(libos, who),
        PRIO_USER => Ok(()),
        _ => Err(Errno::EINVAL),
    }
}

/// ESRCH unless the thread exists; 0 is the current one.
fn known(libos: &mut Libos, thread: u64) -> Result<(), Errno> {
    match thread as u32 {
        0 => Ok(()),
        id => libos.threads.find(id).map(|_| ()).ok_or(Errno::ESRCH),
    }
}
