//! Numbers of errors, which are Linux's, and what the errors of the file system's crate mean.

use husk_abi::folder::OUTSIDE;
use rsext4::{Ext4Error, Ext4ErrorKind};

/// An errno of Linux, or [`OUTSIDE`].
pub type Errno = u32;

pub const EPERM: Errno = 1;
pub const ENOENT: Errno = 2;
pub const EIO: Errno = 5;
pub const ENXIO: Errno = 6;
pub const EBADF: Errno = 9;
pub const EAGAIN: Errno = 11;
pub const ENOMEM: Errno = 12;
pub const EBUSY: Errno = 16;
pub const EEXIST: Errno = 17;
pub const ENOTDIR: Errno = 20;
pub const EISDIR: Errno = 21;
pub const EINVAL: Errno = 22;
pub const EMFILE: Errno = 24;
pub const EFBIG: Errno = 27;
pub const ENOSPC: Errno = 28;
pub const EROFS: Errno = 30;
pub const EMLINK: Errno = 31;
pub const ENAMETOOLONG: Errno = 36;
pub const ENOLCK: Errno = 37;
pub const ENOSYS: Errno = 38;
pub const ENOTEMPTY: Errno = 39;
pub const ELOOP: Errno = 40;
pub const EOPNOTSUPP: Errno = 95;
pub const EUCLEAN: Errno = 117;
pub const EDQUOT: Errno = 122;
/// The path leads out of the volume.
pub const ELSEWHERE: Errno = OUTSIDE;

/// Errno of an error of the file system.
pub fn of(error: Ext4Error) -> Errno {
    match error.kind() {
        Ext4ErrorKind::Io | Ext4ErrorKind::Timeout => EIO,
        Ext4ErrorKind::Corrupted
        | Ext4ErrorKind::ChecksumMismatch
        | Ext4ErrorKind::BadSuperblock
        | Ext4ErrorKind::InvalidMagic
        | Ext4ErrorKind::Overflow => EUCLEAN,
        Ext4ErrorKind::UnsupportedFeature | Ext4ErrorKind::UnsupportedCapability | Ext4ErrorKind::Unsupported => {
            EOPNOTSUPP
        }
        Ext4ErrorKind::ReadOnly | Ext4ErrorKind::JournalAborted => EROFS,
        Ext4ErrorKind::NoSpace => ENOSPC,
        Ext4ErrorKind::NoMemory => ENOMEM,
        Ext4ErrorKind::QuotaExceeded => EDQUOT,
        Ext4ErrorKind::TooManyLinks => EMLINK,
        Ext4ErrorKind::PermissionDenied => EPERM,
        Ext4ErrorKind::NotFound => ENOENT,
        Ext4ErrorKind::AlreadyExists => EEXIST,
        Ext4ErrorKind::NotDirectory => ENOTDIR,
        Ext4ErrorKind::IsDirectory => EISDIR,
        Ext4ErrorKind::NotEmpty => ENOTEMPTY,
        Ext4ErrorKind::Busy => EBUSY,
        Ext4ErrorKind::BadFileDescriptor => EBADF,
        Ext4ErrorKind::InvalidInput => EINVAL,
        Ext4ErrorKind::FileTooLarge => EFBIG,
    }
}
