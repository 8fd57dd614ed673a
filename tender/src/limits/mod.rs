//! Limits that the operator sets to a guest's use of the host: processor time and run time.

pub mod cpu_quota;
pub(crate) mod rlimit;
pub mod timeout;
