//! Robust futexes: locks that their owner lists, so that another thread gets them when the owner ends. See the kernel's
//! Documentation/locking/robust-futexes.rst.
//!
//! The list is the program's: a ring of entries, each a pointer to the next, with the lock at a distance that is the same for
//! all. Its head holds the first pointer, the distance, and an entry that the thread was about to add or to remove.

use super::Arguments;
use crate::errno::Errno;
use crate::state::Libos;
use crate::syscall_result::SyscallResult;
use crate::user;
use linux_raw_sys::general::{FUTEX_OWNER_DIED, FUTEX_TID_MASK, FUTEX_WAITERS, ROBUST_LIST_LIMIT};

/// Bytes in the head of a list.
const HEAD: u64 = 24;
/// Bit of a pointer to an entry whose lock inherits priorities.
const INHERITS: u64 = 1;

/// set_robust_list(2).
pub fn set_robust_list(libos: &mut Libos, Arguments([head, length, ..]): Arguments) -> SyscallResult {
    if length != HEAD {
        return Err(Errno::EINVAL.into());
    }
    libos.threads.current().robust_list = head;
    Ok(0)
}

/// get_robust_list(2).
pub fn get_robust_list(libos: &mut Libos, Arguments([thread, head, length, ..]): Arguments) -> SyscallResult {
    let list = match thread as u32 {
        0 => libos.threads.current().robust_list,
        id => libos.threads.find(id).ok_or(Errno::ESRCH)?.1.robust_list,
    };
    user::write(length, &HEAD)?;
    user::write(head, &list)?;
    Ok(0)
}

/// Marks the locks that the current thread, which ends, still has, and wakes a waiter of each.
pub fn give_up(libos: &mut Libos) {
    let head = libos.threads.current().robust_list;
    if head != 0 {
        // A list that cannot be read to its end is left there, as on Linux.
        let _ = walk(libos, head);
    }
}

fn walk(libos: &mut Libos, head: u64) -> Result<(), Errno> {
    let [first, distance, pending]: [u64; 3] = user::read(head)?;
    let lock = |entry: u64| (entry & !INHERITS).wrapping_add(distance);
    let mut entry = first;
    for _ in 0..ROBUST_LIST_LIMIT {
        if entry & !INHERITS == head {
            break;
        }
        let next = user::read(entry & !INHERITS)?;
        if entry & !INHERITS != pending & !INHERITS {
            owner_died(libos, lock(entry), entry & INHERITS != 0, false)?;
        }
        entry = next;
    }
    if pending & !INHERITS == 0 {
        return Ok(());
    }
    owner_died(libos, lock(pending), pending & INHERITS != 0, true)
}

/// Marks a lock if the current thread has it. One that is `pending` and free may have been released before its waiter was woken.
fn owner_died(libos: &mut Libos, lock: u64, inherits: bool, pending: bool) -> Result<(), Errno> {
    if !lock.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    let value: u32 = user::read(lock)?;
    let owner = value & FUTEX_TID_MASK;
    let mut wakes = pending && owner == 0;
    if owner == libos.threads.current().id {
        user::write(lock, &(value & FUTEX_WAITERS | FUTEX_OWNER_DIED))?;
        wakes = value & FUTEX_WAITERS != 0;
    }
    if wakes && !inherits {
        libos.threads.wake_futex(lock, u32::MAX, 1);
    }
    Ok(())
}
