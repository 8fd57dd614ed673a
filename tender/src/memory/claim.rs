//! Memory that a guest names in a call.

/// Range of bytes that the guest claims as its own memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// First guest-virtual address.
    pub address: u64,
    /// Length in bytes.
    pub length: u64,
}
