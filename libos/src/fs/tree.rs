//! Files in an image ([`husk::abi::files`]), below those that the program makes.
//!
//! A directory of the tree is unfolded when a walk or a listing first reaches it: its entries become ordinary inodes, which can
//! be removed, renamed and replaced. The contents of a file stay in the image until they are written to ([`super::data`]).
//!
//! The tree is the image's own, but may be damaged: calls on damaged parts return EIO.

use super::data::Data;
use super::directory::{Directory, Folded, NAME_MAXIMUM, boxed};
use super::handle::NodeKey;
use super::inode::{Kind, Time};
use crate::errno::Errno;
use alloc::vec::Vec;
use husk::abi::files::{Entry, Header, MAGIC, kind};
use zerocopy::FromBytes;

/// Inputs for making the program's tree of files.
#[derive(Debug)]
pub struct Seed {
    /// Path of the program.
    pub program: Vec<u8>,
    /// Time of all files.
    pub now: Time,
    /// Files in the image.
    pub image_files: ImageFiles,
}

/// Function that returns the files in the image.
pub type ImageFiles = fn() -> Result<&'static [u8], Errno>;

/// Tree of files in an image.
#[derive(Clone, Copy, Debug)]
pub struct Tree(&'static [u8]);

impl Tree {
    /// Returns the tree in `bytes`; `None` if there are no bytes.
    pub fn check(bytes: &'static [u8]) -> Result<Option<Self>, Errno> {
        if bytes.is_empty() {
            return Ok(None);
        }
        let (header, _) = Header::read_from_prefix(bytes).map_err(|_| Errno::EIO)?;
        if header.magic == MAGIC { Ok(Some(Self(bytes))) } else { Err(Errno::EIO) }
    }

    /// The root directory.
    pub fn root(self) -> Folded {
        Folded { entry: 0, counted: 0 }
    }

    /// The entry with this number.
    pub(super) fn entry(self, number: u64) -> Result<Entry, Errno> {
        let (header, entries) = Header::read_from_prefix(self.0).map_err(|_| Errno::EIO)?;
        let start = number.checked_mul(size_of::<Entry>() as u64).filter(|_| number < header.count);
        let bytes = start.and_then(|start| entries.get(start as usize..)).ok_or(Errno::EIO)?;
        Entry::read_from_prefix(bytes).map(|(entry, _)| entry).map_err(|_| Errno::EIO)
    }

    fn bytes(self, offset: u64, length: u64) -> Result<&'static [u8], Errno> {
        let end = offset.checked_add(length).ok_or(Errno::EIO)?;
        self.0.get(offset as usize..end as usize).ok_or(Errno::EIO)
    }

    /// Name of an entry.
    pub(super) fn name(self, entry: &Entry) -> Result<&'static [u8], Errno> {
        match self.bytes(entry.name, entry.name_length.into())? {
            b"" | b"." | b".." => Err(Errno::EIO),
            name if name.len() > NAME_MAXIMUM || name.contains(&b'/') || name.contains(&0) => Err(Errno::EIO),
            name => Ok(name),
        }
    }

    /// Numbers of the entries in the directory with this number.
    pub(super) fn entries_in(self, number: u64) -> Result<core::ops::Range<u64>, Errno> {
        let Entry { mode, contents, length, .. } = self.entry(number)?;
        let end = contents.checked_add(length).ok_or(Errno::EIO)?;
        // Entries of a directory lie behind its own, so it cannot contain itself.
        match mode & kind::MASK == kind::DIRECTORY && (contents > number || length == 0) {
            true => Ok(contents..end),
            false => Err(Errno::EIO),
        }
    }

    /// Kind of the entry with this number, once it is in `parent`.
    pub(super) fn kind(self, number: u64, entry: &Entry, parent: NodeKey) -> Result<Kind, Errno> {
        let contents = || self.bytes(entry.contents, entry.length);
        match entry.mode & kind::MASK {
            kind::REGULAR => Ok(Kind::Regular(Data::of_image(contents()?))),
            kind::LINK if entry.length > 0 => Ok(Kind::Link(boxed(contents()?)?)),
            kind::DIRECTORY => {
                let mut directory = Directory::new(parent);
                let folded = Folded { entry: number, counted: entry.directories };
                directory.folded = (entry.length > 0).then_some(folded);
                Ok(Kind::Directory(directory))
            }
            _ => Err(Errno::EIO),
        }
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::inode::Inode;
    use super::*;
    use zerocopy::IntoBytes;

    /// Returns a tree of some files: `/etc/hosts`, `/data/large` of 10,000 bytes of 7, `/data/empty/`, `/data/link`.
    pub fn example() -> &'static [u8] {
        let names = b"dataetchostsemptylargelink/etc/hosts";
        let start = (size_of::<Header>() + 7 * size_of::<Entry>()) as u64;
        let (small, large) = (start + names.len() as u64, 4096);
        let directory = |name, name_length, directories, contents, length| Entry {
            mode: kind::DIRECTORY | 0o750,
            ..Entry { name: start + name, name_length, directories, contents, length, ..Entry::default() }
        };
        let other = |name, name_length, mode, contents, length| Entry {
            seconds: 1_000_000_000,
            nanoseconds: 5,
            ..Entry { name: start + name, name_length, mode, contents, length, ..Entry::default() }
        };
        let entries = [
            directory(0, 0, 2, 1, 2),
            directory(0, 4, 1, 3, 3),
            directory(4, 3, 0, 6, 1),
            directory(12, 5, 0, 0, 0),
            other(17, 5, kind::REGULAR | 0o640, large, 10_000),
            other(22, 4, kind::LINK | 0o777, start + 26, 10),
            other(7, 5, kind::REGULAR | 0o600, small, 5),
        ];
        let header = Header { magic: MAGIC, count: 7 };
        let mut bytes = [header.as_bytes(), entries.as_bytes(), names, b"hosts"].concat();
        bytes.resize(large as usize, 0);
        bytes.resize(large as usize + 10_000, 7);
        Box::leak(bytes.into_boxed_slice())
    }

    #[test]
    fn what_is_damaged_is_an_error() {
        assert!(Tree::check(b"").expect("none").is_none());
        assert!(Tree::check(b"HuskTree").is_err());
        assert!(Tree::check(&[0; 64]).is_err());
        let whole = example();
        for length in (16..4096).step_by(8) {
            let tree = Tree::check(&whole[..length]).expect("has a header").expect("is one");
            for number in [0, 1, 6, 7, u64::MAX] {
                let Ok(entry) = tree.entry(number) else { continue };
                let _ = (tree.name(&entry), tree.entries_in(number));
                let node = super::super::slab::Slab::default().insert(Inode::for_test()).expect("memory");
                let _ = tree.kind(number, &entry, node);
            }
        }
    }

    #[test]
    fn a_directory_inside_itself_is_damaged() {
        let mut bytes = example().to_vec();
        let own = Entry { mode: kind::DIRECTORY, contents: 1, length: 1, ..Entry::default() };
        let at = size_of::<Header>() + size_of::<Entry>();
        bytes[at..at + size_of::<Entry>()].copy_from_slice(own.as_bytes());
        let tree = Tree::check(Box::leak(bytes.into_boxed_slice())).expect("a header").expect("is one");
        assert_eq!(tree.entries_in(1), Err(Errno::EIO));
        assert!(tree.entries_in(0).is_ok());
    }
}
