//! From paths to inodes, within the volume.

use crate::errno::{self, EBUSY, ELOOP, ELSEWHERE, ENAMETOOLONG, ENOENT, ENOTDIR, EUCLEAN, Errno};
use crate::{Disk, Volume};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use rsext4::{DirectoryEntryType, FileName, InodeInfo, InodeNumber};

/// Most links that a walk follows.
const LINKS_MAXIMUM: u32 = 40;
/// Longest name.
pub const NAME_MAXIMUM: usize = 255;
/// Longest target of a link.
pub const TARGET_MAXIMUM: usize = 4095;
/// Most names that are kept.
const KEPT_MAXIMUM: usize = 8192;

/// Names that were looked up, by directory: the inode, or None for a name that is not there.
#[derive(Default)]
pub struct Names {
    kept: BTreeMap<InodeNumber, BTreeMap<Vec<u8>, Option<InodeNumber>>>,
    count: usize,
}

impl Names {
    fn get(&self, directory: InodeNumber, name: &[u8]) -> Option<Option<InodeNumber>> {
        self.kept.get(&directory)?.get(name).copied()
    }

    fn keep(&mut self, directory: InodeNumber, name: &[u8], inode: Option<InodeNumber>) {
        if self.count >= KEPT_MAXIMUM {
            self.kept.clear();
            self.count = 0;
        }
        if self.kept.entry(directory).or_default().insert(name.into(), inode).is_none() {
            self.count += 1;
        }
    }

    /// Forgets a name, because it changes.
    pub fn forget(&mut self, directory: InodeNumber, name: &[u8]) {
        if self.kept.get_mut(&directory).is_some_and(|names| names.remove(name).is_some()) {
            self.count -= 1;
        }
    }

    /// Forgets all names of a directory, which is removed.
    pub fn forget_all(&mut self, directory: InodeNumber) {
        self.count -= self.kept.remove(&directory).map_or(0, |names| names.len());
    }
}

/// End of a walk.
pub struct Place {
    /// Directory that holds the last name.
    pub parent: InodeNumber,
    /// The last name; empty if the path has none, as `.` or the empty path.
    pub name: Vec<u8>,
    /// The inode at the path, if there is one.
    pub inode: Option<InodeNumber>,
    /// The path ends with a slash, so that only a directory is meant.
    pub slash: bool,
}

impl<D: Disk> Volume<D> {
    /// Looks a name up in a directory.
    pub(crate) fn look_up(&mut self, directory: InodeNumber, name: &[u8]) -> Result<Option<InodeNumber>, Errno> {
        if name.len() > NAME_MAXIMUM {
            return Err(ENAMETOOLONG);
        }
        if let Some(known) = self.names.get(directory, name) {
            return Ok(known);
        }
        let name = FileName::new(name).map_err(errno::of)?;
        let found = self.system.lookup_child(directory, name).map_err(errno::of)?.map(|info| info.number);
        self.names.keep(directory, name.as_bytes(), found);
        Ok(found)
    }

    /// Attributes of an inode that a name has led to: a name without an inode is damage.
    pub(crate) fn named(&mut self, number: InodeNumber) -> Result<InodeInfo, Errno> {
        self.info(number).map_err(|error| if error == ENOENT { EUCLEAN } else { error })
    }

    /// Target of a symbolic link.
    pub(crate) fn target(&mut self, link: &InodeInfo) -> Result<Vec<u8>, Errno> {
        let length = usize::try_from(link.size).ok().filter(|length| *length <= TARGET_MAXIMUM).ok_or(EUCLEAN)?;
        let mut target = alloc::vec![0; length];
        let count = self.system.read_link(link.number, &mut target).map_err(errno::of)?;
        if count != length || target.is_empty() || target.contains(&0) { Err(EUCLEAN) } else { Ok(target) }
    }

    /// Follows a path from a directory; a link at its end only with `follow`, or if a slash follows.
    pub(crate) fn walk(&mut self, base: InodeNumber, path: &[u8], follow: bool) -> Result<Place, Errno> {
        if path.is_empty() {
            return Ok(Place { parent: base, name: Vec::new(), inode: Some(base), slash: false });
        }
        if path.contains(&0) {
            return Err(ENOENT);
        }
        if path.starts_with(b"/") {
            return Err(ELSEWHERE);
        }
        let (mut at, mut links) = (base, 0);
        let mut rest: Vec<u8> = path.into();
        loop {
            // Here `rest` does not begin with a slash, and is not empty.
            let end = rest.iter().position(|byte| *byte == b'/').unwrap_or(rest.len());
            let behind = rest[end..].iter().position(|byte| *byte != b'/').map(|next| end + next);
            let (slash, is_last) = (end < rest.len(), behind.is_none());
            let name: Vec<u8> = rest[..end].into();
            let directory = self.named(at)?;
            if !directory.is_directory() {
                return Err(ENOTDIR);
            }
            if directory.links == 0 {
                return Err(ENOENT);
            }
            let found = match &name[..] {
                b"." => Some(at),
                b".." if at == self.system.root_inode() => return Err(ELSEWHERE),
                _ => self.look_up(at, &name)?,
            };
            let is_special = matches!(&name[..], b"." | b"..");
            let next = match found {
                Some(next) => next,
                None if is_last => return Ok(Place { parent: at, name, inode: None, slash }),
                None => return Err(ENOENT),
            };
            let info = self.named(next)?;
            let is_link = info.file_type() == DirectoryEntryType::Symlink;
            if is_link && (!is_last || follow || slash) {
                links += 1;
                if links > LINKS_MAXIMUM {
                    return Err(ELOOP);
                }
                let mut target = self.target(&info)?;
                if target.starts_with(b"/") {
                    return Err(ELSEWHERE);
                }
                target.extend_from_slice(&rest[end..]);
                if target.len() > 2 * TARGET_MAXIMUM {
                    return Err(ENAMETOOLONG);
                }
                rest = target;
                continue;
            }
            if is_last {
                if slash && !info.is_directory() {
                    return Err(ENOTDIR);
                }
                let name = if is_special { Vec::new() } else { name };
                return Ok(Place { parent: at, name, inode: Some(next), slash });
            }
            rest.drain(..behind.unwrap_or(end));
            at = next;
        }
    }

    /// Returns the inode at a path.
    pub(crate) fn reach(&mut self, handle: u32, path: &[u8], follow: bool) -> Result<InodeNumber, Errno> {
        let base = self.inode_of(handle)?;
        self.walk(base, path, follow)?.inode.ok_or(ENOENT)
    }

    /// The directory that holds the last name of a path, which is to be changed, and that name.
    pub(crate) fn parent(&mut self, handle: u32, path: &[u8]) -> Result<(InodeNumber, Vec<u8>, bool), Errno> {
        let base = self.inode_of(handle)?;
        if path.is_empty() {
            return Err(EBUSY);
        }
        let end = path.iter().rposition(|byte| *byte != b'/').ok_or(ELSEWHERE)? + 1;
        let slash = end < path.len();
        let path = &path[..end];
        let (directory, name) = match path.iter().rposition(|byte| *byte == b'/') {
            Some(at) => (&path[..=at], &path[at + 1..]),
            None => (&b"."[..], path),
        };
        let parent = self.walk(base, directory, true)?.inode.ok_or(ENOENT)?;
        let info = self.named(parent)?;
        if !info.is_directory() {
            return Err(ENOTDIR);
        }
        if info.links == 0 {
            return Err(ENOENT);
        }
        if name.len() > NAME_MAXIMUM {
            return Err(ENAMETOOLONG);
        }
        if name.contains(&0) {
            return Err(ENOENT);
        }
        Ok((parent, name.into(), slash))
    }
}
