//! Files that an image brings: a tree behind everything else in the image file, read-only.
//!
//! An image with files carries a note of type [`crate::note::FILES`], a [`Note`], with the position of the tree in the file. A
//! tender need neither read nor load the tree: the guest reads parts of it on demand at [`crate::boot::Info::image_file`]. Thus
//! a file costs nothing before it is opened, and its contents are the page cache pages of the image file, which all guests of
//! it share.
//!
//! The tree is a [`Header`], then [`Header::count`] times an [`Entry`], then names and the targets of links, then contents.
//! Offsets count from the tree's first byte, which lies at a multiple of [`PAGE`] in the file. The first entry is the root
//! directory. The entries of a directory follow each other, in ascending order of their names, somewhere behind the directory's
//! own entry, so that no directory can be inside itself. Contents of a page or more begin at a multiple of [`PAGE`], padded
//! with zeros to the next multiple: they can be mapped directly.

pub use crate::memory::PAGE;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// First bytes of a tree.
pub const MAGIC: [u8; 8] = *b"HuskTree";

/// Body of the note.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Note {
    /// Offset of the tree in the image file.
    pub offset: u64,
    /// Length of the tree in bytes.
    pub length: u64,
    /// Number of files, directories and links in the tree, without the root.
    pub count: u64,
}

/// Header of a tree.
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
    /// Offset of the entry's name; the root has none.
    pub name: u64,
    /// Length of the name in bytes: 1 to 255, none of them NUL or `/`.
    pub name_length: u32,
    /// Value of [`kind`] and twelve permission bits.
    pub mode: u32,
    /// Time of the last change of the contents: whole seconds from 1970, rounded down.
    pub seconds: i64,
    /// Nanoseconds within that second, below a thousand million.
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
    /// Mask of the kind bits.
    pub const MASK: u32 = 0o170_000;
    /// A directory.
    pub const DIRECTORY: u32 = 0o040_000;
    /// A regular file.
    pub const REGULAR: u32 = 0o100_000;
    /// A symbolic link.
    pub const LINK: u32 = 0o120_000;
}
