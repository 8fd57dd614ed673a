//! Signals that the tender sends to itself.

/// Signal of the timer of turns ([`crate::vm::preemption`]).
pub const TURN: libc::c_int = libc::SIGVTALRM;
/// Signal of the timer of a share of a processor ([`crate::limits::cpu_quota`]).
pub const SHARE: libc::c_int = libc::SIGPROF;
/// Signal of a fault that a device has found ([`crate::devices::notifier`]).
pub const FAULT: libc::c_int = libc::SIGIO;
