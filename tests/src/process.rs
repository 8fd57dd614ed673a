//! Processes of the host as they are seen from outside, by their numbers.

#![expect(unsafe_code, reason = "sends signals, and asks for processors")]

use crate::eventually;
use std::fs;

/// The children of the first thread of a process.
pub fn children(id: u32) -> Vec<u32> {
    let children = fs::read_to_string(format!("/proc/{id}/task/{id}/children")).unwrap_or_default();
    children.split_whitespace().filter_map(|child| child.parse().ok()).collect()
}

/// Text of proc_pid_status(5); nothing if there is no such process.
pub fn status(id: u32) -> String {
    fs::read_to_string(format!("/proc/{id}/status")).unwrap_or_default()
}

/// Whether a process has not ended. One that has may still wait for its parent to collect its status.
pub fn runs(id: u32) -> bool {
    let status = status(id);
    !status.is_empty() && !status.contains("State:\tZ") && !status.contains("State:\tX")
}

/// Waits until the status of a process that runs has all these parts: a process that was forked makes its first system calls
/// some time after its parent has gone on.
#[track_caller]
pub fn expect_status(id: u32, parts: &[&str]) {
    let has_all = || parts.iter().all(|part| status(id).contains(part));
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

/// The processors that this process, and what it starts, may use: a container need not have the first.
pub fn processors() -> Vec<usize> {
    // SAFETY: all zeros is a valid value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: a variable of ours, as long as it says.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
    assert_eq!(result, 0, "{}", std::io::Error::last_os_error());
    // SAFETY: reads the variable; the number is within it.
    let is_ours = |processor: &usize| unsafe { libc::CPU_ISSET(*processor, &set) };
    (0..libc::CPU_SETSIZE as usize).filter(is_ours).collect()
}

/// Sends a signal to a process, or to a group if the number is negative.
#[track_caller]
pub fn signal(id: i64, signal: i32) {
    let id = libc::pid_t::try_from(id).expect("the number of a process");
    // SAFETY: only numbers.
    let result = unsafe { libc::kill(id, signal) };
    assert_eq!(result, 0, "kill {id}: {}", std::io::Error::last_os_error());
}
