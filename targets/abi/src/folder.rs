//! Folders: a directory of the host, or one file, of which the guest sees everything below; served on one queue
//! ([`crate::ring`]).
//!
//! **A request** has two parts or more: a [`Message`], which holds the request and takes the answer; its names, one after the
//! other, if it has any; its data, the rest. All memory is written but the data of a [`WRITE`], which is read. Requests are carried
//! out one after the other, in the order of submission. [`Descriptor::operation`](crate::ring::Descriptor::operation) is the
//! operation:
//!
//! | operation | names | further fields | answer |
//! |---|---|---|---|
//! | [`STAT`] | path | [`Flags::NO_FOLLOW`] | attributes |
//! | [`OPEN`] | path | `flags`: [`OPEN_FLAGS`] of open(2), `mode` | handle, attributes |
//! | [`CLOSE`] | | | |
//! | [`READ`] | | `offset` | `count`: bytes read |
//! | [`WRITE`] | | `offset`, [`Flags::APPEND`], [`Flags::DURABLE`], [`Flags::WITHIN`] | `count`: bytes written, `position` after them |
//! | [`LIST`] | | `offset`: cookie | `count`: bytes of records of getdents64(2) in the data |
//! | [`SET`] | path | [`Flags`] of what is set, and its values | of a volume, inode number in the attributes |
//! | [`SYNC`] | | [`Flags::DATA_ONLY`] | |
//! | [`MAKE_DIRECTORY`] | path | `mode` | |
//! | [`UNLINK`], [`REMOVE_DIRECTORY`] | path | | |
//! | [`RENAME`] | path, new path | `to`, `flags` of renameat2(2) | |
//! | [`LINK`] | path, new path | `to` | |
//! | [`SYMLINK`] | path, target | | |
//! | [`READ_LINK`] | path | | `count`: bytes of the target in the data |
//! | [`SPACE`] | path | | a [`Space`] in the data |
//! | [`FLOCK`] | | `flags` of flock(2) | |
//! | [`LOCK`], [`GET_LOCK`] | | `flags`: kind of lock of fcntl(2), `offset`, `count`, `mode`: owner | a [`Lock`] in the data |
//! | [`ALLOCATE`] | | `flags` of fallocate(2), `offset`, `count` | |
//! | [`SEEK`] | | `flags`: whence of lseek(2), `offset` | `position` |
//!
//! **Paths** are relative: to the root of the folder if [`Request::handle`] is [`ROOT`], else to the directory that it stands for
//! (the second path to [`Request::to`]). Links on the way are followed, within the folder. A path that would leave it, by `..` or
//! by a link, is answered by [`OUTSIDE`]. An empty path means what the handle stands for. A name is [`NAME_MAXIMUM`] bytes
//! at most, none of them NUL. Modes, flags and errors are Linux's numbers.
//!
//! **Handles** stand for open files of the host until [`CLOSE`]; at most [`HANDLES_MAXIMUM`] at a time.
//!
//! **Locks** never wait: EAGAIN means that another holds the lock. Those of [`PROCESS`] belong to the guest as a whole, as those of
//! F_SETLK; the others to the handle.
//!
//! **Durability** is that of the host's file system: after [`SYNC`], or [`Flags::DURABLE`]. A volume, which answers the same requests
//! inside the guest, takes [`SYNC`] of [`ROOT`] for all of it; a tender answers EBADF.
//!
//! A guest is given folders only if it carries the note [`crate::note::FOLDERS`], with [`VERSION`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Version of the operations, in the note of an image: a tender serves images of this version or an older one.
pub const VERSION: u32 = 1;

/// Returns attributes. No operation has the number 0, so that an entry of zeros is invalid.
pub const STAT: u16 = 1;
/// Opens a file, or creates it.
pub const OPEN: u16 = 2;
/// Closes a handle.
pub const CLOSE: u16 = 3;
/// Reads from a file.
pub const READ: u16 = 4;
/// Writes to a file.
pub const WRITE: u16 = 5;
/// Lists a directory.
pub const LIST: u16 = 6;
/// Changes attributes.
pub const SET: u16 = 7;
/// Makes what was written durable.
pub const SYNC: u16 = 8;
/// Makes a directory.
pub const MAKE_DIRECTORY: u16 = 9;
/// Removes a name of a file.
pub const UNLINK: u16 = 10;
/// Removes an empty directory.
pub const REMOVE_DIRECTORY: u16 = 11;
/// Renames a file.
pub const RENAME: u16 = 12;
/// Gives a file another name.
pub const LINK: u16 = 13;
/// Makes a symbolic link.
pub const SYMLINK: u16 = 14;
/// Reads a symbolic link.
pub const READ_LINK: u16 = 15;
/// Returns the space of the file system.
pub const SPACE: u16 = 16;
/// Takes or releases a lock of flock(2).
pub const FLOCK: u16 = 17;
/// Takes or releases a lock on a range.
pub const LOCK: u16 = 18;
/// Returns a lock that another holds.
pub const GET_LOCK: u16 = 19;
/// Allocates space, or frees it.
pub const ALLOCATE: u16 = 20;
/// Finds data, a hole, or the end of a file.
pub const SEEK: u16 = 21;

/// Handle of the folder itself.
pub const ROOT: u32 = u32::MAX;
/// Most handles of a folder at a time.
pub const HANDLES_MAXIMUM: u32 = 4096;
/// Most bytes of a name.
pub const NAME_MAXIMUM: u32 = 4095;
/// Most bytes of data in one request.
pub const DATA_MAXIMUM: u32 = 16 << 20;
/// Error of a path that leaves the folder.
pub const OUTSIDE: u32 = 1 << 16;
/// Owner of a lock: the guest.
pub const PROCESS: u32 = 1;

/// Flags of open(2) that [`OPEN`] takes, by Linux's numbers on x86-64; a guest removes others: the access mode, O_CREAT, O_EXCL,
/// O_TRUNC, O_DSYNC, O_DIRECTORY, O_NOFOLLOW, O_SYNC, O_PATH and O_TMPFILE.
pub const OPEN_FLAGS: u32 =
    0o3 | 0o100 | 0o200 | 0o1000 | 0o10000 | 0o200_000 | 0o400_000 | 0o4_010_000 | 0o10_000_000 | 0o20_000_000;

bitflags::bitflags! {
    /// Switches in [`Request::flags`], except where they are Linux's.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// A link at the end of the path is not followed.
        const NO_FOLLOW = 1;
        /// Only the data, and what is needed to find it, is to be durable.
        const DATA_ONLY = 2;
        /// The bytes are written at the end of the file.
        const APPEND = 4;
        /// The write is durable before the answer.
        const DURABLE = 8;
        /// The permissions are set to `mode`.
        const MODE = 0x10;
        /// The owner is set to `user`.
        const USER = 0x20;
        /// The group is set to `group`.
        const GROUP = 0x40;
        /// The size is set to `count`.
        const SIZE = 0x80;
        /// The time of access is set to `times[0]`.
        const ACCESSED = 0x100;
        /// The time of modification is set to `times[1]`.
        const MODIFIED = 0x200;
        /// The time of access is set to the host's present.
        const ACCESSED_NOW = 0x400;
        /// The time of modification is set to the host's present.
        const MODIFIED_NOW = 0x800;
        /// Bytes behind the end of the file are not written; all before it are, or the answer is an error. For volumes only: a
        /// tender answers EINVAL.
        const WITHIN = 0x1000;
    }
}

/// First part of a request.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Message {
    /// Written by the guest.
    pub request: Request,
    /// Written by the tender.
    pub answer: Answer,
}

/// Request of a guest. Fields that the operation does not define are 0.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Request {
    /// Open file, or directory at which the path begins.
    pub handle: u32,
    /// Directory at which the second path begins.
    pub to: u32,
    /// [`Flags`], or flags of Linux.
    pub flags: u32,
    /// Permissions, or [`PROCESS`].
    pub mode: u32,
    /// Lengths of the names.
    pub names: [u32; 2],
    /// User to own the file.
    pub user: u32,
    /// Group to own the file.
    pub group: u32,
    /// Offset in the file, or cookie.
    pub offset: u64,
    /// Number of bytes; 0 in a lock for all up to the end.
    pub count: u64,
    /// Time of access, and of modification.
    pub times: [Time; 2],
}

/// Answer of a tender.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Answer {
    /// An errno of Linux, [`OUTSIDE`], or 0 for success.
    pub error: u32,
    /// Handle of the opened file.
    pub handle: u32,
    /// Number of bytes.
    pub count: u64,
    /// Offset in the file.
    pub position: u64,
    /// Attributes of the file.
    pub attributes: Attributes,
}

/// Attributes of a file. The user that the tender runs as, which is the owner of all files that the guest makes, appears as 0, as
/// does its group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Attributes {
    /// Kind and permissions, as in stat(2).
    pub mode: u32,
    /// Number of names.
    pub links: u32,
    /// Owner.
    pub user: u32,
    /// Group.
    pub group: u32,
    /// Inode number.
    pub number: u64,
    /// Size in bytes.
    pub size: u64,
    /// Blocks of 512 bytes.
    pub blocks: u64,
    /// Preferred size of a transfer in bytes.
    pub block_size: u32,
    /// 0.
    pub reserved: u32,
    /// Times of access, modification, change and creation.
    pub times: [Time; 4],
}

/// A point in time, counted from 1970.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Time {
    /// Whole seconds, rounded down.
    pub seconds: i64,
    /// Nanoseconds beyond, below a thousand million.
    pub nanoseconds: u32,
    /// 0.
    pub reserved: u32,
}

/// Space of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Space {
    /// Magic number of the file system's type.
    pub magic: u64,
    /// Bytes of a block.
    pub block_size: u64,
    /// Blocks: all, the free ones, and those for users without privileges.
    pub blocks: [u64; 3],
    /// Inodes: all, and the free ones.
    pub files: [u64; 2],
    /// Longest name in bytes.
    pub name_maximum: u64,
}

/// Lock on a range.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Lock {
    /// Kind of lock of fcntl(2).
    pub kind: u32,
    /// 0.
    pub reserved: u32,
    /// First byte.
    pub start: u64,
    /// Number of bytes; 0 for all up to the end.
    pub length: u64,
}

/// Properties of a folder. The path follows, padded with zeros to a multiple of 8 bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Folder {
    /// [`Properties`].
    pub flags: u32,
    /// Length of the absolute path at which the guest shows the folder.
    pub path_length: u32,
}

bitflags::bitflags! {
    /// Switches in [`Folder::flags`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Properties: u32 {
        /// Nothing can be changed: EROFS.
        const READ_ONLY = 1;
        /// The folder is one file, which has the empty path.
        const FILE = 2;
        /// Attributes are not to be kept by the guest, because the host changes files at any time.
        const NOT_CACHED = 4;
    }
}

const _: () = assert!(size_of::<Request>() == 80 && size_of::<Answer>() == 136);
