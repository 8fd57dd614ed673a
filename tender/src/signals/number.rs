//! The signals that the tender sends to itself.

/// The timer of turns ([`crate::turns`]).
pub const TURN: libc::c_int = libc::SIGVTALRM;
/// The timer of a share of a processor ([`crate::share`]).
pub const SHARE: libc::c_int = libc::SIGPROF;
/// A fault that a device has found ([`crate::devices::bells`]).
pub const FAULT: libc::c_int = libc::SIGIO;
