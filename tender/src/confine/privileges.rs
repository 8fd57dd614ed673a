//! Privileges of a process beyond its files and calls: identity, capabilities, inspection by other processes.

#![expect(unsafe_code, reason = "system calls without a wrapper")]

use super::error::Error;
use std::io;
use std::mem::MaybeUninit;
use std::ptr::null;

/// User to become, once everything is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Number of the user.
    pub user: libc::uid_t,
    /// Number of the group; the only one.
    pub group: libc::gid_t,
}

impl User {
    /// Reads `UID[:GID]`; the group's number defaults to the user's.
    pub fn parse(text: &str) -> Result<Self, String> {
        const USAGE: &str = "write numbers, UID or UID:GID, such as 65534 or 1000:1000";
        let number = |text: &str| text.parse().ok().filter(|number| *number != u32::MAX).ok_or(USAGE);
        let (user, group) = text.split_once(':').unwrap_or((text, text));
        Ok(Self { user: number(user)?, group: number(group)? })
    }
}

/// Checks that this process may become this user, before anything is opened in vain.
pub fn check(user: Option<User>) -> Result<(), Error> {
    // SAFETY: geteuid(2) has no preconditions.
    let is_root = unsafe { libc::geteuid() } == 0;
    match user {
        Some(_) if !is_root => Err(Error::NotThatUser(io::Error::from_raw_os_error(libc::EPERM))),
        _ => Ok(()),
    }
}

/// Lets processes of `user` send signals to this one, which is to become that user later, as kill(2) and SIGKILL at a
/// parent's end need: by its saved user number alone, which gives no access to anything.
pub fn let_kill(user: Option<User>) -> Result<(), Error> {
    const SAME: libc::uid_t = libc::uid_t::MAX;
    let Some(User { user, .. }) = user else { return Ok(()) };
    // SAFETY: setresuid(2) takes numbers only.
    answer(unsafe { libc::syscall(libc::SYS_setresuid, SAME, SAME, user) }).map_err(Error::NotThatUser)
}

/// Has the kernel send SIGKILL to this process at the end of its parent (PR_SET_PDEATHSIG). Returns true if the parent is
/// still `parent`. A change of identity undoes the setting.
pub fn end_with(parent: libc::pid_t) -> bool {
    // SAFETY: this prctl(2) takes numbers only.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: getppid(2) has no preconditions.
    unsafe { libc::getppid() == parent }
}

/// Gives up identity, if there is another `user` to be, and all capabilities; sets no_new_privs, and clears the dumpable
/// attribute, so that processes of the same user cannot inspect this one and no core file has the guest's secrets.
pub fn drop(user: Option<User>) -> Result<(), Error> {
    if let Some(user) = user {
        become_user(user).map_err(Error::NotThatUser)?;
    }
    let done = set(libc::PR_SET_NO_NEW_PRIVS, 1)
        .and_then(|()| set(libc::PR_SET_DUMPABLE, 0))
        .and_then(|()| drop_capabilities());
    done.map_err(Error::NotConfined)
}

fn set(what: libc::c_int, value: libc::c_ulong) -> io::Result<()> {
    // SAFETY: the options that the callers in this file pass take numbers only.
    answer(unsafe { libc::prctl(what, value, 0, 0, 0) }.into())
}

fn answer(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes another identity, for this thread and those that it makes; there are no others yet.
fn become_user(User { user, group }: User) -> io::Result<()> {
    // SAFETY: the list has no elements, so the null pointer is not read.
    answer(unsafe { libc::syscall(libc::SYS_setgroups, 0, null::<libc::gid_t>()) })?;
    // SAFETY: setresgid(2) takes numbers only.
    answer(unsafe { libc::syscall(libc::SYS_setresgid, group, group, group) })?;
    // SAFETY: setresuid(2) takes numbers only.
    answer(unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) })
}

/// See capset(2).
const VERSION_3: u32 = 0x2008_0522;

/// Header of capget(2) and capset(2).
#[repr(C)]
struct Header {
    version: u32,
    process: libc::c_int,
}

/// Runs `act` without this thread's capabilities, so that what it opens reveals nothing that takes privileges.
pub fn without_capabilities<T>(act: impl FnOnce() -> T) -> T {
    let header = Header { version: VERSION_3, process: 0 };
    let mut usual = [0_u32; 6];
    // SAFETY: both are local variables, of the size that this version prescribes.
    let known = unsafe { libc::syscall(libc::SYS_capget, &raw const header, usual.as_mut_ptr()) } == 0;
    let set = |capabilities: &[u32; 6]| {
        // SAFETY: both are local variables, of the size that this version prescribes. It can fail only for a thread that
        // lacks privileges, and then has fewer.
        unsafe { libc::syscall(libc::SYS_capset, &raw const header, capabilities.as_ptr()) };
    };
    let [effective, permitted, inheritable, effective_above, permitted_above, inheritable_above] = usual;
    if !known || effective | effective_above == 0 {
        return act();
    }
    set(&[0, permitted, inheritable, 0, permitted_above, inheritable_above]);
    let result = act();
    set(&[effective, permitted, inheritable, effective_above, permitted_above, inheritable_above]);
    result
}

/// Gives up all capabilities of this thread, and those that it makes. With no_new_privs there is no way back.
fn drop_capabilities() -> io::Result<()> {
    let header = Header { version: VERSION_3, process: 0 };
    // Effective, permitted and inheritable, of 32 each, twice.
    let none = MaybeUninit::<[u32; 6]>::zeroed();
    // SAFETY: both are local variables, of the size that this version prescribes.
    answer(unsafe { libc::syscall(libc::SYS_capset, &raw const header, none.as_ptr()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_are_read() {
        assert_eq!(User::parse("1000"), Ok(User { user: 1000, group: 1000 }));
        assert_eq!(User::parse("1:2"), Ok(User { user: 1, group: 2 }));
        for wrong in ["", "nobody", "1:", ":1", "-1", "4294967295", "1:2:3"] {
            assert!(User::parse(wrong).is_err(), "{wrong}");
        }
    }
}
