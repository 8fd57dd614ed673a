//! Calls about threads.

use super::{Arguments, priority, process, robust};
use crate::arch;
use crate::errno::Errno;
use crate::notices::{self, notice};
use crate::state::{End, Libos};
use crate::syscall_result::{Stop, SyscallResult};
use crate::user::{self, Slice};
use linux_raw_sys::general::*;

/// Flags that make a child a thread of this program rather than a process of its own.
const THREAD: u32 = CLONE_VM | CLONE_SIGHAND | CLONE_THREAD;

/// clone(2), with x86-64's order of arguments.
pub fn clone(libos: &mut Libos, Arguments([flags, stack, parent_id, child_id, base, _]): Arguments) -> SyscallResult {
    let flags = flags as u32;
    if flags & THREAD != THREAD || stack == 0 {
        notices::give_once(notice::PROCESS_REFUSED, __NR_clone.into());
        return Err(Errno::ENOSYS.into());
    }
    if libos.threads.count() as u64 >= process::threads_maximum(libos) {
        return Err(Errno::EAGAIN.into());
    }
    let mut registers = libos.threads.current().registers.on_stack(stack);
    registers.set_result(0);
    let base = if flags & CLONE_SETTLS != 0 { base } else { arch::thread_base() };
    let child = libos.threads.add(registers, base)?;
    if flags & CLONE_CHILD_CLEARTID != 0 {
        child.clear_at_exit = child_id;
    }
    let id = child.id;
    // The thread exists by now; an address that cannot be written is ignored, as on Linux.
    if flags & CLONE_PARENT_SETTID != 0 {
        let _ = user::write(parent_id, &id);
    }
    if flags & CLONE_CHILD_SETTID != 0 {
        let _ = user::write(child_id, &id);
    }
    Ok(u64::from(id))
}

/// exit(2): ends the thread, and the program if it was the last.
pub fn exit(libos: &mut Libos, Arguments([status, ..]): Arguments) -> SyscallResult {
    if libos.threads.count() == 1 {
        libos.end(End::Exit(status as u8));
        return Err(Stop::Gone);
    }
    priority::give_up(libos);
    robust::give_up(libos);
    let address = libos.threads.current().clear_at_exit;
    if address != 0 && user::write(address, &0u32).is_ok() {
        libos.threads.wake_futex(address, u32::MAX, 1);
    }
    Err(Stop::Gone)
}

/// gettid(2).
pub fn gettid(libos: &mut Libos, _: Arguments) -> SyscallResult {
    Ok(u64::from(libos.threads.current().id))
}

/// set_tid_address(2).
pub fn set_tid_address(libos: &mut Libos, Arguments([address, ..]): Arguments) -> SyscallResult {
    let thread = libos.threads.current();
    thread.clear_at_exit = address;
    Ok(u64::from(thread.id))
}

/// sched_yield(2).
pub fn sched_yield(libos: &mut Libos, _: Arguments) -> SyscallResult {
    libos.threads.yield_turn();
    Ok(0)
}

/// sched_setaffinity(2): succeeds if the set contains the only processor.
pub fn sched_setaffinity(_: &mut Libos, Arguments([_thread, length, from, ..]): Arguments) -> SyscallResult {
    let first: u8 = if length == 0 { 0 } else { user::read(from)? };
    if first & 1 != 0 { Ok(0) } else { Err(Errno::EINVAL.into()) }
}

/// sched_getaffinity(2): returns the only processor, in a set of one word.
pub fn sched_getaffinity(_: &mut Libos, Arguments([_thread, length, into, ..]): Arguments) -> SyscallResult {
    if length < 8 || !length.is_multiple_of(8) {
        return Err(Errno::EINVAL.into());
    }
    user::write(into, &1u64)?;
    Ok(8)
}

/// membarrier(2): with one processor, every system call is a barrier for all threads.
pub fn membarrier(_: &mut Libos, Arguments([command, ..]): Arguments) -> SyscallResult {
    use membarrier_cmd::*;
    let known = [
        MEMBARRIER_CMD_GLOBAL,
        MEMBARRIER_CMD_GLOBAL_EXPEDITED,
        MEMBARRIER_CMD_REGISTER_GLOBAL_EXPEDITED,
        MEMBARRIER_CMD_PRIVATE_EXPEDITED,
        MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED,
    ];
    match command {
        0 => Ok(known.iter().fold(0, |set, command| set | *command as u64)),
        command if known.iter().any(|known| *known as u64 == command) => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// getcpu(2).
pub fn getcpu(_: &mut Libos, Arguments([cpu, node, ..]): Arguments) -> SyscallResult {
    for into in [cpu, node] {
        if into != 0 {
            Slice::new(into, 4).zero()?;
        }
    }
    Ok(0)
}
