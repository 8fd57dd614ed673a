//! Pipes: bytes on their way from writers to readers.

use super::Files;
use super::description::{Access, DescriptionKey};
use super::inode::{Kind, NodeKey, Time, Volume};
use super::opening::Opening;
use super::poll::Ready;
use super::source::Source;
use super::space::Space;
use super::watch::wait;
use crate::answer::Answer;
use crate::errno::Errno;
use crate::user::Slice;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// Bytes that a pipe holds.
pub const CAPACITY: usize = 64 << 10;
/// Writes of at most this many bytes are atomic (`PIPE_BUF`).
const WHOLE: usize = 4096;

/// Contents and ends of a pipe.
#[derive(Debug, Default)]
pub struct Pipe {
    /// A ring of [`CAPACITY`] bytes, made with the first write.
    ring: Vec<u8>,
    start: usize,
    length: usize,
    readers: u32,
    writers: u32,
    /// Number of readers that there have ever been, and of writers.
    ever: [u64; 2],
}

impl Pipe {
    /// Number of bytes to read.
    pub fn length(&self) -> usize {
        self.length
    }

    /// Memory that the pipe takes, in bytes.
    pub fn cost(&self) -> u64 {
        self.ring.len() as u64
    }

    /// Returns true if a write would find room.
    pub fn has_room(&self) -> bool {
        CAPACITY - self.length >= WHOLE
    }

    /// Returns true if the pipe is open for reading.
    pub fn has_readers(&self) -> bool {
        self.readers > 0
    }

    /// Returns true if the pipe is open for writing.
    pub fn has_writers(&self) -> bool {
        self.writers > 0
    }

    /// Number of open descriptions of the other end, and the number there have ever been.
    fn other_end(&self, access: Access) -> Option<(u32, u64)> {
        match access {
            Access::READ => Some((self.writers, self.ever[1])),
            Access::WRITE => Some((self.readers, self.ever[0])),
            _ => None,
        }
    }

    fn take(&mut self, into: Slice) -> Result<u64, Errno> {
        let wanted = into.length.min(self.length as u64);
        let mut done = 0;
        while done < wanted {
            let part = (CAPACITY - self.start).min((wanted - done) as usize);
            into.after(done).copy_in(&self.ring[self.start..self.start + part])?;
            self.start = (self.start + part) % CAPACITY;
            self.length -= part;
            done += part as u64;
        }
        Ok(done)
    }

    fn put(&mut self, space: &mut Space, from: Source<'_>) -> Result<u64, Errno> {
        from.check()?;
        if self.ring.is_empty() {
            self.ring.try_reserve_exact(CAPACITY).map_err(|_| Errno::ENOMEM)?;
            space.take(CAPACITY as u64).map_err(|_| Errno::ENOMEM)?;
            self.ring.resize(CAPACITY, 0);
        }
        let room = from.length().min((CAPACITY - self.length) as u64);
        let mut done = 0;
        while done < room {
            let at = (self.start + self.length) % CAPACITY;
            let part = (CAPACITY - at).min((room - done) as usize);
            from.after(done).first(part as u64).copy_to(&mut self.ring[at..at + part])?;
            self.length += part;
            done += part as u64;
        }
        Ok(done)
    }
}

impl Files {
    /// pipe2(2): returns the descriptors for reading and for writing.
    pub fn pipe(&mut self, flags: u32, now: Time) -> Result<(i32, i32), Errno> {
        if flags & !(linux::O_CLOEXEC | linux::O_NONBLOCK | linux::O_DIRECT) != 0 {
            return Err(Errno::EINVAL);
        }
        let node = self.add_node(Kind::Pipe(Pipe::default()), Volume::Nameless, 0o600, now)?;
        self.nodes[node].links = 1;
        self.nodes.retain(node);
        let reader = match self.open_node(node, flags | linux::O_RDONLY) {
            Ok(reader) => reader,
            Err(errno) => {
                self.release(node);
                return Err(errno);
            }
        };
        match self.open_node(node, flags | linux::O_WRONLY) {
            Ok(writer) => Ok((reader, writer)),
            Err(errno) => {
                self.close(reader)?;
                Err(errno)
            }
        }
    }

    /// Counts a new reader or writer, if `node` is a pipe.
    pub(super) fn pipe_opened(&mut self, node: NodeKey, access: Access) {
        if let Kind::Pipe(pipe) = &mut self.nodes[node].kind {
            pipe.readers += u32::from(access.contains(Access::READ));
            pipe.writers += u32::from(access.contains(Access::WRITE));
            pipe.ever[0] += u64::from(access.contains(Access::READ));
            pipe.ever[1] += u64::from(access.contains(Access::WRITE));
            self.notify(node, Ready::empty());
        }
    }

    /// Returns the open(2) that has to wait, if a descriptor that was opened just now has to.
    pub fn opening(&self, descriptor: i32) -> Option<Opening> {
        let description = self.description(descriptor).ok()?;
        let Kind::Pipe(pipe) = &self.nodes[description.node].kind else { return None };
        let (now, others) = pipe.other_end(description.access())?;
        (now == 0 && !description.is_nonblocking()).then_some(Opening { descriptor, others })
    }

    /// Returns the descriptor, once the other end has been opened since.
    pub fn opened(&self, opening: Opening) -> Answer {
        let description = self.description(opening.descriptor)?;
        let Kind::Pipe(pipe) = &self.nodes[description.node].kind else { return Err(Errno::EBADF.into()) };
        match pipe.other_end(description.access()) {
            Some((_, others)) if others == opening.others => Err(wait(description.node)),
            _ => Ok(opening.descriptor as u64),
        }
    }

    /// Uncounts a reader or writer, if `node` is a pipe.
    pub(super) fn pipe_closed(&mut self, node: NodeKey, access: Access) {
        if let Kind::Pipe(pipe) = &mut self.nodes[node].kind {
            pipe.readers -= u32::from(access.contains(Access::READ));
            pipe.writers -= u32::from(access.contains(Access::WRITE));
            let last = (pipe.readers == 0, pipe.writers == 0);
            let mut gone = Ready::empty();
            gone.set(Ready::OUT | Ready::ERROR, last.0);
            gone.set(Ready::IN | Ready::HANG_UP, last.1);
            self.notify(node, gone);
        }
    }

    pub(super) fn read_pipe(&mut self, key: DescriptionKey, into: Slice) -> Answer {
        let description = &self.descriptions[key];
        let (node, nonblocking) = (description.node, description.is_nonblocking());
        let Kind::Pipe(pipe) = &mut self.nodes[node].kind else { return Err(Errno::EINVAL.into()) };
        match pipe.length {
            _ if into.is_empty() => Ok(0),
            0 if pipe.writers == 0 => Ok(0),
            0 if nonblocking => Err(Errno::EAGAIN.into()),
            0 => Err(wait(node)),
            _ => {
                let was_full = !pipe.has_room();
                let count = pipe.take(into)?;
                let room = was_full && pipe.has_room();
                self.notify(node, if room { Ready::OUT } else { Ready::empty() });
                Ok(count)
            }
        }
    }

    pub(super) fn write_pipe(&mut self, key: DescriptionKey, from: Source<'_>) -> Answer {
        let description = &self.descriptions[key];
        let (node, nonblocking) = (description.node, description.is_nonblocking());
        let Kind::Pipe(pipe) = &mut self.nodes[node].kind else { return Err(Errno::EINVAL.into()) };
        if pipe.readers == 0 {
            return Err(Errno::EPIPE.into());
        }
        let room = (CAPACITY - pipe.length) as u64;
        if from.length() > room && (room == 0 || from.length() <= WHOLE as u64) {
            return if nonblocking { Err(Errno::EAGAIN.into()) } else { Err(wait(node)) };
        }
        let count = pipe.put(&mut self.space, from)?;
        self.notify(node, Ready::IN);
        Ok(count)
    }
}
