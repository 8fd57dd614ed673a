//! passt(1) as a wire: a process of the same user that translates between frames and ordinary sockets. Frames pass through a
//! UNIX stream socket, each after its length in four bytes, big-endian.

use super::tap;
use super::wire::{Received, Wire};
use crate::confine::{Descriptors, Role};
use crate::devices::copy::{self, Unreachable};
use crate::devices::device::NotSaved;
use crate::devices::ring::Parts;
use husk_abi::device::{FRAME_HEADER, Offload};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

/// MTU: passt would take more, but the rest of the world does not.
const MTU: u16 = 1500;
/// Bytes of a length.
const PREFIX: usize = size_of::<u32>();
/// Longest frame that passt may send.
const FRAME_MAXIMUM: usize = FRAME_HEADER + u16::MAX as usize;
/// Most bytes that wait for passt, not counting the last frame.
const UNSENT_MAXIMUM: usize = 256 << 10;
/// Size of the read buffer in bytes.
const CHUNK: usize = 256 << 10;

/// A connection to passt.
#[derive(Debug)]
pub struct Passt {
    path: PathBuf,
    /// `None` once the connection has ended.
    socket: Option<UnixStream>,
    /// Buffer of bytes read, up to `end`, of which `taken` have been taken.
    read: Vec<u8>,
    taken: usize,
    end: usize,
    /// Bytes to be written, of which `sent` have been written.
    unsent: Vec<u8>,
    sent: usize,
}

/// Connects to the passt that listens at `path`.
pub fn open(path: &Path) -> Result<(Passt, [u8; 6], u16), String> {
    copy::prepare();
    let shown = path.display();
    let socket = UnixStream::connect(path).map_err(|error| match error.kind() {
        ErrorKind::NotFound => format!("there is no socket '{shown}'; start passt: `passt --socket {shown}`"),
        ErrorKind::ConnectionRefused => format!("nobody listens at '{shown}'; start passt anew, it serves one guest"),
        _ => format!("passt cannot be reached at '{shown}': {error}"),
    })?;
    socket.set_nonblocking(true).map_err(|error| format!("the socket '{shown}' cannot be used: {error}"))?;
    let passt = Passt {
        path: path.to_owned(),
        socket: Some(socket),
        read: Vec::new(),
        taken: 0,
        end: 0,
        unsent: Vec::new(),
        sent: 0,
    };
    Ok((passt, tap::stable_mac(&path.to_string_lossy()), MTU))
}

impl Passt {
    /// Ends the connection and reports it; the guest runs on, as with a cable unplugged.
    fn end(&mut self, why: &str) {
        if let Some(socket) = self.socket.take() {
            // The descriptor is not closed, so that no other file gets its number.
            let _ = socket.shutdown(Shutdown::Both);
            std::mem::forget(socket);
            crate::say!("husk: passt at '{}' {why}: the guest has no network any more", self.path.display());
        }
        (self.unsent, self.sent) = (Vec::new(), 0);
    }

    /// Evaluates a read or write: returns its bytes, or `None` if it would wait, was interrupted, or ended the connection.
    fn came_to(&mut self, result: io::Result<usize>) -> Option<usize> {
        match result {
            Ok(0) => self.end("has closed its socket"),
            Ok(count) => return Some(count),
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted) => {}
            Err(error) => self.end(&format!("cannot be reached ({error})")),
        }
        None
    }

    /// Start and length of the next frame in the read buffer, if it is complete.
    fn next(&mut self) -> Option<(usize, usize)> {
        let unread = self.read.get(self.taken..self.end)?;
        let length = u32::from_be_bytes(*unread.first_chunk()?) as usize;
        if !(FRAME_HEADER..=FRAME_MAXIMUM).contains(&length) {
            self.end(&format!("sent a frame of {length} bytes"));
            (self.taken, self.end) = (0, 0);
            return None;
        }
        (unread.len() >= PREFIX + length).then_some((self.taken + PREFIX, length))
    }

    /// Reads more. Returns true if bytes arrived.
    fn fill(&mut self) -> bool {
        if self.read.is_empty() {
            self.read = vec![0; CHUNK];
        }
        self.read.copy_within(self.taken..self.end, 0);
        (self.taken, self.end) = (0, self.end - self.taken);
        let Some(socket) = &mut self.socket else { return false };
        let result = socket.read(&mut self.read[self.end..]);
        let count = self.came_to(result).unwrap_or(0);
        self.end += count;
        count > 0
    }
}

impl Wire for Passt {
    fn has_room(&self) -> bool {
        self.unsent.len() - self.sent < UNSENT_MAXIMUM
    }

    fn send(&mut self, frame: &Parts, _: Offload) -> Result<(), Unreachable> {
        if self.socket.is_none() {
            return Ok(());
        }
        if self.sent > 0 {
            self.unsent.drain(..self.sent);
            self.sent = 0;
        }
        let before = self.unsent.len();
        self.unsent.extend_from_slice(&(frame.length() as u32).to_be_bytes());
        // If the frame cannot be read, its length prefix is removed, because it would put the stream out of step.
        copy::from_guest(frame, &mut self.unsent).inspect_err(|_| self.unsent.truncate(before))
    }

    fn receive(&mut self, into: &Parts, _: bool) -> Result<Option<Received>, Unreachable> {
        let (start, length) = loop {
            match self.next() {
                Some(found) => break found,
                None if self.fill() => {}
                None => return Ok(None),
            }
        };
        self.taken = start + length;
        if length > into.length() {
            return Ok(Some(Received::Dropped));
        }
        copy::to_guest(into, &self.read[start..start + length])?;
        Ok(Some(Received::Frame { length, checked: false }))
    }

    fn work(&mut self) -> bool {
        if self.sent == self.unsent.len() {
            return false;
        }
        let Some(socket) = &mut self.socket else { return false };
        let result = socket.write(&self.unsent[self.sent..]);
        let count = self.came_to(result).unwrap_or(0);
        self.sent += count;
        if self.sent == self.unsent.len() {
            self.unsent.clear();
            self.sent = 0;
        }
        count > 0
    }

    fn file(&self) -> RawFd {
        self.socket.as_ref().map_or(-1, AsRawFd::as_raw_fd)
    }

    fn list(&self, descriptors: &mut Descriptors) {
        self.socket.iter().for_each(|socket| descriptors.add(Role::Passt, socket));
    }

    fn not_saved(&self) -> Option<NotSaved> {
        Some(NotSaved::Passt)
    }

    fn events(&self, has_buffer: bool) -> i16 {
        let reads = if has_buffer { libc::POLLIN } else { 0 };
        let writes = if self.sent < self.unsent.len() { libc::POLLOUT } else { 0 };
        reads | writes
    }
}
