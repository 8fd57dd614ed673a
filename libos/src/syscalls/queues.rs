//! Calls on message queues of POSIX ([`crate::fs::queue`]).

use super::Arguments;
use super::arguments::{descriptor, done};
use super::futex::read_time;
use super::signal::{number, send_to_any};
use crate::clock::{self, Base};
use crate::errno::Errno;
use crate::fs::queue::{Message, Notification};
use crate::fs::ready::Ready;
use crate::process::PROCESS;
use crate::signals::Origin;
use crate::state::{Libos, now};
use crate::syscall_result::{Resume, Sleep, Stop, SyscallResult};
use crate::user::{self, Slice};
use alloc::vec::Vec;
use linux_raw_sys::general::*;

/// Longest name of a queue.
const NAME_MAXIMUM: usize = 255;
/// Priorities are below it.
const PRIORITIES: u64 = 32768;
/// `SI_MESGQ`, which the bindings declare as unsigned.
const FROM_QUEUE: i32 = -3;

/// The name at `address`: C libraries have removed the slash at its start.
fn name(address: u64) -> Result<Vec<u8>, Errno> {
    let name = user::read_string(address, NAME_MAXIMUM + 1)?;
    match &*name {
        b"" => Err(Errno::ENOENT),
        b"." | b".." => Err(Errno::EACCES),
        name if name.contains(&b'/') => Err(Errno::EACCES),
        _ => Ok(name),
    }
}

/// mq_open(2).
pub fn mq_open(libos: &mut Libos, Arguments([at, flags, mode, attributes, ..]): Arguments) -> SyscallResult {
    let flags = flags as u32;
    let limits = match attributes {
        0 => None,
        _ if flags & O_CREAT == 0 => None,
        address => {
            let [_, count, size, ..]: [i64; 8] = user::read(address)?;
            Some([count, size])
        }
    };
    let name = name(at)?;
    if flags & O_ACCMODE == O_ACCMODE {
        return Err(Errno::EINVAL.into());
    }
    descriptor(libos.files.open_queue(&name, flags, mode as u32, limits, now()))
}

/// mq_unlink(2).
pub fn mq_unlink(libos: &mut Libos, Arguments([at, ..]): Arguments) -> SyscallResult {
    let name = name(at)?;
    done(libos.change(|files, _| files.unlink_queue(&name)))
}

/// The time at an address, on the wall clock, as monotonic time; `None` for a null pointer.
fn deadline_at(address: u64) -> Result<Option<u64>, Errno> {
    Ok(read_time(address)?.map(|time| clock::to_monotonic(Base::Realtime, time)))
}

/// Limits the wait of a call.
fn until<T>(deadline: Option<u64>, result: Result<T, Stop>) -> Result<T, Stop> {
    match (result, deadline) {
        (Err(Stop::Block(sleep)), Some(_)) => {
            let expired = Resume::Return(Errno::ETIMEDOUT.to_result());
            Err(Stop::Block(Sleep { deadline, expired, ..sleep }))
        }
        (result, _) => result,
    }
}

/// mq_timedsend(2).
pub fn mq_timedsend(libos: &mut Libos, arguments: Arguments) -> SyscallResult {
    let Arguments([file, from, length, priority, timeout, _]) = arguments;
    let deadline = deadline_at(timeout)?;
    if priority as u32 as u64 >= PRIORITIES {
        return Err(Errno::EINVAL.into());
    }
    let read = || Ok(Message { priority: priority as u32, bytes: Slice::new(from, length).boxed()? });
    let (node, was_empty) = until(deadline, libos.files.send_to_queue(file as i32, length, read))?;
    // A thread that waits for the message gets it, and then no signal is sent.
    let is_awaited = libos.threads.is_file_awaited(node.index());
    let notification = if was_empty && !is_awaited { libos.files.take_notification(node) } else { None };
    libos.change(|files, _| files.notify(node, Ready::IN));
    if let Some(Notification { signal: signal @ 1.., value }) = notification {
        let user_or_overrun = libos.identity().users.real;
        let origin = Origin { code: FROM_QUEUE, sender: PROCESS, user_or_overrun, value };
        send_to_any(libos, signal, origin);
    }
    Ok(0)
}

/// mq_timedreceive(2).
pub fn mq_timedreceive(libos: &mut Libos, arguments: Arguments) -> SyscallResult {
    let Arguments([file, into, length, priority, timeout, _]) = arguments;
    let deadline = deadline_at(timeout)?;
    let take = |message: &Message| {
        Slice::new(into, length).copy_in(&message.bytes)?;
        if priority == 0 { Ok(()) } else { user::write(priority, &message.priority) }
    };
    until(deadline, libos.change(|files, _| files.receive_from_queue(file as i32, length, take)))
}

/// mq_notify(2).
pub fn mq_notify(libos: &mut Libos, Arguments([file, event, ..]): Arguments) -> SyscallResult {
    let wanted = match event {
        0 => None,
        address => {
            let [low, high, signal, how]: [u32; 4] = user::read(address)?;
            let value = u64::from(high) << 32 | u64::from(low);
            match how {
                SIGEV_SIGNAL => Some(Notification { signal: number(signal.into())?, value }),
                SIGEV_NONE => Some(Notification { signal: 0, value }),
                // A C library would want a message on a netlink socket.
                SIGEV_THREAD => return Err(Errno::ENOSYS.into()),
                _ => return Err(Errno::EINVAL.into()),
            }
        }
    };
    let (_, queue) = libos.files.queue(file as i32)?;
    if wanted.is_some() && queue.notification.is_some() {
        return Err(Errno::EBUSY.into());
    }
    queue.notification = wanted;
    Ok(0)
}

/// mq_getsetattr(2).
pub fn mq_getsetattr(libos: &mut Libos, Arguments([file, new, old, ..]): Arguments) -> SyscallResult {
    let file = file as i32;
    let changed = if new == 0 { None } else { Some(user::read::<[i64; 8]>(new)?[0]) };
    if changed.is_some_and(|flags| flags & !i64::from(O_NONBLOCK) != 0) {
        return Err(Errno::EINVAL.into());
    }
    let (_, queue) = libos.files.queue(file)?;
    let ([most, size], count) = (queue.limits, queue.count());
    let flags = libos.files.status_flags(file)? & O_NONBLOCK;
    if old != 0 {
        user::write(old, &[i64::from(flags), most as i64, size as i64, count as i64, 0, 0, 0, 0])?;
    }
    if let Some(flags) = changed {
        libos.files.set_nonblocking(file, flags != 0)?;
    }
    Ok(0)
}
