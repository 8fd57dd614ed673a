//! Closes everything that has a name to the process: files and directories, sockets by path or number, processes to
//! signal (landlock(7)).
//!
//! Files that are open already stay open, with the rights that they were opened with. The filters of the threads refuse
//! the same calls; Landlock also covers what bypasses them, such as requests to an io_uring.

#![expect(unsafe_code, reason = "system calls without a wrapper")]

use super::error::Error;
use super::lacks::{KNOWN, Lack};
use landlock::{
    Access, AccessFs, AccessNet, CompatLevel, Compatible, LandlockStatus, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope,
};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr::null;

/// Closes everything, except that TCP sockets can be connected if it `connects`, and that files below `folder` can be read. Returns
/// what the kernel cannot close.
pub fn close_the_rest(connects: bool, folder: Option<BorrowedFd<'_>>) -> Result<Option<Lack>, Error> {
    let read = |folder| Ok::<_, RulesetError>(PathBeneath::new(folder, AccessFs::ReadFile | AccessFs::ReadDir));
    let close = || {
        let mut network = AccessNet::from_all(KNOWN);
        if connects {
            network.remove(AccessNet::ConnectTcp);
        }
        Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(KNOWN))?
            .handle_access(network)?
            .scope(Scope::from_all(KNOWN))?
            .create()?
            .add_rules(folder.map(read))?
            .restrict_self()
    };
    let closed = close().map_err(|error: RulesetError| io::Error::other(error.to_string()));
    closed.map(|status| lack(&status.landlock)).map_err(Error::NotConfined)
}

/// Rights that a Landlock of this status lacks.
fn lack(status: &LandlockStatus) -> Option<Lack> {
    match status {
        LandlockStatus::Available { effective_abi, .. } => Lack::of_landlock(Some(*effective_abi as u32)),
        LandlockStatus::NotEnabled | LandlockStatus::NotImplemented => Lack::of_landlock(None),
    }
}

/// Closes descriptors that the parent left open by accident, beyond the standard streams: all but `kept`.
pub fn close_inherited(mut kept: Vec<RawFd>) {
    kept.push(libc::STDERR_FILENO);
    kept.sort_unstable();
    let ends = kept.iter().skip(1).map(|next| next - 1).chain([RawFd::MAX]);
    for (first, last) in kept.iter().map(|kept| kept + 1).zip(ends).filter(|(first, last)| first <= last) {
        // SAFETY: nothing in this process has opened a descriptor yet, except those in `kept`. An old kernel leaves all open.
        unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
    }
}

/// Returns the version of Landlock of this kernel; nothing if it has none.
pub fn version() -> Option<u32> {
    const ASK: libc::c_long = 1;
    // SAFETY: with this flag, the kernel reads no memory.
    let version = unsafe { libc::syscall(libc::SYS_landlock_create_ruleset, null::<u8>(), 0, ASK) };
    u32::try_from(version).ok()
}
