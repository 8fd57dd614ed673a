//! Opening files.

use super::Files;
use super::data::Data;
use super::description::Access;
use super::device::Device;
use super::generated::Generated;
use super::handle::NodeKey;
use super::inode::{Kind, Time};
use super::opening::Opening;
use super::path::{Follow, Found, Last};
use super::watch::wait;
use crate::errno::Errno;
use crate::syscall_result::SyscallResult;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// Flags that `O_PATH` does not ignore.
const PATH_FLAGS: u32 = linux::O_PATH | linux::O_DIRECTORY | linux::O_NOFOLLOW | linux::O_CLOEXEC;
/// Bit of `O_TMPFILE` that `O_DIRECTORY` does not have.
const TEMPORARY: u32 = linux::__O_TMPFILE;

impl Files {
    /// openat(2): returns the descriptor. If [`Files::generated`] is not `None` for it, the file needs its text next.
    pub fn open(&mut self, directory: i32, path: &[u8], flags: u32, mode: u32, now: Time) -> Result<i32, Errno> {
        let flags = if flags & linux::O_PATH != 0 { flags & PATH_FLAGS } else { flags };
        let both = linux::O_CREAT | linux::O_DIRECTORY;
        if flags & both == both {
            return Err(Errno::EINVAL);
        }
        if flags & TEMPORARY != 0 {
            let writes = Access::from_flags(flags).contains(Access::WRITE);
            if flags & linux::O_DIRECTORY == 0 || !writes {
                return Err(Errno::EINVAL);
            }
        }
        self.check_descriptor_free()?;
        let first_new = self.next_number;
        let node = if flags & TEMPORARY != 0 {
            self.make_nameless(directory, path, flags, mode, now)?
        } else if flags & linux::O_CREAT != 0 {
            self.find_or_make(directory, path, flags, mode, now)?
        } else {
            let follow = flags & linux::O_NOFOLLOW == 0;
            let node = match self.found(directory, path, follow)? {
                Found::Node(node) => node,
                Found::Magic(_) => return Err(Errno::ELOOP),
            };
            self.check_open(node, flags)?;
            node
        };
        let is_new = self.nodes[node].number >= first_new;
        let empties = flags & linux::O_TRUNC != 0;
        if empties && let Kind::Regular(data) = &mut self.nodes[node].kind {
            data.check_changeable()?;
            data.set_size(&mut self.quota, 0);
            self.nodes[node].modified(now);
        }
        self.nodes.retain(node);
        let descriptor = self.open_node(node, flags & !TEMPORARY);
        if descriptor.is_ok() && flags & linux::O_PATH == 0 {
            self.report(node, linux::IN_OPEN);
            if empties && !is_new && matches!(self.nodes[node].kind, Kind::Regular(_)) {
                self.report(node, linux::IN_MODIFY);
            }
        }
        if flags & TEMPORARY != 0 {
            self.release(node);
        }
        descriptor
    }

    /// Returns the file at `path`, made if there is none.
    fn find_or_make(
        &mut self,
        directory: i32,
        path: &[u8],
        flags: u32,
        mode: u32,
        now: Time,
    ) -> Result<NodeKey, Errno> {
        let exclusive = flags & linux::O_EXCL != 0;
        let follow = if exclusive || flags & linux::O_NOFOLLOW != 0 { Follow::Never } else { Follow::Unslashed };
        let walked = self.walk(directory, path, follow)?;
        if walked.last == Last::Name && walked.slash {
            return Err(Errno::EISDIR);
        }
        match walked.found {
            Ok(_) if exclusive => Err(Errno::EEXIST),
            Ok(Found::Magic(_)) => Err(Errno::ELOOP),
            Ok(Found::Node(node)) if self.nodes[node].kind.is_directory() => Err(Errno::EISDIR),
            Ok(Found::Node(node)) => {
                self.check_open(node, flags)?;
                Ok(node)
            }
            Err(Errno::ENOENT) => {
                let permissions = mode & !self.umask;
                self.make(walked.directory, walked.name(), Kind::Regular(Data::default()), permissions, now)
            }
            Err(errno) => Err(errno),
        }
    }

    /// Makes a file without a name, as for `O_TMPFILE`. The caller gets a reference.
    fn make_nameless(
        &mut self,
        directory: i32,
        path: &[u8],
        flags: u32,
        mode: u32,
        now: Time,
    ) -> Result<NodeKey, Errno> {
        let parent = self.resolve(directory, path, flags & linux::O_NOFOLLOW == 0)?;
        self.check_may_change(parent)?;
        let mount = self.nodes[parent].mount;
        let node = self.add_node(Kind::Regular(Data::default()), mount, mode & !self.umask, now)?;
        let (parent_permissions, parent_group) = (self.nodes[parent].permissions, self.nodes[parent].group);
        let (user, group) = self.caller.files;
        let inherits = parent_permissions & linux::S_ISGID != 0;
        (self.nodes[node].user, self.nodes[node].group) = (user, if inherits { parent_group } else { group });
        if flags & linux::O_EXCL != 0 {
            // A file with `home` but no links has lost its name; link(2) refuses to give it another.
            self.nodes[node].home = Some((parent, self.nodes[parent].number));
        }
        Ok(node)
    }

    /// Checks if `node`, which exists, can be opened with these flags.
    fn check_open(&self, node: NodeKey, flags: u32) -> Result<(), Errno> {
        let kind = &self.nodes[node].kind;
        let writes = Access::from_flags(flags).contains(Access::WRITE) || flags & (linux::O_TRUNC) != 0;
        match kind {
            kind if kind.is_directory() => match writes {
                true => Err(Errno::EISDIR),
                false => Ok(()),
            },
            _ if flags & linux::O_DIRECTORY != 0 => Err(Errno::ENOTDIR),
            _ if flags & linux::O_PATH != 0 => Ok(()),
            Kind::Link(_) => Err(Errno::ELOOP),
            Kind::Disk(disk) if disk.is_mounted => Err(Errno::EBUSY),
            Kind::Disk(disk) => match disk.read_only && Access::from_flags(flags).contains(Access::WRITE) {
                true => Err(Errno::EROFS),
                false => Ok(()),
            },
            Kind::Device(Device::Terminal) | Kind::Event(_) | Kind::Timer(_) | Kind::Epoll(_) => Err(Errno::ENXIO),
            Kind::Signal(_) | Kind::Unix(_) | Kind::Internet(..) | Kind::SocketName(_) => Err(Errno::ENXIO),
            Kind::Inotify(_) | Kind::Queue(_) => Err(Errno::ENXIO),
            Kind::Image if writes => Err(Errno::EACCES),
            // See [`Files::opening`] for a named pipe opened otherwise.
            Kind::Pipe(pipe) => {
                let wants_reader = Access::from_flags(flags) == Access::WRITE && flags & linux::O_NONBLOCK != 0;
                if wants_reader && !pipe.has_readers() { Err(Errno::ENXIO) } else { Ok(()) }
            }
            _ => Ok(()),
        }
    }

    /// Number and owner of an inode.
    pub fn identity(&self, node: NodeKey) -> (u64, u32) {
        (self.nodes[node].number, self.nodes[node].user)
    }

    /// Kind of text that a descriptor opened just now needs.
    pub fn generated(&self, descriptor: i32) -> Option<Generated> {
        let description = self.description(descriptor).ok()?;
        match self.nodes[description.node].kind {
            Kind::Generated(generated) if description.text.is_none() => Some(generated),
            _ => None,
        }
    }

    /// Returns the open(2) that has to wait, if a descriptor that was opened just now has to.
    pub fn opening(&self, descriptor: i32) -> Option<Opening> {
        let description = self.description(descriptor).ok()?;
        match &self.nodes[description.node].kind {
            Kind::Pipe(pipe) if !description.is_nonblocking() => pipe.opening(descriptor, description.access()),
            _ => None,
        }
    }

    /// Returns the descriptor, once the other end has been opened since.
    pub fn met(&self, opening: Opening) -> SyscallResult {
        let description = self.description(opening.descriptor)?;
        match &self.nodes[description.node].kind {
            Kind::Pipe(pipe) if pipe.is_met(opening, description.access()) => Ok(opening.descriptor as u64),
            Kind::Pipe(_) => Err(wait(description.node)),
            _ => Err(Errno::EBADF.into()),
        }
    }

    /// Sets the text of a descriptor.
    pub fn set_text(&mut self, descriptor: i32, text: Vec<u8>) -> Result<(), Errno> {
        let key = self.descriptors.description(descriptor)?;
        self.descriptions[key].text = Some(text);
        Ok(())
    }
}
