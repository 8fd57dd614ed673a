//! What a process may do beyond what its files and calls are: identity, capabilities, being looked at.

#![expect(unsafe_code, reason = "system calls without a wrapper")]

use super::error::Error;
use std::io;
use std::mem::MaybeUninit;
use std::ptr::null;

/// Whom to go on as, once everything is open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct User {
    /// Number of the user.
    pub user: libc::uid_t,
    /// Number of the group; the only one.
    pub group: libc::gid_t,
}

impl User {
    /// Reads `UID[:GID]`; the group's number is the user's if it is not given.
    pub fn parse(text: &str) -> Result<Self, String> {
        const USAGE: &str = "write numbers, UID or UID:GID, such as 65534 or 1000:1000";
        let number = |text: &str| text.parse().ok().filter(|number| *number != u32::MAX).ok_or(USAGE);
        let (user, group) = text.split_once(':').unwrap_or((text, text));
        Ok(Self { user: number(user)?, group: number(group)? })
    }
}

/// Whether we may become this user: said before anything is opened in vain.
pub fn check(user: Option<User>) -> Result<(), Error> {
    // SAFETY: has no conditions.
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
    // SAFETY: only numbers.
    answer(unsafe { libc::syscall(libc::SYS_setresuid, SAME, SAME, user) }).map_err(Error::NotThatUser)
}

/// Has the kernel send SIGKILL to this process at the end of its parent. Returns whether that is `parent` still. A change of
/// identity undoes it.
pub fn end_with(parent: libc::pid_t) -> bool {
    // SAFETY: only numbers.
    unsafe { libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL) };
    // SAFETY: has no conditions.
    unsafe { libc::getppid() == parent }
}

/// Gives up identity, if there is another `user` to be, and all capabilities; never gains any again, and is not to be
/// looked at by other processes of the same user, nor left behind in a core file: it has the guest's secrets.
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
    // SAFETY: these take numbers only.
    answer(unsafe { libc::prctl(what, value, 0, 0, 0) }.into())
}

fn answer(result: libc::c_long) -> io::Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

/// Takes another identity, for this thread and those that it makes; there are no others yet.
fn become_user(User { user, group }: User) -> io::Result<()> {
    // SAFETY: an empty list.
    answer(unsafe { libc::syscall(libc::SYS_setgroups, 0, null::<libc::gid_t>()) })?;
    // SAFETY: only numbers.
    answer(unsafe { libc::syscall(libc::SYS_setresgid, group, group, group) })?;
    // SAFETY: only numbers.
    answer(unsafe { libc::syscall(libc::SYS_setresuid, user, user, user) })
}

/// See capset(2).
const VERSION_3: u32 = 0x2008_0522;

/// What capset(2) takes.
#[repr(C)]
struct Header {
    version: u32,
    process: libc::c_int,
}

/// Does something without the capabilities that this thread has: what it opens tells no more than anybody may know.
pub fn without_capabilities<T>(act: impl FnOnce() -> T) -> T {
    let header = Header { version: VERSION_3, process: 0 };
    let mut usual = [0_u32; 6];
    // SAFETY: both are variables of ours, as long as this version has them.
    let known = unsafe { libc::syscall(libc::SYS_capget, &raw const header, usual.as_mut_ptr()) } == 0;
    let set = |capabilities: &[u32; 6]| {
        // SAFETY: as above. That it cannot be done is a matter of the thread's privileges, which it has less of then.
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
    // SAFETY: both are variables of ours, as long as this version has them.
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
