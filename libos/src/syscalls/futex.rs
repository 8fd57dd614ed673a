//! futex(2): waits of the locks of musl and std.

use super::{Arguments, priority};
use crate::clock::{self, Base, Timespec};
use crate::errno::Errno;
use crate::state::Libos;
use crate::syscall_result::{Resume, Sleep, Stop, SyscallResult, WaitFor};
use crate::user::{self, Slice};
use linux_raw_sys::general::*;

/// futex(2). The fourth argument is a time or a number, by operation.
pub fn futex(libos: &mut Libos, Arguments([address, operation, value, time, other, last]): Arguments) -> SyscallResult {
    let (operation, value, last) = (operation as u32, value as u32, last as u32);
    if address == 0 {
        return Err(Errno::EINVAL.into());
    }
    check(address)?;
    let base = if operation & FUTEX_CLOCK_REALTIME != 0 { Base::Realtime } else { Base::Monotonic };
    match operation & FUTEX_CMD_MASK as u32 {
        FUTEX_WAIT => {
            let deadline = read_time(time)?.map(|timeout| libos.threads.deadline_in(timeout));
            wait(libos, address, value, u32::MAX, deadline)
        }
        FUTEX_WAIT_BITSET if last != 0 => {
            let deadline = read_time(time)?.map(|time| clock::to_monotonic(base, time));
            wait(libos, address, value, last, deadline)
        }
        FUTEX_WAKE | FUTEX_WAKE_BITSET | FUTEX_REQUEUE | FUTEX_CMP_REQUEUE
            if priority::is_waited_for(libos, address) =>
        {
            Err(Errno::EINVAL.into())
        }
        FUTEX_WAKE => Ok(u64::from(libos.threads.wake_futex(address, u32::MAX, value))),
        FUTEX_WAKE_BITSET if last != 0 => Ok(u64::from(libos.threads.wake_futex(address, last, value))),
        FUTEX_REQUEUE => {
            check(other)?;
            Ok(requeue(libos, address, value, other, time as u32).0.into())
        }
        FUTEX_CMP_REQUEUE => {
            check(other)?;
            if user::read::<u32>(address)? != last {
                return Err(Errno::EAGAIN.into());
            }
            let (woken, moved) = requeue(libos, address, value, other, time as u32);
            Ok(u64::from(woken) + u64::from(moved))
        }
        FUTEX_WAKE_OP => {
            check(other)?;
            wake_changed(libos, (address, value), (other, time as u32), last)
        }
        FUTEX_WAIT_REQUEUE_PI => {
            check(other)?;
            let deadline = read_time(time)?.map(|time| clock::to_monotonic(base, time));
            priority::wait_for_requeue(address, value, deadline, other)
        }
        FUTEX_CMP_REQUEUE_PI if value != 1 => Err(Errno::EINVAL.into()),
        FUTEX_CMP_REQUEUE_PI => {
            check(other)?;
            priority::requeue(libos, address, last, other, time as u32)
        }
        FUTEX_LOCK_PI if operation & FUTEX_CLOCK_REALTIME != 0 => Err(Errno::ENOSYS.into()),
        FUTEX_LOCK_PI => priority::lock(libos, address, Base::Realtime, time),
        FUTEX_LOCK_PI2 => priority::lock(libos, address, base, time),
        FUTEX_TRYLOCK_PI => priority::try_lock(libos, address),
        FUTEX_UNLOCK_PI => priority::unlock(libos, address),
        FUTEX_WAIT_BITSET | FUTEX_WAKE_BITSET => Err(Errno::EINVAL.into()),
        _ => Err(Errno::ENOSYS.into()),
    }
}

/// Refuses an address that no futex of the program can have: others stand for waits of other kinds.
fn check(address: u64) -> Result<(), Errno> {
    if !address.is_multiple_of(4) {
        return Err(Errno::EINVAL);
    }
    Slice::new(address, size_of::<u32>() as u64).check().map(drop)
}

/// Reads the time at an address; `None` for a null pointer.
pub(super) fn read_time(address: u64) -> Result<Option<u64>, Errno> {
    if address == 0 {
        return Ok(None);
    }
    clock::from_timespec(user::read::<Timespec>(address)?).map(Some)
}

fn wait(_: &mut Libos, address: u64, value: u32, bits: u32, deadline: Option<u64>) -> SyscallResult {
    if user::read::<u32>(address)? != value {
        return Err(Errno::EAGAIN.into());
    }
    Err(Stop::Block(Sleep {
        on: WaitFor::Futex(address, bits),
        deadline,
        woken: Resume::Return(0),
        expired: Resume::Return(Errno::ETIMEDOUT.to_result()),
    }))
}

/// FUTEX_WAKE_OP: changes the second word, and wakes threads that wait at the first one; if the second had a value that is asked for,
/// also there. Returns the number of threads. The bits of `code` are described in futex(2).
fn wake_changed(libos: &mut Libos, first: (u64, u32), second: (u64, u32), code: u32) -> SyscallResult {
    if [first.0, second.0].iter().any(|address| priority::is_waited_for(libos, *address)) {
        return Err(Errno::EINVAL.into());
    }
    let signed = |shift: u32| (code << (20 - shift)) as i32 >> 20;
    let (operand, compared) = (signed(12), signed(0));
    let operand = if code >> 28 & FUTEX_OP_OPARG_SHIFT != 0 { 1 << (operand & 31) } else { operand };
    let before: i32 = user::read(second.0)?;
    let after = match code >> 28 & 7 {
        FUTEX_OP_SET => operand,
        FUTEX_OP_ADD => before.wrapping_add(operand),
        FUTEX_OP_OR => before | operand,
        FUTEX_OP_ANDN => before & !operand,
        FUTEX_OP_XOR => before ^ operand,
        _ => return Err(Errno::ENOSYS.into()),
    };
    user::write(second.0, &after)?;
    let meets = match code >> 24 & 15 {
        FUTEX_OP_CMP_EQ => before == compared,
        FUTEX_OP_CMP_NE => before != compared,
        FUTEX_OP_CMP_LT => before < compared,
        FUTEX_OP_CMP_LE => before <= compared,
        FUTEX_OP_CMP_GT => before > compared,
        FUTEX_OP_CMP_GE => before >= compared,
        _ => return Err(Errno::ENOSYS.into()),
    };
    let woken = libos.threads.wake_futex(first.0, u32::MAX, first.1);
    let others = if meets { libos.threads.wake_futex(second.0, u32::MAX, second.1) } else { 0 };
    Ok(u64::from(woken) + u64::from(others))
}

/// Wakes some threads and requeues others; returns both numbers.
fn requeue(libos: &mut Libos, from: u64, wake: u32, to: u64, limit: u32) -> (u32, u32) {
    let woken = libos.threads.wake_futex(from, u32::MAX, wake);
    (woken, libos.threads.move_futex(from, to, limit))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_futex_has_an_aligned_address_of_the_program() {
        assert_eq!(check(0x1000), Ok(()));
        for odd in [1, 2, 0x1001, 0x1003] {
            assert_eq!(check(odd), Err(Errno::EINVAL));
        }
        assert_eq!((check(0), check(u64::MAX - 3)), (Err(Errno::EFAULT), Err(Errno::EFAULT)));
    }
}
