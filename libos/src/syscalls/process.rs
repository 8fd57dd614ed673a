//! Calls about the process: there is one, without parent and children.

use super::{Arguments, identity};
use crate::errno::Errno;
use crate::fs::descriptor::DESCRIPTORS_MAXIMUM;
use crate::memory::MEMORY;
use crate::process::{Limit, PROCESS};
use crate::state::{End, Libos};
use crate::syscall_result::{Stop, SyscallResult};
use crate::user::{self, Slice};
use crate::{arch, clock, image, processor_time};
use linux_raw_sys::general::*;
use linux_raw_sys::prctl::*;

/// Ends the program with the low 8 bits of its status.
pub fn exit_group(libos: &mut Libos, Arguments([status, ..]): Arguments) -> SyscallResult {
    libos.end(End::Exit(status as u8));
    Err(Stop::Gone)
}

/// getpid(2) and similar calls: the number of the only process.
pub fn process(_: &mut Libos, _: Arguments) -> SyscallResult {
    Ok(u64::from(PROCESS))
}

/// Calls that always return 0.
pub fn zero(_: &mut Libos, _: Arguments) -> SyscallResult {
    Ok(0)
}

/// wait4(2) and waitid(2).
pub fn no_child(_: &mut Libos, _: Arguments) -> SyscallResult {
    Err(Errno::ECHILD.into())
}

/// prctl(2). Unknown options must fail, because some libraries ask for the auxiliary vector here first.
pub fn prctl(libos: &mut Libos, arguments: Arguments) -> SyscallResult {
    let Arguments([option, argument, length, ..]) = arguments;
    let thread = libos.threads.current();
    match option as u32 {
        PR_SET_NAME => {
            thread.name = [0; 16];
            for (at, slot) in thread.name.iter_mut().take(15).enumerate() {
                match user::read(argument.wrapping_add(at as u64))? {
                    0 => break,
                    byte => *slot = byte,
                }
            }
            Ok(0)
        }
        PR_GET_NAME => {
            let (program, mut name) = (image::program(), [0u8; 16]);
            let own = thread.named(&program);
            name.iter_mut().zip(own).for_each(|(to, from)| *to = *from);
            user::write(argument, &name)?;
            Ok(0)
        }
        PR_GET_AUXV => {
            let bytes = libos.auxiliary.as_slice();
            let shown = bytes.get(..length as usize).unwrap_or(bytes);
            Slice::new(argument, shown.len() as u64).copy_in(shown)?;
            Ok(bytes.len() as u64)
        }
        PR_GET_DUMPABLE => Ok(0),
        PR_SET_DUMPABLE | PR_SET_PDEATHSIG => Ok(0),
        _ => identity::prctl(libos, arguments).unwrap_or(Err(Errno::EINVAL.into())),
    }
}

/// `ARCH_SET_FS` and `ARCH_GET_FS` of arch_prctl(2), which the bindings lack.
mod option {
    pub const SET_FS: u64 = 0x1002;
    pub const GET_FS: u64 = 0x1003;
}

/// arch_prctl(2).
pub fn arch_prctl(_: &mut Libos, Arguments([option, address, ..]): Arguments) -> SyscallResult {
    match option {
        option::SET_FS if address >> 47 != 0 => Err(Errno::EPERM.into()),
        option::SET_FS => {
            arch::set_thread_base(address);
            Ok(0)
        }
        option::GET_FS => {
            user::write(address, &arch::thread_base())?;
            Ok(0)
        }
        _ => Err(Errno::EINVAL.into()),
    }
}

/// Soft and hard limit of a resource (getrlimit(2)).
pub fn limit(libos: &Libos, resource: u64) -> Result<[u64; 2], Errno> {
    const NONE: u64 = u64::MAX;
    if let Some(limit) = libos.limits.iter().find(|limit| u64::from(limit.resource) == resource) {
        return Ok([limit.soft, limit.hard]);
    }
    match resource as u32 {
        RLIMIT_STACK => Ok([husk::boot::info().main_stack.length; 2]),
        RLIMIT_NOFILE => Ok([libos.files.descriptors.limit, DESCRIPTORS_MAXIMUM]),
        RLIMIT_CORE => Ok([0; 2]),
        0..RLIM_NLIMITS => Ok([NONE; 2]),
        _ => Err(Errno::EINVAL),
    }
}

/// getrlimit(2).
pub fn getrlimit(libos: &mut Libos, Arguments([resource, into, ..]): Arguments) -> SyscallResult {
    user::write(into, &limit(libos, resource)?)?;
    Ok(0)
}

/// setrlimit(2).
pub fn setrlimit(libos: &mut Libos, Arguments([resource, from, ..]): Arguments) -> SyscallResult {
    set(libos, resource, from)
}

/// prlimit64(2).
pub fn prlimit64(libos: &mut Libos, Arguments([process, resource, from, into, ..]): Arguments) -> SyscallResult {
    if process != 0 && process != u64::from(PROCESS) {
        return Err(Errno::ESRCH.into());
    }
    let old = limit(libos, resource)?;
    if from != 0 {
        set(libos, resource, from)?;
    }
    if into != 0 {
        user::write(into, &old)?;
    }
    Ok(0)
}

/// Largest number of threads.
pub fn threads_maximum(libos: &Libos) -> u64 {
    limit(libos, RLIMIT_NPROC.into()).map_or(u64::MAX, |[soft, _]| soft)
}

fn set(libos: &mut Libos, resource: u64, from: u64) -> SyscallResult {
    let [soft, hard]: [u64; 2] = user::read(from)?;
    let [_, highest] = limit(libos, resource)?;
    if soft > hard {
        return Err(Errno::EINVAL.into());
    }
    if hard > highest {
        return Err(Errno::EPERM.into());
    }
    let resource = resource as u32;
    if resource == RLIMIT_NOFILE {
        libos.files.descriptors.limit = soft;
    }
    libos.limits.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
    libos.limits.retain(|limit| limit.resource != resource);
    libos.limits.push(Limit { resource, soft, hard });
    Ok(0)
}

/// `RUSAGE_CHILDREN`, which the bindings declare as signed.
const CHILDREN: u32 = u32::MAX;

/// getrusage(2).
pub fn getrusage(_: &mut Libos, Arguments([who, into, ..]): Arguments) -> SyscallResult {
    let time = match who as u32 {
        RUSAGE_SELF => processor_time::of_program(),
        RUSAGE_THREAD => processor_time::of_thread(),
        CHILDREN => 0,
        _ => return Err(Errno::EINVAL.into()),
    };
    let [seconds, nanoseconds] = clock::to_timespec(time);
    let (size, free) = MEMORY.lock().size();
    Slice::new(into, size_of::<rusage>() as u64).zero()?;
    user::write(into, &[seconds, nanoseconds / 1000])?;
    // Offset of the largest resident set, in KiB, after two times of two words each.
    user::write(into.wrapping_add(32), &((size - free) / 1024))?;
    Ok(0)
}
