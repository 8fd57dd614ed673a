//! Copies of guest memory by system calls, which fail where the guest has protected a page or its file was truncated.

#![expect(unsafe_code, reason = "memory is copied by address")]

use super::{Claim, Memory};
use husk_abi::memory::Rights;
use std::ptr::NonNull;

impl Memory {
    /// Reads the 8 bytes at a guest address for a report; `None` if they are not the guest's or cannot be read.
    pub fn peek(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes).then(|| u64::from_ne_bytes(bytes))
    }

    /// Reads the bytes that the guest names; `None` if they are not the guest's or cannot be read.
    pub fn bytes(&self, claim: Claim) -> Option<Vec<u8>> {
        let mut bytes = vec![0; claim.length as usize];
        self.read(claim.address, &mut bytes).then_some(bytes)
    }

    /// Fills `into` with the bytes at a guest address. Returns true if all were read.
    fn read(&self, address: u64, into: &mut [u8]) -> bool {
        let claim = Claim { address, length: into.len() as u64 };
        let from = self.sparse.find(claim).or_else(|| self.check(claim, Rights::READ).ok());
        let Some(from) = from else { return false };
        let local = libc::iovec { iov_base: into.as_mut_ptr().cast(), iov_len: into.len() };
        let remote = libc::iovec { iov_base: from.as_ptr().cast(), iov_len: into.len() };
        let own_process = std::process::id() as libc::pid_t;
        // A system call, because the page may be protected, or may have no backing after its file was truncated.
        // SAFETY: both vectors describe as many bytes; the local one is `into`, and the kernel checks the remote one.
        let count = unsafe { libc::process_vm_readv(own_process, &local, 1, &remote, 1, 0) };
        usize::try_from(count) == Ok(into.len())
    }

    /// Writes `bytes` to guest memory at `into`, which the caller has checked for as many. Returns true if all were written.
    pub fn put(&self, into: NonNull<u8>, bytes: &[u8]) -> bool {
        let local = libc::iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
        let remote = libc::iovec { iov_base: into.as_ptr().cast(), iov_len: bytes.len() };
        let own_process = std::process::id() as libc::pid_t;
        // SAFETY: the local vector is `bytes`, which is only read; the remote one is guest memory, which may have any contents, and
        // the kernel checks it.
        let count = unsafe { libc::process_vm_writev(own_process, &local, 1, &remote, 1, 0) };
        usize::try_from(count) == Ok(bytes.len())
    }
}
