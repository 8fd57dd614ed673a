//! Pace of the host's file system: requests to a slow one are for the folder's own thread.

use super::system;
use super::tree::Tree;
use crate::devices::backoff::Backoff;

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
    backoff: Backoff,
}

impl Pace {
    /// Returns the pace of the file system of `tree`.
    pub fn of(tree: &Tree) -> Self {
        let space = system::space(system::raw(&tree.root));
        let is_remote = !space.is_ok_and(|space| LOCAL.contains(&(space.f_type as u64)));
        Self { is_remote, backoff: Backoff::default() }
    }

    /// Makes a request; `None` if it may block.
    #[inline]
    pub fn attempt(&mut self, request: impl FnOnce()) -> Option<()> {
        if self.is_remote { None } else { self.backoff.attempt(request) }
    }
}
