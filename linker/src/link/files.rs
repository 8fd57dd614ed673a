//! The files that go into an image: a folder, written behind everything else as a tree that the libos reads
//! ([`husk_abi::files`]).

use super::note::Notes;
use crate::error::{Error, Result};
use husk_abi::files::{Entry, Header, MAGIC, Note, PAGE, kind};
use std::collections::VecDeque;
use std::fs::{self, File, Metadata};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::io::{self, BufWriter, Read, Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Path, PathBuf};
use zerocopy::IntoBytes;

/// Folders that the libos makes and that an image cannot have any part in.
const RESERVED: [&str; 3] = ["dev", "proc", "sys"];

/// A folder as it is now, without the contents of its files.
#[derive(Debug)]
pub struct Tree {
    items: Vec<Item>,
}

#[derive(Debug)]
struct Item {
    path: PathBuf,
    /// Entry in the image; offsets are filled in when it is written.
    entry: Entry,
    /// Target of a link.
    target: Vec<u8>,
}

impl Item {
    /// Reads the item at `path`, if it is of a kind that an image can have.
    fn read(path: PathBuf) -> Result<Self> {
        let metadata = fs::symlink_metadata(&path).map_err(|error| Error::file("read", &path, error))?;
        let kind = metadata.mode() & kind::MASK;
        let mut target = Vec::new();
        if kind == kind::LINK {
            let link = fs::read_link(&path).map_err(|error| Error::file("read", &path, error))?;
            target = link.as_os_str().as_bytes().to_vec();
        } else if ![kind::DIRECTORY, kind::REGULAR].contains(&kind) {
            return Err(Error::new(format!(
                "'{}' cannot go into an image: it is neither a file nor a folder nor a symbolic link; remove it",
                path.display()
            )));
        }
        let length = if kind == kind::REGULAR { metadata.len() } else { target.len() as u64 };
        let entry = Entry { length, ..described(&metadata) };
        Ok(Self { path, entry, target })
    }

    fn is(&self, kind: u32) -> bool {
        self.entry.mode & kind::MASK == kind
    }

    fn name(&self) -> &[u8] {
        self.path.file_name().unwrap_or_default().as_bytes()
    }
}

fn described(metadata: &Metadata) -> Entry {
    Entry {
        mode: metadata.mode() & (kind::MASK | 0o7777),
        seconds: metadata.mtime(),
        nanoseconds: metadata.mtime_nsec() as u32,
        ..Entry::default()
    }
}

impl Tree {
    /// Reads the tree in `folder`. Links in it are kept as links.
    pub fn read(folder: &Path) -> Result<Self> {
        let metadata = fs::metadata(folder).map_err(|error| Error::file("read", folder, error))?;
        if !metadata.is_dir() {
            return Err(Error::new(format!("'{}' is not a folder", folder.display())));
        }
        let root = Item { path: folder.to_owned(), entry: described(&metadata), target: Vec::new() };
        let mut items = vec![root];
        let mut folders = VecDeque::from([0]);
        while let Some(index) = folders.pop_front() {
            let children = children(&items[index].path)?;
            if index == 0
                && let Some(reserved) = children.iter().find(|child| RESERVED.iter().any(|name| child.ends_with(name)))
            {
                return Err(Error::new(format!(
                    "'{}' cannot go into an image: a guest has such a folder of its own; rename it",
                    reserved.display()
                )));
            }
            let first = items.len();
            for path in children {
                let item = Item::read(path)?;
                if item.is(kind::DIRECTORY) {
                    items[index].entry.directories += 1;
                    folders.push_back(items.len());
                }
                items.push(item);
            }
            let length = (items.len() - first) as u64;
            let contents = if length > 0 { first as u64 } else { 0 };
            items[index].entry = Entry { contents, length, ..items[index].entry };
        }
        Ok(Self { items })
    }

    /// Returns a number that changes when anything in the tree changes.
    pub fn fingerprint(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        for Item { path, entry, target } in &self.items {
            (path, entry.as_bytes(), target).hash(&mut hasher);
        }
        hasher.finish()
    }

    /// Writes the tree behind everything else in the image at `path`, and its place into the image's note.
    pub fn append(mut self, path: &Path) -> Result<()> {
        let failed = |error| Error::file("write", path, error);
        let image = fs::read(path).map_err(|error| Error::file("read", path, error))?;
        let notes = Notes::read(&image).map_err(|error| Error::new(format!("the image has no notes: {error}")))?;
        let place = notes.files.ok_or_else(|| Error::new("the image has no note about files"))?;
        let offset = (image.len() as u64).next_multiple_of(PAGE);
        let length = self.place();
        let mut file = File::options().write(true).open(path).map_err(failed)?;
        file.seek(SeekFrom::Start(offset)).map_err(failed)?;
        self.write(BufWriter::new(&mut file), path)?;
        // The last page is whole, so that it can be mapped.
        file.set_len(offset + length).map_err(failed)?;
        let note = Note { offset, length, count: self.items.len() as u64 - 1 };
        file.write_all_at(note.as_bytes(), place.start as u64).map_err(failed)
    }

    /// Assigns the offsets: names, targets and small contents first, then contents of whole pages. Returns the total length.
    fn place(&mut self) -> u64 {
        let mut at = (size_of::<Header>() + self.items.len() * size_of::<Entry>()) as u64;
        for item in &mut self.items[1..] {
            let length = item.name().len() as u32;
            (item.entry.name, item.entry.name_length) = (at, length);
            at += u64::from(length);
        }
        for small in [true, false] {
            for item in self.items.iter_mut().filter(|item| !item.is(kind::DIRECTORY) && is_small(item) == small) {
                at = if small { at } else { at.next_multiple_of(PAGE) };
                item.entry.contents = at;
                at += item.entry.length;
            }
        }
        at.next_multiple_of(PAGE)
    }

    fn write(&self, mut to: impl Write, path: &Path) -> Result<()> {
        let failed = |error| Error::file("write", path, error);
        let header = Header { magic: MAGIC, count: self.items.len() as u64 };
        to.write_all(header.as_bytes()).map_err(failed)?;
        let mut at = size_of::<Header>() as u64;
        for item in &self.items {
            to.write_all(item.entry.as_bytes()).map_err(failed)?;
            at += size_of::<Entry>() as u64;
        }
        for item in &self.items[1..] {
            to.write_all(item.name()).map_err(failed)?;
            at += item.name().len() as u64;
        }
        for small in [true, false] {
            for item in self.items.iter().filter(|item| !item.is(kind::DIRECTORY) && is_small(item) == small) {
                io::copy(&mut io::repeat(0).take(item.entry.contents - at), &mut to).map_err(failed)?;
                copy(item, &mut to)?;
                at = item.entry.contents + item.entry.length;
            }
        }
        to.flush().map_err(failed)
    }
}

/// Returns true if an item's contents share a page with others.
fn is_small(item: &Item) -> bool {
    item.entry.length < PAGE
}

/// Returns the paths in a folder, by name.
fn children(folder: &Path) -> Result<Vec<PathBuf>> {
    let failed = |error| Error::file("read", folder, error);
    let entries = fs::read_dir(folder).map_err(failed)?;
    let mut paths = entries.map(|entry| Ok(entry?.path())).collect::<io::Result<Vec<_>>>().map_err(failed)?;
    paths.sort();
    Ok(paths)
}

/// Writes an item's contents, which must still have their length.
fn copy(item: &Item, to: &mut impl Write) -> Result<()> {
    let failed = |error| Error::file("copy", &item.path, error);
    let Entry { length, .. } = item.entry;
    let copied = match item.is(kind::LINK) {
        true => to.write_all(&item.target).map(|()| length),
        false => File::open(&item.path).and_then(|file| io::copy(&mut file.take(length), to)),
    };
    match copied.map_err(failed)? {
        copied if copied == length => Ok(()),
        _ => Err(Error::new(format!("'{}' has changed while it was read; build again", item.path.display()))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::symlink;
    use zerocopy::FromBytes;

    fn folder() -> tempfile::TempDir {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        fs::create_dir_all(path("b/c")).expect("made");
        fs::write(path("b/large"), [7; 5000]).expect("written");
        fs::write(path("b/larger"), [8; 4096]).expect("written");
        fs::write(path("a"), "small").expect("written");
        symlink("b/large", path("link")).expect("made");
        folder
    }

    #[test]
    fn a_tree_is_as_the_contract_says() {
        let folder = folder();
        let mut tree = Tree::read(folder.path()).expect("can be read");
        let length = tree.place();
        let mut bytes = Vec::new();
        tree.write(&mut bytes, folder.path()).expect("can be written");
        assert!(bytes.len() as u64 <= length && length.is_multiple_of(PAGE));
        let (header, rest) = Header::read_from_prefix(&bytes).expect("a header");
        assert_eq!((header.magic, header.count), (MAGIC, 7));
        let (entries, _) = <[Entry]>::ref_from_prefix_with_elems(rest, 7).expect("entries");
        let part = |offset: u64, length: u64| &bytes[offset as usize..][..length as usize];
        let names: Vec<_> = entries.iter().map(|entry| part(entry.name, entry.name_length.into())).collect();
        assert_eq!(names, [&b""[..], b"a", b"b", b"link", b"c", b"large", b"larger"]);
        assert_eq!((entries[0].contents, entries[0].length, entries[0].directories), (1, 3, 1));
        assert_eq!((entries[2].contents, entries[2].length, entries[2].directories), (4, 3, 1));
        assert_eq!(part(entries[1].contents, entries[1].length), b"small");
        assert_eq!(part(entries[3].contents, entries[3].length), b"b/large");
        for (entry, byte, length) in [(entries[5], 7, 5000), (entries[6], 8, 4096)] {
            assert!(entry.contents.is_multiple_of(PAGE));
            assert_eq!(part(entry.contents, entry.length), vec![byte; length]);
        }
        assert!(part(entries[5].contents + 5000, 8192 - 5000).iter().all(|byte| *byte == 0));
    }

    #[test]
    fn any_change_is_noticed() {
        let folder = folder();
        let fingerprint = || Tree::read(folder.path()).expect("can be read").fingerprint();
        let before = fingerprint();
        assert_eq!(before, fingerprint());
        fs::write(folder.path().join("b/c/new"), "").expect("written");
        assert_ne!(before, fingerprint());
        fs::remove_dir_all(folder.path().join("b/c")).expect("removed");
        assert_ne!(before, fingerprint());
    }

    #[test]
    fn what_cannot_go_into_an_image_is_named() {
        let folder = folder();
        let complaint = || Tree::read(folder.path()).expect_err("not good").to_string();
        let _socket = std::os::unix::net::UnixListener::bind(folder.path().join("b/socket")).expect("made");
        assert!(complaint().contains("b/socket' cannot go into an image: it is neither"), "{}", complaint());
        fs::remove_file(folder.path().join("b/socket")).expect("removed");
        fs::create_dir(folder.path().join("proc")).expect("made");
        assert!(complaint().contains("/proc' cannot go into an image: a guest has"), "{}", complaint());
    }
}
