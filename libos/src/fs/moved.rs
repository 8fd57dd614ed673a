//! Paths of open files of folders after a rename by the program.
//!
//! An open directory knows its path from the root of its folder: `..` at it, which may lead out, is walked from there, and so is the
//! path of the working directory found. A rename by the host is not noticed.

use super::Files;
use super::folder::Opened;
use super::handle::NodeKey;
use super::inode::Kind;
use alloc::boxed::Box;
use alloc::vec::Vec;

impl Files {
    /// Returns true if a file of this folder is open, or is the working directory.
    pub fn has_open_in_folder(&self, folder: u32) -> bool {
        self.open_in(folder).next().is_some()
    }

    /// Open files of this folder.
    fn open_in(&self, folder: u32) -> impl Iterator<Item = NodeKey> {
        let open = self.descriptors.slots.iter().flatten().map(|open| self.descriptions[open.description].node);
        let is_there = move |node: &NodeKey| match &self.nodes[*node].kind {
            Kind::Folder(opened) => opened.file.folder == folder,
            _ => false,
        };
        open.chain([self.directory]).filter(is_there)
    }

    /// Gives open files new paths, because `from` has become `to`, and, if `is_exchange`, `to` has become `from`: paths from the root
    /// of the folder.
    pub fn renamed_in_folder(&mut self, folder: u32, from: &[u8], to: &[u8], is_exchange: bool) {
        let mut nodes: Vec<NodeKey> = Vec::new();
        for node in self.open_in(folder) {
            // Without memory, the rest keeps its paths.
            if nodes.try_reserve(1).is_err() {
                break;
            }
            nodes.push(node);
        }
        nodes.sort_unstable_by_key(|node| node.index());
        // Two descriptors may have one file.
        nodes.dedup();
        for node in nodes {
            if let Kind::Folder(Opened { path, .. }) = &mut self.nodes[node].kind {
                let back = || if is_exchange { moved(path, to, from) } else { None };
                if let Some(new) = moved(path, from, to).or_else(back) {
                    *path = new;
                }
            }
        }
    }
}

/// Path of what was at `path`, now that `from` is `to`; `None` if it is where it was.
pub(super) fn moved(path: &[u8], from: &[u8], to: &[u8]) -> Option<Box<[u8]>> {
    let rest = path.strip_prefix(from).filter(|rest| rest.is_empty() || rest.starts_with(b"/"))?;
    let mut new = Vec::new();
    new.try_reserve_exact(to.len() + rest.len()).ok()?;
    new.extend_from_slice(to);
    new.extend_from_slice(rest);
    Some(new.into_boxed_slice())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_of_what_is_below_a_renamed_directory_change() {
        for (path, expected) in [("a/b", Some("x")), ("a/b/c", Some("x/c")), ("a/bc", None), ("a", None), ("x", None)] {
            let new = moved(path.as_bytes(), b"a/b", b"x");
            assert_eq!(new.as_deref(), expected.map(str::as_bytes), "{path}");
        }
    }
}
