//! Calls on sets of files to wait for: see [`crate::fs::epoll`].

use super::Arguments;
use super::arguments::{descriptor, done};
use super::wait::{timeout_at, timeout_ms, wait_until, with_mask};
use crate::errno::Errno;
use crate::fs::epoll::Change;
use crate::fs::external::External;
use crate::state::{Libos, now};
use crate::syscall_result::{SyscallResult, WaitFor};
use crate::user;
use linux_raw_sys::general::*;

/// Most events of one call.
const EVENTS_MAXIMUM: i32 = i32::MAX / 12;

/// epoll_create1(2).
pub fn epoll_create1(libos: &mut Libos, Arguments([flags, ..]): Arguments) -> SyscallResult {
    descriptor(libos.files.epoll(flags as u32, now()))
}

/// epoll_create(2). The size is ignored, but must be positive.
pub fn epoll_create(libos: &mut Libos, Arguments([size, ..]): Arguments) -> SyscallResult {
    if size as i32 <= 0 {
        return Err(Errno::EINVAL.into());
    }
    epoll_create1(libos, Arguments([0; 6]))
}

/// epoll_ctl(2).
pub fn epoll_ctl(libos: &mut Libos, Arguments([set, operation, file, event, ..]): Arguments) -> SyscallResult {
    let change_to = match operation as u32 {
        EPOLL_CTL_DEL => Change::Delete,
        operation @ (EPOLL_CTL_ADD | EPOLL_CTL_MOD) => {
            let [events, low, high]: [u32; 3] = user::read(event)?;
            let data = u64::from(low) | u64::from(high) << 32;
            if operation == EPOLL_CTL_ADD { Change::Add(events, data) } else { Change::Modify(events, data) }
        }
        _ => Change::Unknown,
    };
    done(libos.change(|files, outside| files.change_epoll(outside.devices(), set as i32, file as i32, change_to)))
}

/// epoll_wait(2).
pub fn epoll_wait(libos: &mut Libos, Arguments([set, into, maximum, timeout, ..]): Arguments) -> SyscallResult {
    wait(libos, set as i32, into, maximum as i32, timeout_ms(timeout))
}

/// epoll_pwait(2).
pub fn epoll_pwait(libos: &mut Libos, arguments: Arguments) -> SyscallResult {
    let Arguments([.., mask, size]) = arguments;
    with_mask(libos, mask, size, |libos| epoll_wait(libos, arguments))
}

/// epoll_pwait2(2).
pub fn epoll_pwait2(libos: &mut Libos, arguments: Arguments) -> SyscallResult {
    let Arguments([set, into, maximum, timeout, mask, size]) = arguments;
    let timeout_ns = timeout_at(timeout)?;
    with_mask(libos, mask, size, |libos| wait(libos, set as i32, into, maximum as i32, timeout_ns))
}

fn wait(libos: &mut Libos, set: i32, into: u64, maximum: i32, timeout_ns: Option<u64>) -> SyscallResult {
    if !(1..=EVENTS_MAXIMUM).contains(&maximum) {
        return Err(Errno::EINVAL.into());
    }
    let set = libos.files.epoll_node(set)?;
    wait_until(libos, timeout_ns, |files, devices| {
        let told = files.take_events(devices, set, into, maximum as u64)?;
        Ok((told, WaitFor::File(set.index())))
    })
}
