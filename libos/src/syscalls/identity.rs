//! Calls about users, groups and capabilities of a thread ([`crate::identity`]), and about the program's session and group of
//! processes.

use super::Arguments;
use crate::errno::Errno;
use crate::identity::capabilities::checked;
use crate::identity::capabilities::secure::KEEP;
use crate::identity::{Change, GROUPS_MAXIMUM, Identity, Ids, KEPT};
use crate::process::PROCESS;
use crate::state::Libos;
use crate::syscall_result::SyscallResult;
use crate::user;
use alloc::vec::Vec;
use linux_raw_sys::general::*;
use linux_raw_sys::prctl::*;

/// Changes the identity of the current thread, unless that is an error.
fn change(libos: &mut Libos, change: impl FnOnce(&mut Identity) -> Result<u64, Errno>) -> SyscallResult {
    let result = change(&mut libos.threads.current().identity)?;
    libos.has_identities = true;
    Ok(result)
}

fn change_users(libos: &mut Libos, to: Change) -> SyscallResult {
    change(libos, |identity| identity.change_users(to).map(|()| 0))
}

fn change_groups(libos: &mut Libos, to: Change) -> SyscallResult {
    change(libos, |identity| identity.change_groups(to).map(|()| 0))
}

/// getuid(2).
pub fn getuid(libos: &mut Libos, _: Arguments) -> SyscallResult {
    Ok(libos.identity().users.real.into())
}

/// geteuid(2).
pub fn geteuid(libos: &mut Libos, _: Arguments) -> SyscallResult {
    Ok(libos.identity().users.effective.into())
}

/// getgid(2).
pub fn getgid(libos: &mut Libos, _: Arguments) -> SyscallResult {
    Ok(libos.identity().groups.real.into())
}

/// getegid(2).
pub fn getegid(libos: &mut Libos, _: Arguments) -> SyscallResult {
    Ok(libos.identity().groups.effective.into())
}

/// getresuid(2).
pub fn getresuid(libos: &mut Libos, arguments: Arguments) -> SyscallResult {
    write_three(libos.identity().users, arguments)
}

/// getresgid(2).
pub fn getresgid(libos: &mut Libos, arguments: Arguments) -> SyscallResult {
    write_three(libos.identity().groups, arguments)
}

fn write_three(ids: Ids, Arguments(into): Arguments) -> SyscallResult {
    ids.three().iter().zip(into).try_for_each(|(id, into)| user::write(into, id))?;
    Ok(0)
}

/// setuid(2).
pub fn setuid(libos: &mut Libos, Arguments([to, ..]): Arguments) -> SyscallResult {
    change_users(libos, Change::One(to as u32))
}

/// setreuid(2).
pub fn setreuid(libos: &mut Libos, Arguments([real, effective, ..]): Arguments) -> SyscallResult {
    change_users(libos, Change::Two([real, effective].map(|id| id as u32)))
}

/// setresuid(2).
pub fn setresuid(libos: &mut Libos, Arguments([real, effective, saved, ..]): Arguments) -> SyscallResult {
    change_users(libos, Change::Three([real, effective, saved].map(|id| id as u32)))
}

/// setgid(2).
pub fn setgid(libos: &mut Libos, Arguments([to, ..]): Arguments) -> SyscallResult {
    change_groups(libos, Change::One(to as u32))
}

/// setregid(2).
pub fn setregid(libos: &mut Libos, Arguments([real, effective, ..]): Arguments) -> SyscallResult {
    change_groups(libos, Change::Two([real, effective].map(|id| id as u32)))
}

/// setresgid(2).
pub fn setresgid(libos: &mut Libos, Arguments([real, effective, saved, ..]): Arguments) -> SyscallResult {
    change_groups(libos, Change::Three([real, effective, saved].map(|id| id as u32)))
}

/// setfsuid(2).
pub fn setfsuid(libos: &mut Libos, Arguments([to, ..]): Arguments) -> SyscallResult {
    change(libos, |identity| Ok(identity.set_files_user(to as u32).into()))
}

/// setfsgid(2).
pub fn setfsgid(libos: &mut Libos, Arguments([to, ..]): Arguments) -> SyscallResult {
    change(libos, |identity| Ok(identity.set_files_group(to as u32).into()))
}

/// getgroups(2).
pub fn getgroups(libos: &mut Libos, Arguments([room, into, ..]): Arguments) -> SyscallResult {
    let groups = libos.identity().others();
    let room = usize::try_from(room as i32).map_err(|_| Errno::EINVAL)?;
    if room != 0 {
        if room < groups.len() {
            return Err(Errno::EINVAL.into());
        }
        groups.iter().zip(user::entries(into, 4, groups.len() as u64)).try_for_each(|(id, at)| user::write(at, id))?;
    }
    Ok(groups.len() as u64)
}

/// setgroups(2).
pub fn setgroups(libos: &mut Libos, Arguments([count, from, ..]): Arguments) -> SyscallResult {
    libos.identity().check_may_set_groups()?;
    // A C library passes an `int`, which Linux takes as one without sign.
    let count = u64::from(count as u32);
    if count > GROUPS_MAXIMUM {
        return Err(Errno::EINVAL.into());
    }
    let mut groups = Vec::new();
    groups.try_reserve_exact(count as usize).map_err(|_| Errno::ENOMEM)?;
    for at in user::entries(from, 4, count) {
        match user::read(at)? {
            KEPT => return Err(Errno::EINVAL.into()),
            id => groups.push(id),
        }
    }
    change(libos, |identity| identity.set_others(groups).map(|()| 0))
}

/// setsid(2) and setpgid(2): the program leads its session and its group of processes already.
pub fn setsid(_: &mut Libos, _: Arguments) -> SyscallResult {
    Ok(PROCESS.into())
}

/// setpgid(2).
pub fn setpgid(_: &mut Libos, Arguments([process, group, ..]): Arguments) -> SyscallResult {
    match (process as i32, group as i32) {
        (_, ..0) => Err(Errno::EINVAL.into()),
        (0 | 1, 0 | 1) => Ok(0),
        (0 | 1, _) => Err(Errno::EPERM.into()),
        _ => Err(Errno::ESRCH.into()),
    }
}

/// Reads version and process of a `struct __user_cap_header_struct`; returns the number of words in a set, or `None` after the
/// supported version has been written to a header with another.
fn read_header(header: u64) -> Result<(Option<u64>, i32), Errno> {
    let version: u32 = user::read(header)?;
    let words = match version {
        _LINUX_CAPABILITY_VERSION_1 => 1,
        _LINUX_CAPABILITY_VERSION_2 | _LINUX_CAPABILITY_VERSION_3 => 2,
        _ => {
            user::write(header, &_LINUX_CAPABILITY_VERSION_3)?;
            return Ok((None, 0));
        }
    };
    Ok((Some(words), user::read(header.wrapping_add(4))?))
}

/// capget(2).
pub fn capget(libos: &mut Libos, Arguments([header, into, ..]): Arguments) -> SyscallResult {
    let (words, process) = match read_header(header)? {
        (_, _) if into == 0 => return Ok(0),
        (None, _) => return Err(Errno::EINVAL.into()),
        (Some(words), process) => (words, process),
    };
    let thread = match process {
        ..0 => return Err(Errno::EINVAL.into()),
        0 => libos.threads.current(),
        id => libos.threads.find(id as u32).ok_or(Errno::ESRCH)?.1,
    };
    let sets = &thread.identity.capabilities;
    for word in 0..words {
        let part = [sets.effective, sets.permitted, sets.inheritable].map(|set| (set >> (32 * word)) as u32);
        user::write(into.wrapping_add(12 * word), &part)?;
    }
    Ok(0)
}

/// capset(2).
pub fn capset(libos: &mut Libos, Arguments([header, from, ..]): Arguments) -> SyscallResult {
    let (words, process) = match read_header(header)? {
        (None, _) => return Err(Errno::EINVAL.into()),
        (Some(words), process) => (words, process),
    };
    if process != 0 && process as u32 != libos.threads.current().id {
        return Err(Errno::EPERM.into());
    }
    let mut sets = [0u64; 3];
    for word in 0..words {
        let part: [u32; 3] = user::read(from.wrapping_add(12 * word))?;
        sets.iter_mut().zip(part).for_each(|(set, part)| *set |= u64::from(part) << (32 * word));
    }
    let [effective, permitted, inheritable] = sets;
    change(libos, |identity| identity.capabilities.set(effective, permitted, inheritable).map(|()| 0))
}

/// Options of prctl(2) about capabilities and privileges; `None` for any other.
pub fn prctl(libos: &mut Libos, Arguments([option, argument, number, rest @ ..]): Arguments) -> Option<SyscallResult> {
    let identity = &mut libos.threads.current().identity;
    let sets = &mut identity.capabilities;
    let done = |result: Result<(), Errno>| result.map(|()| 0).map_err(Into::into);
    let has = |set: u64, number: u64| Ok(u64::from(set & checked(number)? != 0));
    let rest_is_zero = rest.iter().take(2).all(|argument| *argument == 0);
    Some(match option as u32 {
        PR_GET_KEEPCAPS => Ok(u64::from(sets.secure & KEEP != 0)),
        PR_SET_KEEPCAPS => done(sets.keep(argument)),
        PR_GET_SECUREBITS => Ok(sets.secure.into()),
        PR_SET_SECUREBITS => done(sets.set_secure(argument)),
        PR_CAPBSET_READ => has(sets.bounding, argument),
        PR_CAPBSET_DROP => done(sets.drop_bound(argument)),
        PR_CAP_AMBIENT => match argument as u32 {
            _ if !rest_is_zero => Err(Errno::EINVAL.into()),
            PR_CAP_AMBIENT_IS_SET => has(sets.ambient, number),
            PR_CAP_AMBIENT_RAISE => done(sets.raise_ambient(number)),
            PR_CAP_AMBIENT_LOWER => done(checked(number).map(|set| sets.ambient &= !set)),
            PR_CAP_AMBIENT_CLEAR_ALL if number == 0 => {
                sets.ambient = 0;
                Ok(0)
            }
            _ => Err(Errno::EINVAL.into()),
        },
        PR_SET_NO_NEW_PRIVS if argument == 1 && number == 0 && rest_is_zero => {
            identity.no_new_privileges = true;
            Ok(0)
        }
        PR_GET_NO_NEW_PRIVS if argument == 0 && number == 0 && rest_is_zero => Ok(identity.no_new_privileges.into()),
        PR_SET_NO_NEW_PRIVS | PR_GET_NO_NEW_PRIVS => Err(Errno::EINVAL.into()),
        _ => return None,
    })
}
