//! Closes everything that has a name to the process: files and directories, sockets by path or number, processes to
//! signal (landlock(7)). What is below a folder that the guest was given stays open, for what the guest may do there.
//!
//! Files that are open already stay open, with the rights that they were opened with. The filters of the threads refuse
//! the same calls; Landlock also covers what bypasses them, such as requests to an io_uring.

#![expect(unsafe_code, reason = "system calls without a wrapper")]

use super::error::Error;
use super::lacks::{KNOWN, Lack};
use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, CompatLevel, Compatible, LandlockStatus, PathBeneath, Ruleset,
    RulesetAttr, RulesetCreated, RulesetCreatedAttr, RulesetError, Scope,
};
use std::io;
use std::os::fd::{BorrowedFd, RawFd};
use std::ptr::null;

/// What the guest may use below a directory, or a file.
#[derive(Clone, Copy, Debug)]
pub struct Beneath<'a> {
    /// The directory or file.
    pub file: BorrowedFd<'a>,
    /// True if it is a directory.
    pub is_directory: bool,
    /// True if nothing may be changed.
    pub read_only: bool,
}

impl Beneath<'_> {
    /// Rights of this version of Landlock. No program is started, and no device, socket or pipe made.
    fn rights(&self) -> BitFlags<AccessFs> {
        let read = AccessFs::ReadFile | AccessFs::ReadDir;
        let write = AccessFs::WriteFile
            | AccessFs::Truncate
            | AccessFs::MakeReg
            | AccessFs::MakeDir
            | AccessFs::MakeSym
            | AccessFs::RemoveFile
            | AccessFs::RemoveDir
            | AccessFs::Refer;
        let rights = if self.read_only { read } else { read | write };
        if self.is_directory { rights } else { rights & AccessFs::from_file(ABI::V3) }
    }
}

/// Closes everything, except what is `beneath` something, and that TCP sockets can be connected if it `connects`. Returns what
/// the kernel cannot close.
pub fn close_the_rest(connects: bool, beneath: &[Beneath<'_>]) -> Result<Option<Lack>, Error> {
    let close = || {
        let mut network = AccessNet::from_all(KNOWN);
        if connects {
            network.remove(AccessNet::ConnectTcp);
        }
        let ruleset = Ruleset::default()
            .set_compatibility(CompatLevel::BestEffort)
            .handle_access(AccessFs::from_all(KNOWN))?
            .handle_access(network)?
            .scope(Scope::from_all(KNOWN))?
            .create()?;
        let add =
            |ruleset: RulesetCreated, one: &Beneath<'_>| ruleset.add_rule(PathBeneath::new(one.file, one.rights()));
        beneath.iter().try_fold(ruleset, add)?.restrict_self()
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
