//! Calls on sets of semaphores of System V ([`crate::ipc`]).

use super::Arguments;
use super::wait::timeout_at;
use crate::errno::Errno;
use crate::ipc::semaphores::{
    OPERATIONS_MAXIMUM, Operation, SEMAPHORES_MAXIMUM, Semaphore, Set, VALUE_MAXIMUM, Waiting,
};
use crate::ipc::{NO_WAIT, Permissions, REMOVE, SET, STAT};
use crate::process::PROCESS;
use crate::state::{Libos, now};
use crate::syscall_result::{Resume, Sleep, Stop, SyscallResult, WaitFor};
use crate::user;
use alloc::vec::Vec;
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Sort of the events of sets: see [`WaitFor::Ipc`].
const SORT: u64 = 2 << 32;

/// Commands of semctl(2). Of the two that count threads, `GETNCNT` is the other.
mod command {
    pub const GET_PROCESS: u32 = 11;
    pub const GET: u32 = 12;
    pub const GET_ALL: u32 = 13;
    pub const COUNT_ZERO: u32 = 15;
    pub const SET_ONE: u32 = 16;
    pub const SET_ALL: u32 = 17;
}

/// State of a set: the kernel's `struct semid64_ds`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Status {
    permissions: Permissions,
    operated: [i64; 2],
    changed: [i64; 2],
    count: u64,
    reserved: [u64; 2],
}

/// semget(2).
pub fn semget(libos: &mut Libos, Arguments([key, count, flags, ..]): Arguments) -> SyscallResult {
    let count = u64::try_from(count as i32).ok().filter(|count| *count <= SEMAPHORES_MAXIMUM).ok_or(Errno::EINVAL)?;
    let caller = (libos.identity().caller(), now().seconds);
    let fits = |set: &Set| if count > set.semaphores.len() as u64 { Err(Errno::EINVAL) } else { Ok(()) };
    let make = || if count == 0 { Err(Errno::EINVAL) } else { Set::new(count) };
    Ok(libos.ipc.sets.get(key as i32, flags as u32, caller, fits, make)?.into())
}

/// semop(2).
pub fn semop(libos: &mut Libos, Arguments([id, from, count, ..]): Arguments) -> SyscallResult {
    semtimedop(libos, Arguments([id, from, count, 0, 0, 0]))
}

/// semtimedop(2).
pub fn semtimedop(libos: &mut Libos, Arguments([id, from, count, timeout, ..]): Arguments) -> SyscallResult {
    let (id, count) = (id as u32, u64::from(count as u32));
    if count == 0 {
        return Err(Errno::EINVAL.into());
    }
    if count > OPERATIONS_MAXIMUM {
        return Err(Errno::E2BIG.into());
    }
    let mut operations: Vec<Operation> = Vec::new();
    operations.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
    for address in user::entries(from, size_of::<Operation>() as u64, count) {
        operations.push(user::read(address)?);
    }
    let timeout_ns = timeout_at(timeout)?;
    let thread = libos.threads.current().id;
    let set = &mut libos.ipc.sets.find(id)?.value;
    set.waiting.retain(|waiting| waiting.thread != thread);
    let Some(Operation { index, by, flags }) = set.operate(&operations, PROCESS)? else {
        set.operated = now().seconds;
        if operations.iter().any(|operation| operation.by != 0) {
            libos.threads.wake_ipc(SORT | u64::from(id));
        }
        return Ok(0);
    };
    if u32::from(flags) & NO_WAIT != 0 {
        return Err(Errno::EAGAIN.into());
    }
    set.waiting.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    set.waiting.push(Waiting { thread, index, for_zero: by == 0 });
    let deadline = timeout_ns.map(|ns| libos.threads.deadline_in(ns));
    let expired = Resume::Return(Errno::EAGAIN.to_result());
    Err(Stop::Block(Sleep { on: WaitFor::Ipc(SORT | u64::from(id)), deadline, woken: Resume::Restart, expired }))
}

/// semctl(2).
pub fn semctl(libos: &mut Libos, Arguments([id, index, command, argument, ..]): Arguments) -> SyscallResult {
    let (id, command) = (id as u32, command as u32);
    match command {
        REMOVE => {
            libos.ipc.sets.remove(id)?;
            libos.threads.end_ipc(SORT | u64::from(id), Errno::EIDRM);
            Ok(0)
        }
        SET => {
            let to: Status = user::read(argument)?;
            libos.ipc.sets.find(id)?.set(&to.permissions, now().seconds);
            Ok(0)
        }
        STAT => {
            let set = libos.ipc.sets.find(id)?;
            let status = Status {
                permissions: set.permissions,
                operated: [set.value.operated, 0],
                changed: [set.changed, 0],
                count: set.value.semaphores.len() as u64,
                reserved: [0; 2],
            };
            user::write(argument, &status)?;
            Ok(0)
        }
        command::GET_ALL => {
            let values = libos.ipc.sets.find(id)?.value.semaphores.iter().map(|semaphore| semaphore.value);
            for (address, value) in user::entries(argument, 2, SEMAPHORES_MAXIMUM).zip(values) {
                user::write(address, &value)?;
            }
            Ok(0)
        }
        command::SET_ALL => set_all(libos, id, argument),
        _ => of_one(libos, id, index as u32 as usize, command, argument),
    }
}

/// `SETALL`: sets all values, which are at an address.
fn set_all(libos: &mut Libos, id: u32, address: u64) -> SyscallResult {
    let set = libos.ipc.sets.find(id)?;
    let count = set.value.semaphores.len();
    let mut values: Vec<u16> = Vec::new();
    values.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
    for address in user::entries(address, 2, count as u64) {
        values.push(user::read(address)?);
    }
    if values.iter().any(|value| i32::from(*value) > VALUE_MAXIMUM) {
        return Err(Errno::ERANGE.into());
    }
    for (semaphore, value) in set.value.semaphores.iter_mut().zip(values) {
        *semaphore = Semaphore { value, process: PROCESS };
    }
    set.changed = now().seconds;
    libos.threads.wake_ipc(SORT | u64::from(id));
    Ok(0)
}

/// The commands on one semaphore.
fn of_one(libos: &mut Libos, id: u32, index: usize, command: u32, argument: u64) -> SyscallResult {
    let Libos { ipc, threads, .. } = libos;
    let set = ipc.sets.find(id)?;
    let known = command::GET_PROCESS..=command::SET_ONE;
    let semaphore = set.value.semaphores.get_mut(index).filter(|_| known.contains(&command)).ok_or(Errno::EINVAL)?;
    match command {
        command::GET_PROCESS => Ok(semaphore.process.into()),
        command::GET => Ok(semaphore.value.into()),
        command::SET_ONE => {
            let value = argument as i32;
            if !(0..=VALUE_MAXIMUM).contains(&value) {
                return Err(Errno::ERANGE.into());
            }
            *semaphore = Semaphore { value: value as u16, process: PROCESS };
            set.changed = now().seconds;
            threads.wake_ipc(SORT | u64::from(id));
            Ok(0)
        }
        _ => {
            let for_zero = command == command::COUNT_ZERO;
            set.value.waiting.retain(|waiting| threads.waits_for_ipc(waiting.thread, SORT | u64::from(id)));
            let counts = |waiting: &&Waiting| usize::from(waiting.index) == index && waiting.for_zero == for_zero;
            Ok(set.value.waiting.iter().filter(counts).count() as u64)
        }
    }
}
