//! Files that an image brings: a tree behind everything else in the image file, read-only.
//!
//! An image with files carries a note of type [`crate::note::FILES`], a [`Note`], that says where in the file the tree
//! is. A tender need not look into it, nor load it: the guest reads it, as far as it needs it, where
//! [`crate::boot::Info::image_file`] says. So a file costs nothing before it is opened, and its contents are the pages of
//! the image file, which all guests of it share.
//!
//! The tree is a [`Header`], then [`Header::count`] times an [`Entry`], then names and the targets of links, then
//! contents. Offsets count from its first byte, which lies at a multiple of [`PAGE`] in the file. The first entry is the
//! root directory; those in a directory follow each other, in ascending order of their names, somewhere behind the
//! directory's own, so that no directory can be inside itself. Contents of a page or more begin at a multiple of
//! [`PAGE`], with zeros from their end to the next: they can be mapped as they are.

pub use crate::memory::PAGE;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// What a tree begins with.
pub const MAGIC: [u8; 8] = *b"HuskTree";

/// Body of the note.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Note {
    /// Where in the image file the tree begins.
    pub offset: u64,
    /// Its length in bytes.
    pub length: u64,
    /// How many files, directories and links it has, the root not counted.
    pub count: u64,
}

/// The beginning of a tree.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Header {
    /// [`MAGIC`].
    pub magic: [u8; 8],
    /// Number of entries that follow.
    pub count: u64,
}

/// A file, directory or symbolic link.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Entry {
    /// Offset of its name; the root has none.
    pub name: u64,
    /// Bytes in its name: 1 to 255, none of them NUL or `/`.
    pub name_length: u32,
    /// One of [`kind`], and twelve permission bits.
    pub mode: u32,
    /// When the contents were last changed: whole seconds from 1970, rounded down.
    pub seconds: i64,
    /// The rest of that in nanoseconds, below a thousand million.
    pub nanoseconds: u32,
    /// Number of directories in a directory.
    pub directories: u32,
    /// Offset of a file's contents or a link's target; the number of the first entry in a directory.
    pub contents: u64,
    /// Bytes in a file or in a link's target; number of entries in a directory.
    pub length: u64,
}

/// Kinds of entries, as bits of [`Entry::mode`]: Linux's.
pub mod kind {
    /// The bits.
    pub const MASK: u32 = 0o170_000;
    /// A directory.
    pub const DIRECTORY: u32 = 0o040_000;
    /// A regular file.
    pub const REGULAR: u32 = 0o100_000;
    /// A symbolic link.
    pub const LINK: u32 = 0o120_000;
}
