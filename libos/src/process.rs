//! The process: there is one, without parent and children.

/// Number of the process, and of its first thread.
pub const PROCESS: u32 = 1;

/// Resource limit that the program has set.
#[derive(Clone, Copy, Debug)]
pub struct Limit {
    /// `RLIMIT_*`.
    pub resource: u32,
    /// Soft limit, which is in force.
    pub soft: u64,
    /// Hard limit, up to which `soft` can be raised.
    pub hard: u64,
}
