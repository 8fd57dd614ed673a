//! Hash tree error types.

use crate::error::Ext4Error;
use core::fmt;

/// Errors returned by hash tree parsing and lookup helpers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HashTreeError {
    /// The directory does not contain a valid hash tree layout.
    InvalidHashTree,
    /// The on-disk hash version is not supported.
    UnsupportedHashVersion,
    /// The hash tree metadata is corrupted.
    CorruptedHashTree,
    /// A referenced data block is out of range.
    BlockOutOfRange,
    /// The provided buffer is too small to contain the expected structure.
    BufferTooSmall,
    /// The requested entry does not exist.
    EntryNotFound,
    /// An extent, cache, or block-device operation failed during lookup.
    Filesystem(Ext4Error),
}

impl fmt::Display for HashTreeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Filesystem(error) => return error.fmt(f),
            Self::InvalidHashTree => "Invalid hash tree format",
            Self::UnsupportedHashVersion => "Unsupported hash version",
            Self::CorruptedHashTree => "Corrupted hash tree",
            Self::BlockOutOfRange => "Block number out of range",
            Self::BufferTooSmall => "Buffer too small",
            Self::EntryNotFound => "Entry not found",
        })
    }
}

impl core::error::Error for HashTreeError {}

impl From<Ext4Error> for HashTreeError {
    fn from(error: Ext4Error) -> Self {
        Self::Filesystem(error)
    }
}

impl HashTreeError {
    /// Returns whether Linux would treat this as `ERR_BAD_DX_DIR` and retry
    /// through the ordinary directory scan.
    pub(crate) const fn allows_linear_fallback(&self) -> bool {
        matches!(
            self,
            Self::InvalidHashTree
                | Self::UnsupportedHashVersion
                | Self::CorruptedHashTree
                | Self::BlockOutOfRange
                | Self::BufferTooSmall
        )
    }

    /// Converts an HTree boundary error into the filesystem domain.
    pub(crate) fn into_ext4(self, operation: &'static str) -> Ext4Error {
        match self {
            Self::Filesystem(error) => error,
            Self::UnsupportedHashVersion => Ext4Error::unsupported().with_operation(operation),
            Self::EntryNotFound => Ext4Error::not_found().with_operation(operation),
            Self::InvalidHashTree
            | Self::CorruptedHashTree
            | Self::BlockOutOfRange
            | Self::BufferTooSmall => Ext4Error::corrupted().with_operation(operation),
        }
    }
}
