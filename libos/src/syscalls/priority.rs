//! Futexes that inherit priorities: FUTEX_LOCK_PI and its relatives (futex(2), "Priority-inheritance futexes").
//!
//! The word holds the number of the owner, and a bit if threads wait. Threads here take turns of equal length, so there is no priority
//! to inherit; what such a lock has besides is kept: it passes from its owner to the first that waits, in order, also when the owner
//! ends.

use super::futex::read_time;
use crate::clock::{self, Base};
use crate::errno::Errno;
use crate::state::Libos;
use crate::syscall_result::{Resume, Sleep, Stop, SyscallResult, WaitFor};
use crate::user;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use linux_raw_sys::general::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS};

/// Offset of the address at which threads wait for such a lock: a futex that the program names is a multiple of 4.
const WAITS: u64 = 1;

/// Offset of the address at which threads wait to be requeued to such a lock.
const REQUEUES: u64 = 2;

/// True once a thread has waited for such a lock: the end of a thread looks for them only then.
static WAITED: AtomicBool = AtomicBool::new(false);

/// FUTEX_LOCK_PI, and FUTEX_LOCK_PI2 on a clock of choice: takes the lock, or waits until it is passed to the thread.
pub fn lock(libos: &mut Libos, address: u64, base: Base, time: u64) -> SyscallResult {
    let deadline = read_time(time)?.map(|time| clock::to_monotonic(base, time));
    let id = libos.threads.current().id;
    let Some(owner) = take(libos, id, address)? else { return Ok(0) };
    if waits_for_current(libos, owner) {
        return Err(Errno::EDEADLK.into());
    }
    WAITED.store(true, Relaxed);
    Err(Stop::Block(Sleep {
        on: WaitFor::Futex(address + WAITS, owner),
        deadline,
        woken: Resume::Return(0),
        expired: Resume::Return(Errno::ETIMEDOUT.to_result()),
    }))
}

/// FUTEX_TRYLOCK_PI.
pub fn try_lock(libos: &mut Libos, address: u64) -> SyscallResult {
    let id = libos.threads.current().id;
    if take(libos, id, address)?.is_none() { Ok(0) } else { Err(Errno::EAGAIN.into()) }
}

/// FUTEX_UNLOCK_PI: passes the lock to the first thread that waits.
pub fn unlock(libos: &mut Libos, address: u64) -> SyscallResult {
    let value: u32 = user::read(address)?;
    if value & FUTEX_TID_MASK != libos.threads.current().id {
        return Err(Errno::EPERM.into());
    }
    pass(libos, address, 0)?;
    Ok(0)
}

/// Returns true if a thread waits for the lock at this address.
pub fn is_waited_for(libos: &mut Libos, address: u64) -> bool {
    WAITED.load(Relaxed) && libos.threads.first_at(address + WAITS).is_some()
}

/// Owner of the lock at this address for those that wait for it, if any does.
fn owner_of_waits(libos: &mut Libos, address: u64) -> Option<u32> {
    let (first, _) = libos.threads.first_at(address + WAITS)?;
    libos.threads.futex_wait_of(first).map(|(_, owner)| owner)
}

/// Returns true if a thread waits, directly or through other owners of locks, for one that the current thread has.
fn waits_for_current(libos: &mut Libos, mut thread: u32) -> bool {
    let id = libos.threads.current().id;
    // More steps than there are threads would go round a circle of others.
    for _ in 0..libos.threads.count() {
        match libos.threads.futex_wait_of(thread) {
            Some((address, owner)) if address % 4 == WAITS => thread = owner,
            _ => return false,
        }
        if thread == id {
            return true;
        }
    }
    false
}

/// Passes on the locks that the current thread, which ends, has and others wait for. A C library may have cleared the owner in the
/// word before, so the waiting threads know it.
pub fn give_up(libos: &mut Libos) {
    if !WAITED.load(Relaxed) {
        return;
    }
    let id = libos.threads.current().id;
    let mut from = 0;
    while let Some(waited) = libos.threads.waited_from(from, |address, owner| address % 4 == WAITS && owner == id) {
        let address = waited - WAITS;
        // A word that could be read before the wait still can.
        let value: u32 = user::read(address).unwrap_or_default();
        let owner = value & FUTEX_TID_MASK;
        if owner != id && libos.threads.find(owner).is_some() {
            // Another took the lock in user space after the word was cleared: the waiting threads wait for it now, and it must know.
            libos.threads.set_bits(waited, owner);
            let _ = user::write(address, &(value | FUTEX_WAITERS));
        } else {
            let _ = pass(libos, address, FUTEX_OWNER_DIED);
        }
        from = waited + 1;
    }
}

/// FUTEX_WAIT_REQUEUE_PI: waits until another thread requeues this one to a lock, and then for the lock.
pub fn wait_for_requeue(address: u64, value: u32, deadline: Option<u64>, lock: u64) -> SyscallResult {
    if address == lock {
        return Err(Errno::EINVAL.into());
    }
    if user::read::<u32>(address)? != value {
        return Err(Errno::EAGAIN.into());
    }
    WAITED.store(true, Relaxed);
    Err(Stop::Block(Sleep {
        on: WaitFor::Futex(address + REQUEUES, u32::MAX),
        deadline,
        woken: Resume::Return(0),
        expired: Resume::Return(Errno::ETIMEDOUT.to_result()),
    }))
}

/// FUTEX_CMP_REQUEUE_PI: gives a lock that is free to the first thread that waits at `address`, and makes up to `limit` others, and it
/// if the lock is not free, wait for the lock. Returns their number. EINVAL if one waits for another lock.
pub fn requeue(libos: &mut Libos, address: u64, value: u32, lock: u64, limit: u32) -> SyscallResult {
    if address == lock {
        return Err(Errno::EINVAL.into());
    }
    if user::read::<u32>(address)? != value {
        return Err(Errno::EAGAIN.into());
    }
    let mut count = 0;
    while count <= u64::from(limit)
        && let Some((id, _)) = libos.threads.first_at(address + REQUEUES)
    {
        let (_, thread) = libos.threads.find(id).ok_or(Errno::ESRCH)?;
        let [_, _, _, _, wanted, _] = thread.registers.arguments();
        let taken = if wanted == lock { take(libos, id, lock) } else { Err(Errno::EINVAL) };
        match taken {
            Ok(None) => {
                libos.threads.wake_futex(address + REQUEUES, u32::MAX, 1);
            }
            Ok(Some(owner)) => {
                libos.threads.move_futex(address + REQUEUES, lock + WAITS, 1);
                libos.threads.set_bits(lock + WAITS, owner);
            }
            Err(_) if count > 0 => break,
            Err(errno) => return Err(errno.into()),
        }
        count += 1;
    }
    Ok(count)
}

/// Takes a free lock for the thread `id`, or notes in its word that a thread waits, and returns the owner. EDEADLK if the
/// thread has it, ESRCH if its owner is no thread.
fn take(libos: &mut Libos, id: u32, address: u64) -> Result<Option<u32>, Errno> {
    let value: u32 = user::read(address)?;
    match value & FUTEX_TID_MASK {
        0 => {
            let waited_for = if WAITED.load(Relaxed) { owner_of_waits(libos, address) } else { None };
            // The owner cleared the word and is about to end, which passes the lock to the first that waits.
            if value & FUTEX_OWNER_DIED != 0
                && let Some(owner) = waited_for.filter(|owner| *owner != id)
                && libos.threads.find(owner).is_some()
            {
                return Ok(Some(owner));
            }
            let waiters = if waited_for.is_some() { FUTEX_WAITERS } else { 0 };
            user::write(address, &(id | waiters | value & FUTEX_OWNER_DIED))?;
            if waited_for.is_some() {
                libos.threads.set_bits(address + WAITS, id);
            }
            Ok(None)
        }
        owner if owner == id => Err(Errno::EDEADLK),
        owner => {
            user::write(address, &(value | FUTEX_WAITERS))?;
            if libos.threads.find(owner).is_some() { Ok(Some(owner)) } else { Err(Errno::ESRCH) }
        }
    }
}

/// Passes a lock of the current thread to the first that waits, with these bits, or frees it.
fn pass(libos: &mut Libos, address: u64, bits: u32) -> Result<(), Errno> {
    let waited = address + WAITS;
    let next = libos.threads.first_at(waited);
    let word = match next {
        Some((id, is_last)) => id | bits | if is_last { 0 } else { FUTEX_WAITERS },
        None => bits,
    };
    user::write(address, &word)?;
    libos.threads.wake_futex(waited, u32::MAX, 1);
    if let Some((id, _)) = next {
        libos.threads.set_bits(waited, id);
    }
    Ok(())
}
