//! Segments of shared memory of System V: files in memory without a name, attached as shared mappings ([`crate::fs::mapping`]). So all
//! attachments of a segment have one address.

use crate::fs::handle::NodeKey;

/// Mark of a segment that is removed with its last attachment (`SHM_DEST`).
pub const DOOMED: u32 = 0o1000;
/// Flags of shmat(2): attaches to be read only.
pub const READ_ONLY: u32 = 0o10000;
/// Rounds the address down.
pub const ROUND: u32 = 0o20000;
/// Replaces what is there.
pub const REPLACE: u32 = 0o40000;
/// Attaches to be executed, too.
pub const EXECUTE: u32 = 0o100000;

/// A segment.
#[derive(Debug)]
pub struct Segment {
    /// The file; the segment has a reference.
    pub node: NodeKey,
    /// Size in bytes.
    pub size: u64,
    /// Seconds since 1970 of the last attachment and detachment.
    pub times: [i64; 2],
    /// Processes of the creation, and of the last attachment or detachment.
    pub processes: [u32; 2],
}
