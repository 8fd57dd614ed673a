//! Pace of the host's file system: requests to a slow one are for the folder's own thread.

use super::system;
use super::tree::Tree;
use crate::host::time::monotonic_ns;

/// Time that a request takes at most on a file system that is not slow, in nanoseconds: what a guest that waits for something else may
/// have to wait longer.
const QUICK_NS: u64 = 2_000_000;
/// Time for which a file system counts as slow after a request that took longer, in nanoseconds.
const SLOW_NS: u64 = 1_000_000_000;

/// Magic numbers of the file systems, by statfs(2), that answer from memory or from disks of the host's own.
const LOCAL: [u64; 11] = [
    0xef53,
    0x5846_5342,
    0x9123_683e,
    0x0102_1994,
    0x8584_58f6,
    0x794c_7630,
    0xf2f5_2010,
    0x2fc1_2fc1,
    0xca45_1a4e,
    0x7371_7368,
    0xe0f5_e1e2,
];

/// Pace of a file system.
#[derive(Debug)]
pub struct Pace {
    /// True if other machines or processes answer, which may take any time.
    is_remote: bool,
    /// Monotonic time up to which it counts as slow, in nanoseconds.
    slow_until_ns: u64,
}

impl Pace {
    /// Returns the pace of the file system of `tree`.
    pub fn of(tree: &Tree) -> Self {
        let space = system::space(system::raw(&tree.root));
        let is_remote = !space.is_ok_and(|space| LOCAL.contains(&(space.f_type as u64)));
        Self { is_remote, slow_until_ns: 0 }
    }

    /// Returns true if a request may take long.
    #[inline]
    pub fn is_slow(&self) -> bool {
        self.is_remote || (self.slow_until_ns > 0 && monotonic_ns() < self.slow_until_ns)
    }

    /// Makes a request, and notes how long that took.
    #[inline]
    pub fn measure(&mut self, request: impl FnOnce()) {
        let begun_ns = monotonic_ns();
        request();
        let ended_ns = monotonic_ns();
        if ended_ns.saturating_sub(begun_ns) > QUICK_NS {
            self.slow_until_ns = ended_ns + SLOW_NS;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_request_that_takes_long_makes_a_file_system_slow_for_some_time() {
        let mut pace = Pace { is_remote: false, slow_until_ns: 0 };
        pace.measure(|| {});
        assert!(!pace.is_slow());
        pace.measure(|| std::thread::sleep(std::time::Duration::from_nanos(QUICK_NS)));
        assert!(pace.is_slow() && pace.slow_until_ns < monotonic_ns() + SLOW_NS);
    }
}
