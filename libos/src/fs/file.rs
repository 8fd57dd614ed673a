//! Table of open files: each operation on one, over all kinds of files.
//!
//! A kind is a variant of [`Kind`] with a type in a file of its own, which knows its state and nothing of descriptors, inodes or
//! threads. Here is what is common to the kinds: access, offset, waiting and notification. A kind that cannot go on returns
//! EAGAIN: the table makes a wait of it, unless the description has `O_NONBLOCK`. What concerns
//! [offsets](super::offset), [size and space](super::size) and [open(2)](super::open) is in tables of the same form.
//!
//! Sockets, which send to each other, and sets of files need more than their own state: they are methods of [`Files`]. Kinds
//! with a state in another part of the libos are reached through [`External`].

use super::Files;
use super::buffers::Buffers;
use super::description::Access;
use super::device::{Device, Devices};
use super::disk;
use super::external::External;
use super::handle::{DescriptionKey, NodeKey};
use super::inode::{Kind, Time};
use super::offset::check_area;
use super::ready::Ready;
use super::socket::AnySocket;
use super::socket::transfer::Sending;
use super::watch::wait;
use crate::errno::Errno;
use crate::syscall_result::SyscallResult;
use crate::user;
use husk::abi::block::{READ, WRITE};
use husk::abi::stream::kind::TERMINAL;
use linux_raw_sys::general as linux;
use linux_raw_sys::ioctl::{FIONREAD, SIOCGIFINDEX, SIOCGIFNAME};

/// Most bytes that one call transfers, as on Linux.
pub const TRANSFER_MAXIMUM: u64 = 0x7fff_f000;

impl Files {
    /// read(2), or pread(2) if an offset is given. Only the kinds of [`Kind::takes_vectors`] fill more than the first buffer. `now`
    /// is asked only where it is needed: it takes as long as a short read.
    pub fn read(
        &mut self,
        outside: &mut dyn External,
        descriptor: i32,
        at: Option<u64>,
        into: Buffers<'_>,
        now: impl FnOnce() -> Time,
    ) -> SyscallResult {
        let key = self.usable(descriptor)?;
        let description = &mut self.descriptions[key];
        let (node, nonblocking) = (description.node, description.is_nonblocking());
        let kind = &mut self.nodes[node].kind;
        kind.check(at, Access::READ, description.access())?;
        if at.is_none() && matches!(kind, Kind::Disk(_) | Kind::Folder(_)) {
            description.await_turn(outside)?;
        }
        let offset = at.unwrap_or(description.offset);
        check_area(offset, into.length())?;
        let first = into.first().first(TRANSFER_MAXIMUM);
        let count = match kind {
            Kind::Regular(data) => data.read(offset, first)?,
            Kind::Image => outside.devices().image_read(offset, first)?,
            Kind::Generated(_) => description.read_text(offset, first)?,
            Kind::Disk(disk) => outside.transfer(*disk, READ, offset, into, false)?,
            Kind::Folder(opened) => outside.read_folder(opened.file, offset, into)?,
            Kind::Device(Device::Console(_)) => return self.read_console(outside.devices(), key, first),
            Kind::Device(device) => return device.read(outside.devices(), first),
            Kind::Pipe(pipe) => {
                let read = pipe.read(first);
                return self.moved(node, nonblocking, read);
            }
            Kind::Event(event) => {
                let read = event.read(first);
                return self.moved(node, nonblocking, read);
            }
            Kind::Signal(file) => {
                let read = outside.read_signals(file.set, first).map(|count| (count, Ready::empty()));
                return self.moved(node, nonblocking, read);
            }
            Kind::Inotify(inotify) => {
                let read = inotify.read(&mut self.quota, first);
                return self.moved(node, nonblocking, read);
            }
            Kind::Timer(_) => return self.read_timer(node, nonblocking, first, outside.devices().monotonic_ns()),
            // Also if there is something to receive (sock_read_iter).
            Kind::Unix(_) | Kind::Internet(..) if into.length() == 0 => return Ok(0),
            Kind::Unix(_) | Kind::Internet(..) => return self.read_socket(outside, key, into),
            Kind::Directory(_) | Kind::Descriptors | Kind::Mounted(_) => return Err(Errno::EISDIR.into()),
            Kind::Host(_) | Kind::Link(_) | Kind::Epoll(_) | Kind::SocketName(_) | Kind::Queue(_) => {
                return Err(Errno::EINVAL.into());
            }
        };
        if at.is_none() {
            self.descriptions[key].offset += count;
        }
        if !first.is_empty() {
            self.touch(key, now());
        }
        Ok(count)
    }

    /// write(2), or pwrite(2) if an offset is given; with `sync`, as if the description had `O_DSYNC`. Only the kinds of
    /// [`Kind::takes_vectors`] take more than the first buffer.
    pub fn write(
        &mut self,
        outside: &mut dyn External,
        descriptor: i32,
        at: Option<u64>,
        from: Buffers<'_>,
        sync: bool,
        now: impl FnOnce() -> Time,
    ) -> SyscallResult {
        let key = self.usable(descriptor)?;
        self.write_through(outside, key, at, from, sync, now)
    }

    /// Writes like [`Files::write`], through a description.
    pub(super) fn write_through(
        &mut self,
        outside: &mut dyn External,
        key: DescriptionKey,
        at: Option<u64>,
        from: Buffers<'_>,
        sync: bool,
        now: impl FnOnce() -> Time,
    ) -> SyscallResult {
        let description = &mut self.descriptions[key];
        let (node, nonblocking) = (description.node, description.is_nonblocking());
        let append = description.flags & linux::O_APPEND != 0;
        let inode = &mut self.nodes[node];
        inode.kind.check(at, Access::WRITE, description.access())?;
        if at.is_none() && matches!(inode.kind, Kind::Disk(_) | Kind::Folder(_)) {
            description.await_turn(outside)?;
        }
        check_area(at.unwrap_or(description.offset), from.length())?;
        let first = from.source().first(TRANSFER_MAXIMUM);
        match &mut inode.kind {
            Kind::Regular(data) => {
                let offset = if append { data.size() } else { at.unwrap_or(description.offset) };
                let count = data.write(&mut self.quota, offset, first)?;
                if at.is_none() {
                    description.offset = offset + count;
                }
                if count > 0 {
                    inode.modified(now());
                }
                Ok(count)
            }
            Kind::Disk(disk) => {
                let offset = if append { disk.size } else { description.offset };
                let flushes = sync || description.flags & linux::O_DSYNC != 0;
                let count = outside.transfer(*disk, WRITE, at.unwrap_or(offset), from, flushes)?;
                if at.is_none() {
                    description.offset += count;
                }
                Ok(count)
            }
            Kind::Folder(opened) => {
                let offset = at.unwrap_or(description.offset);
                let durable = sync || description.flags & linux::O_DSYNC != 0;
                let (count, position) =
                    outside.write_folder(opened.file, (!append).then_some(offset), from, durable)?;
                if at.is_none() {
                    description.offset = position;
                }
                Ok(count)
            }
            Kind::Device(device) => device.write(outside.devices(), first),
            Kind::Pipe(pipe) => {
                let written = pipe.write(&mut self.quota, first);
                self.moved(node, nonblocking, written)
            }
            Kind::Event(event) => {
                let written = event.write(first);
                self.moved(node, nonblocking, written)
            }
            Kind::Unix(_) | Kind::Internet(..) => self.send_through(outside, key, from, &Sending::default()),
            Kind::Generated(_) | Kind::Image | Kind::Host(_) => Err(Errno::EIO.into()),
            Kind::Directory(_) | Kind::Descriptors | Kind::Link(_) | Kind::Mounted(_) => Err(Errno::EINVAL.into()),
            Kind::Timer(_) | Kind::Signal(_) | Kind::Epoll(_) | Kind::SocketName(_) => Err(Errno::EINVAL.into()),
            Kind::Inotify(_) => Err(Errno::EBADF.into()),
            Kind::Queue(_) => Err(Errno::EINVAL.into()),
        }
    }

    /// Result of a transfer, which caused these events; of one that would block, if the description may.
    fn moved(&mut self, node: NodeKey, nonblocking: bool, moved: Result<(u64, Ready), Errno>) -> SyscallResult {
        match moved {
            Ok((count, events)) => {
                self.notify(node, events);
                Ok(count)
            }
            Err(Errno::EAGAIN) if !nonblocking => Err(wait(node)),
            Err(errno) => Err(errno.into()),
        }
    }

    /// fsync(2) and similar calls: files in memory need none.
    pub fn sync(&mut self, outside: &mut dyn External, descriptor: i32) -> SyscallResult {
        let key = self.usable(descriptor)?;
        match &self.nodes[self.descriptions[key].node].kind {
            Kind::Disk(disk) => outside.request(*disk, disk::SYNC),
            Kind::Pipe(_)
            | Kind::Unix(_)
            | Kind::Internet(..)
            | Kind::Event(_)
            | Kind::Timer(_)
            | Kind::Signal(_)
            | Kind::Epoll(_)
            | Kind::Inotify(_) => Err(Errno::EINVAL.into()),
            _ => Ok(0),
        }
    }

    /// ioctl(2), except for requests about the descriptor. No file is a terminal.
    pub fn control(
        &mut self,
        outside: &mut dyn External,
        descriptor: i32,
        request: u32,
        argument: u64,
    ) -> SyscallResult {
        let description = &self.descriptions[self.usable(descriptor)?];
        let may_write = description.access().contains(Access::WRITE);
        let count = match (&self.nodes[description.node].kind, request) {
            (&Kind::Disk(disk), _) => {
                let request = disk.control(request, argument, may_write)?;
                return request.map_or(Ok(0), |request| outside.request(disk, request));
            }
            (&Kind::Device(Device::Console(stream)), _) if stream.kind == TERMINAL => {
                return outside.devices().terminal(stream.number, request, argument);
            }
            (Kind::Unix(_) | Kind::Internet(..), SIOCGIFINDEX | SIOCGIFNAME) => {
                return outside.interface(request, argument);
            }
            (Kind::Regular(data), FIONREAD) => data.size().saturating_sub(description.offset),
            (Kind::Pipe(pipe), FIONREAD) => pipe.length() as u64,
            (Kind::Inotify(inotify), FIONREAD) => inotify.length(),
            (Kind::Unix(socket), FIONREAD) => socket.received_bytes(),
            (Kind::Internet(socket, _), FIONREAD) => outside.received_bytes(*socket)?,
            _ => return Err(Errno::ENOTTY.into()),
        };
        user::write(argument, &i32::try_from(count).unwrap_or(i32::MAX))?;
        Ok(0)
    }

    /// Events of `asked` that a descriptor is ready for.
    pub fn readiness(&mut self, devices: &mut dyn Devices, descriptor: i32, asked: Ready) -> Result<Ready, Errno> {
        let key = self.usable(descriptor)?;
        Ok(self.ready(devices, key, asked))
    }

    /// Events of `asked` that a description is ready for. Checking for input leaves the guest, so it is done only if asked for.
    pub(super) fn ready(&mut self, devices: &mut dyn Devices, key: DescriptionKey, asked: Ready) -> Ready {
        let description = &self.descriptions[key];
        let (node, access) = (description.node, description.access());
        let mut ready = Ready::empty();
        match &self.nodes[node].kind {
            Kind::Pipe(pipe) => ready = pipe.ready(access),
            Kind::Event(event) => ready = event.ready(),
            Kind::Timer(timer) => ready = timer.ready(),
            Kind::Signal(file) => ready = file.ready(),
            Kind::Inotify(inotify) => ready = inotify.ready(),
            Kind::Queue(queue) => ready = queue.ready(),
            Kind::Internet(_, reported) => ready = *reported,
            Kind::Unix(_) => ready = self.socket_ready(node),
            Kind::Epoll(_) => ready.set(Ready::IN, self.any_ready(devices, node)),
            Kind::Device(Device::Console(_)) => {
                let may_read = access.contains(Access::READ) && asked.intersects(Ready::IN);
                ready.set(Ready::OUT, access.contains(Access::WRITE));
                ready.set(Ready::IN, may_read && self.has_input(devices));
            }
            _ => ready = Ready::IN | Ready::OUT,
        }
        ready & asked
    }

    /// Inode of a descriptor's file, to sleep for.
    pub fn node(&self, descriptor: i32) -> Result<NodeKey, Errno> {
        self.usable(descriptor).map(|key| self.descriptions[key].node)
    }

    /// The socket behind a descriptor; ENOTSOCK for another file.
    pub fn socket(&self, descriptor: i32) -> Result<AnySocket, Errno> {
        let node = self.node(descriptor)?;
        match &self.nodes[node].kind {
            Kind::Unix(_) => Ok(AnySocket::Unix(node)),
            Kind::Internet(socket, _) => Ok(AnySocket::Internet(*socket)),
            _ => Err(Errno::ENOTSOCK),
        }
    }

    /// Returns true if one call transfers all buffers of a vector to or from the file.
    pub fn takes_vectors(&self, descriptor: i32) -> bool {
        self.kind(descriptor).is_ok_and(Kind::takes_vectors)
    }

    /// The contents of a file that is open for reading, if they are in the image and have not been changed.
    pub fn unchanged(&self, descriptor: i32) -> Option<&'static [u8]> {
        let key = self.usable_to(descriptor, Access::READ).ok()?;
        match &self.nodes[self.descriptions[key].node].kind {
            Kind::Regular(data) => data.unchanged(),
            _ => None,
        }
    }

    /// Accounts for a description of `node` that has been opened.
    pub(super) fn opened(&mut self, node: NodeKey, access: Access) {
        if let Kind::Pipe(pipe) = &mut self.nodes[node].kind {
            pipe.opened(access);
            self.notify(node, Ready::empty());
        }
    }

    /// Accounts for a description of `node` that has been closed.
    pub(super) fn closed(&mut self, node: NodeKey, access: Access) {
        match &mut self.nodes[node].kind {
            Kind::Pipe(pipe) => {
                let gone = pipe.closed(access);
                self.notify(node, gone);
            }
            Kind::Timer(_) => self.alarms.close(node),
            Kind::Signal(_) => self.signal_files.retain(|file| *file != node),
            Kind::Inotify(_) => self.close_inotify(node),
            Kind::Queue(queue) => queue.notification = None,
            Kind::Unix(_) => self.hang_up(node, false),
            _ => {}
        }
    }
}
