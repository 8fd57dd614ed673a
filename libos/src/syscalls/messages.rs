//! Calls on message queues of System V ([`crate::ipc`]).

use super::Arguments;
use crate::errno::Errno;
use crate::ipc::messages::{CUT, EXCEPT, MESSAGE_MAXIMUM, Message, Queue};
use crate::ipc::{NO_WAIT, Permissions, REMOVE, SET, STAT};
use crate::process::PROCESS;
use crate::state::{Libos, now};
use crate::syscall_result::{Stop, SyscallResult, WaitFor};
use crate::user::{self, Slice};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Flag of msgrcv(2) that copies a message, which the kernel may lack, too.
const COPY: u32 = 0o40000;
/// Sort of the events of queues: see [`WaitFor::Ipc`].
const SORT: u64 = 1 << 32;

/// State of a queue: the kernel's `struct msqid64_ds`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Status {
    permissions: Permissions,
    times: [i64; 2],
    changed: i64,
    bytes: u64,
    count: u64,
    limit: u64,
    processes: [u32; 2],
    reserved: [u64; 2],
}

/// msgget(2).
pub fn msgget(libos: &mut Libos, Arguments([key, flags, ..]): Arguments) -> SyscallResult {
    let caller = (libos.identity().caller(), now().seconds);
    let id = libos.ipc.queues.get(key as i32, flags as u32, caller, |_| Ok(()), || Ok(Queue::default()))?;
    Ok(id.into())
}

/// msgsnd(2).
pub fn msgsnd(libos: &mut Libos, Arguments([id, from, size, flags, ..]): Arguments) -> SyscallResult {
    let kind: i64 = user::read(from)?;
    if kind < 1 || size > MESSAGE_MAXIMUM {
        return Err(Errno::EINVAL.into());
    }
    let id = id as u32;
    let queue = &mut libos.ipc.queues.find(id)?.value;
    if !queue.has_room(size) {
        return if flags as u32 & NO_WAIT != 0 { Err(Errno::EAGAIN.into()) } else { wait(id) };
    }
    queue.send(Message { kind, bytes: Slice::new(from.wrapping_add(8), size).boxed()? })?;
    (queue.times[0], queue.processes[0]) = (now().seconds, PROCESS);
    libos.threads.wake_ipc(SORT | u64::from(id));
    Ok(0)
}

/// msgrcv(2).
pub fn msgrcv(libos: &mut Libos, Arguments([id, into, size, kind, flags, _]): Arguments) -> SyscallResult {
    let (id, flags) = (id as u32, flags as u32);
    if i64::try_from(size).is_err() {
        return Err(Errno::EINVAL.into());
    }
    if flags & COPY != 0 {
        return Err(Errno::ENOSYS.into());
    }
    let queue = &mut libos.ipc.queues.find(id)?.value;
    let found = queue.find(kind as i64, flags & EXCEPT != 0);
    let Some((index, message)) = found.and_then(|index| Some((index, queue.get(index)?))) else {
        return if flags & NO_WAIT != 0 { Err(Errno::ENOMSG.into()) } else { wait(id) };
    };
    let length = message.bytes.len() as u64;
    if length > size && flags & CUT == 0 {
        return Err(Errno::E2BIG.into());
    }
    let part = length.min(size);
    let bytes = message.bytes.get(..part as usize).unwrap_or_default();
    user::write(into, &message.kind)?;
    Slice::new(into.wrapping_add(8), part).copy_in(bytes)?;
    queue.take(index);
    (queue.times[1], queue.processes[1]) = (now().seconds, PROCESS);
    libos.threads.wake_ipc(SORT | u64::from(id));
    Ok(part)
}

/// Waits for a change of a queue.
fn wait(id: u32) -> SyscallResult {
    Err(Stop::until(WaitFor::Ipc(SORT | u64::from(id)), None))
}

/// msgctl(2).
pub fn msgctl(libos: &mut Libos, Arguments([id, command, address, ..]): Arguments) -> SyscallResult {
    let id = id as u32;
    match command as u32 {
        REMOVE => {
            libos.ipc.queues.remove(id)?;
            libos.threads.end_ipc(SORT | u64::from(id), Errno::EIDRM);
        }
        SET => {
            let to: Status = user::read(address)?;
            let queue = libos.ipc.queues.find(id)?;
            queue.set(&to.permissions, now().seconds);
            queue.value.limit = to.limit;
            // There may be room now.
            libos.threads.wake_ipc(SORT | u64::from(id));
        }
        STAT => {
            let queue = libos.ipc.queues.find(id)?;
            let Queue { bytes, limit, times, processes, .. } = queue.value;
            let count = queue.value.count();
            let (permissions, changed) = (queue.permissions, queue.changed);
            let status = Status { permissions, times, changed, bytes, count, limit, processes, reserved: [0; 2] };
            user::write(address, &status)?;
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}
