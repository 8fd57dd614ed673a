//! Bounds on what a guest in this process could find or use up if it took over the tender: few secrets to
//! find, and memory within limits of the kernel.

#![expect(unsafe_code, reason = "limits and the environment are the C library's")]

use crate::limits::rlimit;
use crate::memory::Memory;
use husk_abi::memory::PAGE;
use std::fs::File;
use std::io::{self, Read};

/// Memory of the tender itself beside the guest's, in bytes: twice the most that it takes, which is for data that peers and
/// guest leave unread in a user-mode network, and for a report.
const OWN: u64 = 1 << 30;

/// File with the number of addresses that this process has mapped, opened while files can be opened.
#[derive(Debug)]
pub struct Mapped(Option<File>);

impl Mapped {
    /// Opens /proc/self/statm. Without /proc, there is no number, and no limit on addresses.
    pub fn open() -> Self {
        Self(File::open("/proc/self/statm").ok())
    }

    /// Bytes of all mappings; `None` if the host does not report them.
    fn bytes(self) -> Option<u64> {
        let mut text = [0; 64];
        let length = self.0?.read(&mut text).ok()?;
        // The first number counts pages (proc_pid_statm(5)).
        let pages = std::str::from_utf8(&text[..length]).ok()?.split(' ').next()?.parse::<u64>().ok()?;
        Some(pages * PAGE)
    }
}

/// Limits what this process can map, whichever code asks the kernel for more: writable memory
/// (RLIMIT_DATA), and all addresses (RLIMIT_AS). The second limit bounds page tables, which take a page for
/// each 2 MiB of addresses that are touched, written or not: what is mapped now, and as much of the sparse region as a guest
/// can have.
pub fn limit_memory(memory: &Memory, mapped: Mapped) -> io::Result<()> {
    limit(libc::RLIMIT_DATA as i32, memory.layout().physical_size() + OWN)?;
    let later = memory.layout().physical_size() + OWN;
    mapped.bytes().map_or(Ok(()), |bytes| limit(libc::RLIMIT_AS as i32, bytes + later))
}

/// Lowers a limit of this process for good.
fn limit(resource: i32, most: u64) -> io::Result<()> {
    let most = rlimit::get(resource)?.rlim_max.min(most);
    rlimit::set(resource, libc::rlimit { rlim_cur: most, rlim_max: most })
}

/// Disables speculation past stores and indirect branches for this thread and the threads that it makes, if the kernel can do
/// that: a guest is untrusted code in the tender's own process. If the kernel cannot, or need not, nothing changes.
pub fn limit_speculation() {
    // linux/prctl.h; the libc crate has them for glibc only.
    const PR_SET_SPECULATION_CTRL: libc::c_int = 53;
    const PR_SPEC_STORE_BYPASS: libc::c_ulong = 0;
    const PR_SPEC_INDIRECT_BRANCH: libc::c_ulong = 1;
    const PR_SPEC_FORCE_DISABLE: libc::c_ulong = 1 << 3;
    for kind in [PR_SPEC_STORE_BYPASS, PR_SPEC_INDIRECT_BRANCH] {
        // SAFETY: the arguments are numbers.
        unsafe { libc::prctl(PR_SET_SPECULATION_CTRL, kind, PR_SPEC_FORCE_DISABLE, 0, 0) };
    }
}

unsafe extern "C" {
    static mut environ: *mut *mut libc::c_char;
}

/// Overwrites the tender's environment, which the guest must not see. No later code reads it.
pub fn forget_environment() {
    // SAFETY: no other thread of the tender accesses the environment.
    let mut next = unsafe { environ };
    while !next.is_null() {
        // SAFETY: `next` points into the list, which ends with a null pointer.
        let Some(word) = std::ptr::NonNull::new(unsafe { *next }) else { return };
        // SAFETY: each entry is a C string.
        let length = unsafe { libc::strlen(word.as_ptr()) };
        // SAFETY: the string has `length` bytes and is writable: the C library has it from the kernel, or made it.
        unsafe { word.as_ptr().write_bytes(0, length) };
        // SAFETY: the entry was not the null pointer at the end, so that another one follows.
        next = unsafe { next.add(1) };
    }
}
