//! Processes of the host, observed by their process ids.

#![expect(unsafe_code, reason = "sends signals, and asks for processors")]

use crate::eventually;
use std::fs;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

/// Handle of a process (pidfd_open(2)): its signals reach no process that gets the number later.
#[derive(Debug)]
pub struct Handle(OwnedFd);

impl Handle {
    /// Returns the handle of the process that has this number now.
    pub fn open(id: u32) -> Option<Self> {
        // SAFETY: takes numbers only, no memory.
        let file = unsafe { libc::syscall(libc::SYS_pidfd_open, id as libc::pid_t, 0) };
        let file = i32::try_from(file).ok().filter(|file| *file >= 0)?;
        // SAFETY: the kernel has just opened it for this call.
        Some(Self(unsafe { OwnedFd::from_raw_fd(file) }))
    }

    /// Sends a signal. A process that has ended gets none.
    pub fn signal(&self, signal: i32) {
        // SAFETY: takes numbers only: there is no siginfo_t.
        unsafe { libc::syscall(libc::SYS_pidfd_send_signal, self.0.as_raw_fd(), signal, 0, 0) };
    }
}

/// Returns the parent of a process.
pub fn parent(id: u32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{id}/stat")).ok()?;
    // The name may contain any character; after it come the state and the parent (proc_pid_stat(5)).
    status.rsplit_once(')')?.1.split_whitespace().nth(1)?.parse().ok()
}

/// Returns the children of all threads of a process.
pub fn children(id: u32) -> Vec<u32> {
    let threads = fs::read_dir(format!("/proc/{id}/task")).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| list.split_whitespace().filter_map(|child| child.parse().ok()).collect::<Vec<_>>()).collect()
}

/// Returns the text of proc_pid_status(5); empty if the process does not exist.
pub fn status(id: u32) -> String {
    fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default()
}

/// Returns true if a process has not ended. A zombie has ended.
pub fn runs(id: u32) -> bool {
    let status = status(id);
    !status.is_empty() && !status.contains("State:\tZ") && !status.contains("State:\tX")
}

/// Waits until the status of a running process has all these parts, because a forked process makes its first system calls some
/// time after its parent has continued.
#[track_caller]
pub fn expect_status(id: u32, parts: &[&str]) {
    let has_all = || {
        let now = status(id);
        parts.iter().all(|part| now.contains(part))
    };
    eventually(&format!("process {id} has all of {parts:?} in its status"), || {
        assert!(runs(id), "process {id} has ended, and was to have {parts:?} in its status: {}", status(id));
        has_all().then_some(())
    });
}

/// Waits until a process has ended.
#[track_caller]
pub fn expect_ended(id: u32) {
    eventually(&format!("process {id} ends"), || (!runs(id)).then_some(()));
}

/// Returns the processors that this process and its children may use: in a container the first may be missing.
pub fn processors() -> Vec<usize> {
    // SAFETY: `cpu_set_t` is a bit mask, for which zeros are valid.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most the given size to a local variable of that size.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: reads the local variable; the processor number is less than CPU_SETSIZE.
    let is_ours = |processor: &usize| unsafe { libc::CPU_ISSET(*processor, &set) };
    (0..libc::CPU_SETSIZE as usize).filter(is_ours).collect()
}

/// Sends a signal to a process, or to a process group if `id` is negative.
#[track_caller]
pub fn signal(id: i64, signal: i32) {
    let id = libc::pid_t::try_from(id).expect("the number of a process");
    // SAFETY: takes numbers only, no memory.
    let result = unsafe { libc::kill(id, signal) };
    assert_eq!(result, 0, "kill {id}: {}", std::io::Error::last_os_error());
}
