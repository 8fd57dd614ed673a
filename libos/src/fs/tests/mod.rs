//! Tests of the files as a whole, with names, offsets and errors as a program sees them.

use super::Files;
use super::buffers::Buffers;
use super::device::Devices;
use super::disk::{Disk, Request};
use super::external::External;
use super::folder::FolderFile;
use super::handle::{NodeKey, SocketKey};
use super::host::HostFiles;
use super::inode::Time;
use super::socket::address::Posting;
use super::socket::queue::Envelope;
use super::source::Source;
use super::watch::wait;
use crate::errno::Errno;
use crate::syscall_result::{Stop, SyscallResult};
use crate::user::Slice;
use linux_raw_sys::general::{self as linux, AT_FDCWD};

// An interpreter other than the processor has no Linux beside it.
#[cfg(not(miri))]
mod against_linux;
mod calls;
mod host;
mod image;
mod kinds;
mod shared;

/// Console with vectors as output and input.
#[derive(Debug, Default)]
pub struct Fakes {
    /// Bytes written, per stream.
    pub written: [Vec<u8>; 3],
    /// Bytes to read.
    pub input: Vec<u8>,
    /// The monotonic time in nanoseconds.
    pub now: u64,
    /// Transfers to and from disks: disk, operation, start, length, and true if a flush follows.
    pub transfers: Vec<(Disk, u16, u64, u64, bool)>,
    /// Requests to disks.
    pub requests: Vec<Request>,
    /// Number of the calling thread.
    pub thread: u32,
}

impl Devices for Fakes {
    fn console_write(&mut self, stream: u64, from: Source<'_>) -> SyscallResult {
        let from = from.first(4096);
        let into = self.written.get_mut(stream as usize).ok_or(Errno::EBADF)?;
        into.reserve(from.length() as usize);
        from.append_to(into)?;
        Ok(from.length())
    }

    fn may_wait(&self) -> bool {
        false
    }

    fn console_ready(&mut self) -> bool {
        !self.input.is_empty()
    }

    fn monotonic_ns(&self) -> u64 {
        self.now
    }

    fn console_result(&mut self) -> Option<Result<u64, Errno>> {
        None
    }

    fn console_read(&mut self, into: Slice) -> SyscallResult {
        let length = into.length.min(self.input.len() as u64);
        let rest = self.input.split_off(length as usize);
        into.copy_in(&core::mem::replace(&mut self.input, rest))?;
        Ok(length)
    }

    fn random(&mut self, into: &mut [u8]) {
        into.fill(4);
    }

    fn terminal(&mut self, _stream: u64, _request: u32, _argument: u64) -> SyscallResult {
        Err(Errno::ENOTTY.into())
    }

    fn seek_input(&mut self, _offset: i64, _whence: u32) -> Result<u64, Errno> {
        Err(Errno::EINVAL)
    }

    fn image_read(&mut self, _offset: u64, _into: Slice) -> Result<u64, Errno> {
        Ok(0)
    }
}

impl External for Fakes {
    fn devices(&mut self) -> &mut dyn Devices {
        self
    }

    fn send(&mut self, _: &mut Files, _: SocketKey, from: Buffers<'_>, _: &Posting, _: bool) -> SyscallResult {
        Ok(from.length())
    }

    fn receive(
        &mut self,
        _: &mut Files,
        _: SocketKey,
        _: Buffers<'_>,
        _: bool,
        _: bool,
        _: &mut Envelope,
    ) -> SyscallResult {
        Ok(0)
    }

    fn received_bytes(&self, _: SocketKey) -> Result<u64, Errno> {
        Ok(0)
    }

    fn transfer(
        &mut self,
        disk: Disk,
        operation: u16,
        start: u64,
        memory: Buffers<'_>,
        flushes: bool,
    ) -> SyscallResult {
        self.transfers.push((disk, operation, start, memory.length(), flushes));
        Ok(memory.length())
    }

    fn await_turn(&mut self, first: Option<u32>, node: NodeKey) -> Result<(), Stop> {
        if first.is_none_or(|first| first == self.thread) { Ok(()) } else { Err(wait(node)) }
    }

    fn request(&mut self, _: Disk, request: Request) -> SyscallResult {
        self.requests.push(request);
        Ok(0)
    }

    fn read_folder(&mut self, _: FolderFile, _: u64, _: Buffers<'_>) -> SyscallResult {
        Err(Errno::ENXIO.into())
    }

    fn write_folder(&mut self, _: FolderFile, _: Option<u64>, _: Buffers<'_>, _: bool) -> Result<(u64, u64), Stop> {
        Err(Errno::ENXIO.into())
    }

    fn read_signals(&mut self, set: u64, into: Slice) -> Result<u64, Errno> {
        if set == 0 { Err(Errno::EAGAIN) } else { into.copy_in(&set.to_ne_bytes()).map(|()| 8) }
    }

    fn interface(&mut self, _: u32, _: u64) -> SyscallResult {
        Ok(0)
    }
}

/// Returns the files at the start of a program, with a clock that advances on each reading.
struct Machine {
    files: Files,
    devices: Fakes,
    ns: u64,
}

impl Machine {
    fn new() -> Self {
        Self::with_image(|| Ok(&[]))
    }

    /// Returns the files with those of an image.
    fn with_image(image_files: super::tree::ImageFiles) -> Self {
        Self::with(image_files, HostFiles::default())
    }

    /// Returns the files with those of an image and of the host.
    fn with(image_files: super::tree::ImageFiles, host_files: HostFiles) -> Self {
        let start = 1_700_000_000_000_000_000;
        let program = b"/app/program".to_vec();
        let mut files = Files::new(program, 1 << 30, Time::from_ns(start), image_files).expect("memory");
        files.host_files = host_files;
        // Makes the tree now, to keep the test's own use of memory apart from the tree's.
        files.grow().expect("memory");
        Self { files, devices: Fakes::default(), ns: start }
    }

    fn now(&mut self) -> Time {
        self.ns += 1_000;
        Time::from_ns(self.ns)
    }

    fn open(&mut self, path: &str, flags: u32) -> Result<i32, Errno> {
        let now = self.now();
        self.files.open(AT_FDCWD, path.as_bytes(), flags, 0o666, now)
    }

    fn create(&mut self, path: &str) -> i32 {
        self.open(path, linux::O_CREAT | linux::O_RDWR).expect("can be made")
    }

    fn read(&mut self, descriptor: i32, at: Option<u64>, length: usize) -> Result<Vec<u8>, Stop> {
        let mut bytes = vec![0xee; length];
        let into = Slice::new(bytes.as_mut_ptr() as u64, length as u64);
        let now = self.now();
        let count = self.files.read(&mut self.devices, descriptor, at, Buffers::new(&[into], 0), || now)?;
        bytes.truncate(count as usize);
        Ok(bytes)
    }

    fn write(&mut self, descriptor: i32, at: Option<u64>, bytes: &[u8]) -> SyscallResult {
        let from = Slice::new(bytes.as_ptr() as u64, bytes.len() as u64);
        let now = self.now();
        self.files.write(&mut self.devices, descriptor, at, Buffers::new(&[from], 0), false, || now)
    }

    fn ready(&mut self, descriptor: i32) -> super::ready::Ready {
        self.files.readiness(&mut self.devices, descriptor, super::ready::Ready::all()).expect("open")
    }

    /// Names in an open directory, from its position on.
    fn names(&mut self, descriptor: i32, room: usize) -> Result<Vec<String>, Errno> {
        let mut bytes = vec![0; room];
        let into = Slice::new(bytes.as_mut_ptr() as u64, room as u64);
        let now = self.now();
        let length = self.files.list(descriptor, into, now)? as usize;
        let mut names = Vec::new();
        let mut rest = &bytes[..length];
        while !rest.is_empty() {
            let (record, after) = rest.split_at(u16::from_ne_bytes([rest[16], rest[17]]).into());
            let name = record[19..].split(|byte| *byte == 0).next().expect("a NUL");
            names.push(String::from_utf8(name.to_vec()).expect("text"));
            rest = after;
        }
        Ok(names)
    }
}
