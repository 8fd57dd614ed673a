//! OS-independent ext4 domain errors.

use core::fmt;

mod context;

pub use context::{ErrorContext, FeatureSet};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ext4ErrorKind {
    Io,
    Corrupted,
    ChecksumMismatch,
    UnsupportedFeature,
    UnsupportedCapability,
    Unsupported,
    ReadOnly,
    NoSpace,
    NoMemory,
    QuotaExceeded,
    TooManyLinks,
    JournalAborted,
    PermissionDenied,
    NotFound,
    AlreadyExists,
    NotDirectory,
    IsDirectory,
    NotEmpty,
    Busy,
    BadFileDescriptor,
    InvalidInput,
    Overflow,
    FileTooLarge,
    Timeout,
    BadSuperblock,
    InvalidMagic,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ext4Error {
    kind: Ext4ErrorKind,
    context: Option<ErrorContext>,
}

impl fmt::Display for Ext4ErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Io => "I/O failure",
            Self::Corrupted => "filesystem metadata is corrupted",
            Self::ChecksumMismatch => "metadata checksum mismatch",
            Self::UnsupportedFeature => "unsupported filesystem feature",
            Self::UnsupportedCapability => "required runtime capability is unavailable",
            Self::Unsupported => "operation is unsupported",
            Self::ReadOnly => "filesystem is read-only",
            Self::NoSpace => "no space is available",
            Self::NoMemory => "memory allocation failed",
            Self::QuotaExceeded => "quota limit exceeded",
            Self::TooManyLinks => "link count limit exceeded",
            Self::JournalAborted => "journal is aborted",
            Self::PermissionDenied => "permission precondition was not satisfied",
            Self::NotFound => "entry was not found",
            Self::AlreadyExists => "entry already exists",
            Self::NotDirectory => "not a directory",
            Self::IsDirectory => "is a directory",
            Self::NotEmpty => "directory is not empty",
            Self::Busy => "resource is busy",
            Self::BadFileDescriptor => "bad file descriptor",
            Self::InvalidInput => "invalid input",
            Self::Overflow => "integer overflow",
            Self::FileTooLarge => "file is too large",
            Self::Timeout => "operation timed out",
            Self::BadSuperblock => "superblock geometry is invalid",
            Self::InvalidMagic => "superblock magic is invalid",
        })
    }
}

impl core::error::Error for Ext4ErrorKind {}

impl fmt::Display for Ext4Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {:?}", self.kind, self.context)
    }
}

impl core::error::Error for Ext4Error {}

pub type Ext4Result<T> = Result<T, Ext4Error>;

impl Ext4Error {
    pub const fn new(kind: Ext4ErrorKind) -> Self {
        Self {
            kind,
            context: None,
        }
    }

    pub const fn kind(self) -> Ext4ErrorKind {
        self.kind
    }

    pub const fn context(self) -> Option<ErrorContext> {
        self.context
    }

    pub const fn is_corruption(self) -> bool {
        matches!(
            self.kind,
            Ext4ErrorKind::Corrupted | Ext4ErrorKind::ChecksumMismatch
        )
    }

    pub const fn with_context(mut self, context: ErrorContext) -> Self {
        self.context = Some(context);
        self
    }

    pub const fn with_operation(self, op: &'static str) -> Self {
        self.with_context(ErrorContext::Operation { op })
    }

    pub const fn invalid_input() -> Self {
        Self::new(Ext4ErrorKind::InvalidInput)
    }

    pub const fn not_found() -> Self {
        Self::new(Ext4ErrorKind::NotFound)
    }

    pub const fn already_exists() -> Self {
        Self::new(Ext4ErrorKind::AlreadyExists)
    }

    pub const fn not_dir() -> Self {
        Self::new(Ext4ErrorKind::NotDirectory)
    }

    pub const fn is_dir() -> Self {
        Self::new(Ext4ErrorKind::IsDirectory)
    }

    pub const fn io() -> Self {
        Self::new(Ext4ErrorKind::Io)
    }

    pub const fn badf() -> Self {
        Self::new(Ext4ErrorKind::BadFileDescriptor)
    }

    pub const fn busy() -> Self {
        Self::new(Ext4ErrorKind::Busy)
    }

    pub const fn not_empty() -> Self {
        Self::new(Ext4ErrorKind::NotEmpty)
    }

    pub const fn no_space() -> Self {
        Self::new(Ext4ErrorKind::NoSpace)
    }

    pub const fn no_memory() -> Self {
        Self::new(Ext4ErrorKind::NoMemory)
    }

    pub const fn too_many_links() -> Self {
        Self::new(Ext4ErrorKind::TooManyLinks)
    }

    pub const fn read_only() -> Self {
        Self::new(Ext4ErrorKind::ReadOnly)
    }

    pub const fn permission_denied() -> Self {
        Self::new(Ext4ErrorKind::PermissionDenied)
    }

    pub const fn unsupported() -> Self {
        Self::new(Ext4ErrorKind::Unsupported)
    }

    pub const fn unsupported_feature(set: FeatureSet, bits: u32) -> Self {
        Self::new(Ext4ErrorKind::UnsupportedFeature)
            .with_context(ErrorContext::Feature { set, bits })
    }

    pub const fn unsupported_capability(name: &'static str) -> Self {
        Self::new(Ext4ErrorKind::UnsupportedCapability)
            .with_context(ErrorContext::Capability { name })
    }

    pub const fn timeout() -> Self {
        Self::new(Ext4ErrorKind::Timeout)
    }

    pub const fn corrupted() -> Self {
        Self::new(Ext4ErrorKind::Corrupted)
    }

    pub const fn checksum() -> Self {
        Self::new(Ext4ErrorKind::ChecksumMismatch)
    }

    pub const fn bad_superblock() -> Self {
        Self::new(Ext4ErrorKind::BadSuperblock)
    }

    pub const fn invalid_magic() -> Self {
        Self::new(Ext4ErrorKind::InvalidMagic)
    }

    pub const fn already_mounted() -> Self {
        Self::new(Ext4ErrorKind::Busy)
    }

    pub const fn overflow() -> Self {
        Self::new(Ext4ErrorKind::Overflow)
    }

    pub const fn file_too_large() -> Self {
        Self::new(Ext4ErrorKind::FileTooLarge)
    }

    pub const fn journal_aborted() -> Self {
        Self::new(Ext4ErrorKind::JournalAborted)
    }

    pub const fn block_out_of_range(block_id: u32, max_blocks: u64) -> Self {
        Self::invalid_input().with_context(ErrorContext::BlockRange {
            block_id,
            max_blocks,
        })
    }

    pub const fn invalid_block_size(size: usize, expected: usize) -> Self {
        Self::invalid_input().with_context(ErrorContext::BlockSize { size, expected })
    }

    pub const fn buffer_too_small(provided: usize, required: usize) -> Self {
        Self::invalid_input().with_context(ErrorContext::BufferSize { provided, required })
    }

    pub const fn alignment(offset: u64, alignment: u32) -> Self {
        Self::invalid_input().with_context(ErrorContext::Alignment { offset, alignment })
    }
}

impl From<Ext4ErrorKind> for Ext4Error {
    fn from(kind: Ext4ErrorKind) -> Self {
        Self::new(kind)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::alloc::string::ToString;

    #[test]
    fn domain_error_keeps_kind_and_context() {
        let err = Ext4Error::buffer_too_small(4, 8);
        assert_eq!(err.kind(), Ext4ErrorKind::InvalidInput);
        assert!(err.to_string().contains("provided: 4"));
    }

    #[test]
    fn unsupported_feature_identifies_feature_set_and_bits() {
        let error = Ext4Error::unsupported_feature(FeatureSet::Incompatible, 0x8000_0000);
        assert_eq!(error.kind(), Ext4ErrorKind::UnsupportedFeature);
        assert_eq!(
            error.context(),
            Some(ErrorContext::Feature {
                set: FeatureSet::Incompatible,
                bits: 0x8000_0000,
            })
        );
    }

    #[test]
    fn allocation_failure_has_a_distinct_domain_error() {
        let error = Ext4Error::no_memory();
        assert_eq!(error.kind(), Ext4ErrorKind::NoMemory);
    }
}
