//! Lookup of paths: components, `.` and `..`, symbolic links, trailing slashes.

use super::Files;
use super::directory::NAME_MAXIMUM;
use super::handle::NodeKey;
use super::inode::Kind;
use crate::errno::Errno;
use alloc::borrow::Cow;
use alloc::vec::Vec;
use core::ops::Range;
use linux_raw_sys::general as linux;

/// Bytes in a path, with its NUL.
pub const PATH_MAXIMUM: usize = 4096;
/// Most symbolic links that one walk follows.
const LINKS_MAXIMUM: usize = 40;

/// Treatment of a symbolic link at the end of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Follow {
    /// Returns the link itself.
    Never,
    /// Returns the link itself, unless a slash comes after.
    Slash,
    /// Follows the link.
    Always,
    /// Follows the link, but neither path nor link may end in a slash: EISDIR. This is the walk of `O_CREAT`.
    Unslashed,
}

/// Kind of the last component of a path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Last {
    /// A name.
    Name,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// No component: the path is `/`.
    Root,
}

/// Result of looking up a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Found {
    /// An inode.
    Node(NodeKey),
    /// Link in `/proc/self/fd` to the file of this descriptor.
    Magic(i32),
}

/// Outcome of a walk.
#[derive(Debug)]
pub enum Way<'a> {
    /// Its end.
    End(Walked<'a>),
    /// A file of the host's folders, or the mount point of one, and the path from there.
    Beyond(NodeKey, Vec<u8>),
}

/// End of a walk.
#[derive(Debug)]
pub struct Walked<'a> {
    /// The directory that holds, or would hold, the last component.
    pub directory: NodeKey,
    /// Kind of the last component.
    pub last: Last,
    /// File of the last component; ENOENT if there is none, ENAMETOOLONG if no file could have that name.
    pub found: Result<Found, Errno>,
    /// True if slashes come after the last component.
    pub slash: bool,
    path: Cow<'a, [u8]>,
    name: Range<usize>,
}

impl Walked<'_> {
    /// The last component.
    pub fn name(&self) -> &[u8] {
        self.path.get(self.name.clone()).unwrap_or_default()
    }

    /// The inode; EPERM for a link in `/proc/self/fd`, which has none.
    pub fn node(&self) -> Result<NodeKey, Errno> {
        match self.found? {
            Found::Node(node) => Ok(node),
            Found::Magic(_) => Err(Errno::EPERM),
        }
    }
}

impl Files {
    /// The directory at which `path` begins: the root, or that of a descriptor or `AT_FDCWD`.
    fn base(&mut self, directory: i32, path: &[u8]) -> Result<NodeKey, Errno> {
        self.grow()?;
        self.show_networks(path)?;
        if path.is_empty() {
            Err(Errno::ENOENT)
        } else if path.starts_with(b"/") {
            Ok(self.root)
        } else if directory == linux::AT_FDCWD {
            Ok(self.directory)
        } else {
            self.description(directory).map(|description| description.node)
        }
    }

    /// Walks along `path`, relative to `directory`. All components but the last must exist; EXDEV if they lead into a folder of
    /// the host.
    pub(super) fn walk<'a>(&mut self, directory: i32, path: &'a [u8], follow: Follow) -> Result<Walked<'a>, Errno> {
        match self.walk_to_end(directory, path, follow)? {
            Way::End(walked) => Ok(walked),
            Way::Beyond(..) => Err(Errno::EXDEV),
        }
    }

    /// Walks like [`Files::walk`], as far as the files here reach.
    pub(super) fn walk_to_end<'a>(&mut self, directory: i32, path: &'a [u8], follow: Follow) -> Result<Way<'a>, Errno> {
        let mut current = self.base(directory, path)?;
        let mut path = Cow::Borrowed(path);
        let mut position = 0;
        let mut links = 0;
        loop {
            if let Some(rest) = self.beyond(current, &path, position)? {
                return Ok(Way::Beyond(current, rest));
            }
            if !self.nodes[current].kind.is_directory() {
                return Err(Errno::ENOTDIR);
            }
            self.unfold(current)?;
            let Some(name) = component(&path, position) else {
                let found = Ok(Found::Node(current));
                let root = Walked { directory: current, last: Last::Root, found, slash: true, path, name: 0..0 };
                return Ok(Way::End(root));
            };
            position = name.end;
            let slash = path.get(position) == Some(&b'/');
            let is_last = component(&path, position).is_none();
            let (last, found) = self.step(current, &path[name.clone()]);
            if let Ok(Found::Node(node)) = found
                && let Kind::Host(_) = self.nodes[node].kind
            {
                self.bring_host_file(current, node)?;
            }
            let followed = match follow {
                _ if !is_last => true,
                Follow::Unslashed if slash && last == Last::Name => return Err(Errno::EISDIR),
                Follow::Unslashed | Follow::Always => true,
                Follow::Slash => slash,
                Follow::Never => false,
            };
            current = match found {
                Ok(Found::Node(node)) => match &self.nodes[node].kind {
                    Kind::Link(target) if followed => {
                        links += 1;
                        if links > LINKS_MAXIMUM {
                            return Err(Errno::ELOOP);
                        }
                        path = Cow::Owned(joined(target, &path[position..])?);
                        position = 0;
                        if target.starts_with(b"/") { self.root } else { current }
                    }
                    Kind::Mounted(_) | Kind::Folder(_) if is_last => {
                        return Ok(Way::Beyond(node, if slash { b"./".to_vec() } else { Vec::new() }));
                    }
                    _ if is_last => return Ok(Way::End(Walked { directory: current, last, found, slash, path, name })),
                    _ => node,
                },
                Ok(Found::Magic(descriptor)) if followed => {
                    let node = self.description(descriptor)?.node;
                    if is_last && matches!(self.nodes[node].kind, Kind::Folder(_)) {
                        return Ok(Way::Beyond(node, Vec::new()));
                    }
                    if is_last {
                        let found = Ok(Found::Node(node));
                        return Ok(Way::End(Walked { directory: current, last, found, slash, path, name }));
                    }
                    node
                }
                _ if is_last => return Ok(Way::End(Walked { directory: current, last, found, slash, path, name })),
                Ok(Found::Magic(_)) => return Err(Errno::ENOENT),
                Err(errno) => return Err(errno),
            };
        }
    }

    /// The rest of `path`, if the host is to walk it: `current` is a file of a folder, or its mount point and the path does not
    /// turn back there.
    fn beyond(&self, current: NodeKey, path: &[u8], position: usize) -> Result<Option<Vec<u8>>, Errno> {
        let turns_back = component(path, position).is_some_and(|name| &path[name] == b"..");
        match self.nodes[current].kind {
            Kind::Folder(_) => {}
            Kind::Mounted(mounted) if mounted.is_file || !turns_back => {}
            _ => return Ok(None),
        }
        let rest = path.get(position..).unwrap_or_default();
        let slashes = rest.iter().take_while(|byte| **byte == b'/').count();
        joined(&[], &rest[slashes..]).map(Some)
    }

    /// Looks up `name` in `directory`.
    fn step(&self, directory: NodeKey, name: &[u8]) -> (Last, Result<Found, Errno>) {
        let inode = &self.nodes[directory];
        let entries = inode.directory();
        match name {
            b"." => (Last::Dot, Ok(Found::Node(directory))),
            b".." => {
                let parent = entries.map(|entries| entries.parent).or(inode.home.map(|(home, _)| home));
                (Last::DotDot, Ok(Found::Node(parent.unwrap_or(self.root))))
            }
            _ if name.len() > NAME_MAXIMUM => (Last::Name, Err(Errno::ENAMETOOLONG)),
            _ => {
                let found = match entries {
                    Some(entries) => entries.get(name).map(Found::Node),
                    None => self.descriptor_link(name),
                };
                (Last::Name, found.ok_or(Errno::ENOENT))
            }
        }
    }

    /// The link to a descriptor in `/proc/self/fd`.
    fn descriptor_link(&self, name: &[u8]) -> Option<Found> {
        let number: i32 = core::str::from_utf8(name).ok()?.parse().ok()?;
        self.description(number).ok().map(|_| Found::Magic(number))
    }

    /// The inode at `path`. A link at the end is followed if `follow` is true or a slash comes after.
    pub(super) fn resolve(&mut self, directory: i32, path: &[u8], follow: bool) -> Result<NodeKey, Errno> {
        match self.found(directory, path, follow)? {
            Found::Node(node) => Ok(node),
            Found::Magic(descriptor) => self.description(descriptor).map(|description| description.node),
        }
    }

    /// Looks up `path` like [`Files::resolve`], but does not follow a link in `/proc/self/fd`.
    pub(super) fn found(&mut self, directory: i32, path: &[u8], follow: bool) -> Result<Found, Errno> {
        let walked = self.walk(directory, path, if follow { Follow::Always } else { Follow::Slash })?;
        match walked.found? {
            Found::Node(node) if walked.slash && !self.nodes[node].kind.is_directory() => Err(Errno::ENOTDIR),
            found => Ok(found),
        }
    }

    /// The path at which `node` was last named; ENOENT if it has no name.
    pub(super) fn path_of(&self, node: NodeKey) -> Result<Vec<u8>, Errno> {
        let mut path = Vec::new();
        let mut current = node;
        while current != self.root {
            let (parent, number) = self.nodes[current].home.ok_or(Errno::ENOENT)?;
            let parent_node = self.nodes.get(parent).filter(|parent| parent.number == number).ok_or(Errno::ENOENT)?;
            let name = parent_node.directory().and_then(|entries| entries.name_of(current)).ok_or(Errno::ENOENT)?;
            path.try_reserve(name.len() + 1).map_err(|_| Errno::ENOMEM)?;
            path.splice(0..0, name.iter().copied());
            path.insert(0, b'/');
            current = parent;
        }
        if path.is_empty() {
            path.push(b'/');
        }
        Ok(path)
    }

    /// getcwd(2): the path of the working directory.
    pub fn working_directory(&self) -> Result<Vec<u8>, Errno> {
        self.folder_path(self.directory).unwrap_or_else(|| self.path_of(self.directory))
    }

    /// chdir(2).
    pub fn change_directory(&mut self, path: &[u8]) -> Result<(), Errno> {
        let node = self.resolve(linux::AT_FDCWD, path, true)?;
        self.enter(node)
    }

    /// fchdir(2).
    pub fn change_directory_to(&mut self, descriptor: i32) -> Result<(), Errno> {
        let node = self.description(descriptor)?.node;
        self.enter(node)
    }

    fn enter(&mut self, node: NodeKey) -> Result<(), Errno> {
        if !self.nodes[node].kind.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        self.nodes.retain(node);
        let before = core::mem::replace(&mut self.directory, node);
        self.release(before);
        Ok(())
    }
}

/// The first component of `path` at `position` or after.
fn component(path: &[u8], position: usize) -> Option<Range<usize>> {
    let start = position + path.get(position..)?.iter().position(|byte| *byte != b'/')?;
    let length = path[start..].iter().position(|byte| *byte == b'/').unwrap_or(path.len() - start);
    Some(start..start + length)
}

/// Returns the target of a link, with the rest of the path after it.
fn joined(target: &[u8], rest: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut path = Vec::new();
    path.try_reserve_exact(target.len() + rest.len()).map_err(|_| Errno::ENOMEM)?;
    path.extend_from_slice(target);
    path.extend_from_slice(rest);
    Ok(path)
}
