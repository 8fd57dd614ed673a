//! What a guest names in a call.

/// A range of bytes that the guest says is its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Claim {
    /// First guest-virtual address.
    pub address: u64,
    /// Length in bytes.
    pub length: u64,
}
