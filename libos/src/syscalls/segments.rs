//! Calls on shared memory of System V ([`crate::ipc`]).

use super::Arguments;
use super::memory::notice_refused;
use crate::errno::Errno;
use crate::fs::mapping::Wish;
use crate::ipc::segments::{DOOMED, EXECUTE, READ_ONLY, REPLACE, ROUND, Segment};
use crate::ipc::{PRIVATE, Permissions, REMOVE, SET, STAT};
use crate::process::PROCESS;
use crate::state::{Libos, now};
use crate::syscall_result::SyscallResult;
use crate::user;
use husk::abi::memory::{PAGE, Rights};
use zerocopy::{FromBytes, Immutable, IntoBytes};

/// Flag of shmget(2): huge pages, of which there are none.
const HUGE: u32 = 0o4000;
/// Commands of shmctl(2): memory never leaves, so that it stays in any case.
const LOCK: u32 = 11;
const UNLOCK: u32 = 12;

/// State of a segment: the kernel's `struct shmid64_ds`.
#[derive(Clone, Copy, FromBytes, IntoBytes, Immutable)]
#[repr(C)]
struct Status {
    permissions: Permissions,
    size: u64,
    times: [i64; 2],
    changed: i64,
    processes: [u32; 2],
    attached: u64,
    reserved: [u64; 2],
}

/// shmget(2).
pub fn shmget(libos: &mut Libos, Arguments([key, size, flags, ..]): Arguments) -> SyscallResult {
    let flags = flags as u32;
    let (caller, now) = (libos.identity().caller(), now());
    let Libos { ipc, files, .. } = libos;
    let fits = |segment: &Segment| if size > segment.size { Err(Errno::EINVAL) } else { Ok(()) };
    let make = || {
        if size == 0 || i64::try_from(size).is_err() {
            return Err(Errno::EINVAL);
        }
        if flags & HUGE != 0 {
            return Err(Errno::ENOMEM);
        }
        let node = files.make_segment(size, now)?;
        Ok(Segment { node, size, times: [0; 2], processes: [PROCESS, 0] })
    };
    Ok(ipc.segments.get(key as i32, flags, (caller, now.seconds), fits, make)?.into())
}

/// shmat(2): returns the address, which is that of all attachments.
pub fn shmat(libos: &mut Libos, Arguments([id, address, flags, ..]): Arguments) -> SyscallResult {
    let (id, flags) = (id as u32, flags as u32);
    let wish = match address {
        0 if flags & REPLACE != 0 => return Err(Errno::EINVAL.into()),
        0 => Wish::Anywhere,
        odd if !odd.is_multiple_of(PAGE) && flags & ROUND == 0 => return Err(Errno::EINVAL.into()),
        address if flags & REPLACE != 0 => Wish::At(address - address % PAGE),
        address => Wish::AtFree(address - address % PAGE),
    };
    let segment = &mut libos.ipc.segments.find(id)?.value;
    if flags & EXECUTE != 0 {
        return Err(Errno::EACCES.into());
    }
    let rights = if flags & READ_ONLY != 0 { Rights::READ } else { Rights::READ | Rights::WRITE };
    let mapped = libos.files.attach(segment.node, segment.size, rights, wish, now());
    let mapped = mapped.inspect_err(|errno| notice_refused(*errno, segment.size));
    // An address at which other memory is, EEXIST for mmap(2), is EINVAL here.
    let mapped = mapped.map_err(|errno| if errno == Errno::EEXIST { Errno::EINVAL } else { errno })?;
    (segment.times[0], segment.processes[1]) = (now().seconds, PROCESS);
    Ok(mapped)
}

/// shmdt(2).
pub fn shmdt(libos: &mut Libos, Arguments([address, ..]): Arguments) -> SyscallResult {
    let Libos { ipc, files, .. } = libos;
    let attached = files.attached_at(address);
    let found = ipc.segments.all().find(|(_, segment)| attached == Some(segment.value.node)).map(|(id, _)| id);
    let id = found.ok_or(Errno::EINVAL)?;
    let segment = &mut ipc.segments.find(id)?.value;
    let size = segment.size;
    (segment.times[1], segment.processes[1]) = (now().seconds, PROCESS);
    libos.change(|files, _| files.unmap(address, size.next_multiple_of(PAGE), now()))?;
    remove_doomed(libos, id);
    Ok(0)
}

/// Removes a segment that is to go with its last attachment, if it was that.
fn remove_doomed(libos: &mut Libos, id: u32) {
    let Libos { ipc, files, .. } = libos;
    if let Ok(segment) = ipc.segments.find(id)
        && segment.permissions.mode & DOOMED != 0
        && files.attachments(segment.value.node) == 0
        && let Ok(segment) = ipc.segments.remove(id)
    {
        files.end_segment(segment.value.node);
    }
}

/// shmctl(2).
pub fn shmctl(libos: &mut Libos, Arguments([id, command, address, ..]): Arguments) -> SyscallResult {
    let id = id as u32;
    match command as u32 {
        REMOVE => {
            let permissions = &mut libos.ipc.segments.find(id)?.permissions;
            (permissions.key, permissions.mode) = (PRIVATE, permissions.mode | DOOMED);
            remove_doomed(libos, id);
        }
        SET => {
            let to: Status = user::read(address)?;
            libos.ipc.segments.find(id)?.set(&to.permissions, now().seconds);
        }
        STAT => {
            let Libos { ipc, files, .. } = libos;
            let segment = ipc.segments.find(id)?;
            let Segment { node, size, times, processes } = segment.value;
            let (permissions, changed, attached) = (segment.permissions, segment.changed, files.attachments(node));
            let status = Status { permissions, size, times, changed, processes, attached, reserved: [0; 2] };
            user::write(address, &status)?;
        }
        LOCK | UNLOCK => {
            libos.ipc.segments.find(id)?;
        }
        _ => return Err(Errno::EINVAL.into()),
    }
    Ok(0)
}
