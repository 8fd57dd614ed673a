//! What a guest in this process could find or use up if it took the tender over: little of the first, and the second within
//! bounds of the kernel's.

#![expect(unsafe_code, reason = "limits and the environment are the C library's")]

use crate::memory::Memory;
use crate::rlimit;
use husk_abi::memory::PAGE;
use std::fs::File;
use std::io::{self, Read};

/// What the tender itself may have beside the guest's memory, in bytes: twice what it takes at most, which is by a
/// user-mode network, for what peers and guest leave unread, and a report.
const OWN: u64 = 1 << 30;

/// How many addresses this process has mapped: opened while files can be.
#[derive(Debug)]
pub struct Mapped(Option<File>);

impl Mapped {
    /// Opens the kernel's record. A process without /proc has none, and no limit on addresses.
    pub fn open() -> Self {
        Self(File::open("/proc/self/statm").ok())
    }

    /// Bytes of all mappings; nothing if the host does not say.
    fn bytes(self) -> Option<u64> {
        let mut text = [0; 64];
        let length = self.0?.read(&mut text).ok()?;
        // The first number counts pages (proc_pid_statm(5)).
        let pages = std::str::from_utf8(&text[..length]).ok()?.split(' ').next()?.parse::<u64>().ok()?;
        Some(pages * PAGE)
    }
}

/// Limits what this process can map, whoever asks the kernel for more: the memory that it can write, and all addresses.
/// The second bounds page tables, which take a page for each 2 MiB of addresses that are touched, written or not.
pub fn limit_memory(memory: &Memory, mapped: Mapped) -> io::Result<()> {
    limit(libc::RLIMIT_DATA as i32, memory.layout().physical_size() + OWN)?;
    mapped.bytes().map_or(Ok(()), |bytes| limit(libc::RLIMIT_AS as i32, bytes + OWN))
}

/// Lowers a limit of this process for good.
fn limit(resource: i32, most: u64) -> io::Result<()> {
    let most = rlimit::get(resource)?.rlim_max.min(most);
    rlimit::set(resource, libc::rlimit { rlim_cur: most, rlim_max: most })
}

/// Has the processor not speculate past stores and indirect branches for this thread, and those that it makes, where it can
/// be kept from it: a guest is code of strangers in the tender's own process. Where it cannot, or need not, nothing changes.
pub fn limit_speculation() {
    // linux/prctl.h; the libc crate has them for glibc only.
    const PR_SET_SPECULATION_CTRL: libc::c_int = 53;
    const PR_SPEC_STORE_BYPASS: libc::c_ulong = 0;
    const PR_SPEC_INDIRECT_BRANCH: libc::c_ulong = 1;
    const PR_SPEC_FORCE_DISABLE: libc::c_ulong = 1 << 3;
    for kind in [PR_SPEC_STORE_BYPASS, PR_SPEC_INDIRECT_BRANCH] {
        // SAFETY: only numbers.
        unsafe { libc::prctl(PR_SET_SPECULATION_CTRL, kind, PR_SPEC_FORCE_DISABLE, 0, 0) };
    }
}

unsafe extern "C" {
    static mut environ: *mut *mut libc::c_char;
}

/// Overwrites the tender's environment, which is none of the guest's business. Nothing that follows looks for it.
pub fn forget_environment() {
    // SAFETY: no other thread of ours looks at the environment.
    let mut next = unsafe { environ };
    while !next.is_null() {
        // SAFETY: the list ends with a null pointer.
        let Some(word) = std::ptr::NonNull::new(unsafe { *next }) else { return };
        // SAFETY: each is a string.
        let length = unsafe { libc::strlen(word.as_ptr()) };
        // SAFETY: as long as that, and writable: the C library has it from the kernel, or made it.
        unsafe { word.as_ptr().write_bytes(0, length) };
        // SAFETY: inside the list.
        next = unsafe { next.add(1) };
    }
}
