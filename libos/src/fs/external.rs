//! Calls on open files whose state other parts of the libos own: disks, signals, and sockets of the internet families.

use super::Files;
use super::buffers::Buffers;
use super::device::Devices;
use super::disk::{Disk, Request};
use super::folder::FolderFile;
use super::handle::{NodeKey, SocketKey};
use super::socket::address::Posting;
use super::socket::queue::Envelope;
use crate::errno::Errno;
use crate::syscall_result::{Stop, SyscallResult};
use crate::user::Slice;

/// Parts of the libos besides the files.
pub trait External {
    /// Services of the tender.
    fn devices(&mut self) -> &mut dyn Devices;

    /// Sends on a socket as much as there is room for, to its peer unless `posting` has another address.
    fn send(
        &mut self,
        files: &mut Files,
        socket: SocketKey,
        from: Buffers<'_>,
        posting: &Posting,
        nonblocking: bool,
    ) -> SyscallResult;

    /// Receives on a socket what is there. Returns the number of bytes.
    fn receive(
        &mut self,
        files: &mut Files,
        socket: SocketKey,
        into: Buffers<'_>,
        peek: bool,
        nonblocking: bool,
        envelope: &mut Envelope,
    ) -> SyscallResult;

    /// Number of bytes that a read of a socket would find.
    fn received_bytes(&self, socket: SocketKey) -> Result<u64, Errno>;

    /// Reads from a disk at byte `start`, with `READ` of [`husk::abi::block`] as operation, or writes to it, with `WRITE`; then
    /// flushes it, if `flushes`.
    fn transfer(&mut self, disk: Disk, operation: u16, start: u64, memory: Buffers<'_>, flushes: bool)
    -> SyscallResult;

    /// Waits, unless the calling thread is the `first` to use an offset of `node`'s file, or there is none.
    fn await_turn(&mut self, first: Option<u32>, node: NodeKey) -> Result<(), Stop>;

    /// Makes a request to a disk.
    fn request(&mut self, disk: Disk, request: Request) -> SyscallResult;

    /// Reads from a file of a folder.
    fn read_folder(&mut self, file: FolderFile, offset: u64, into: Buffers<'_>) -> SyscallResult;

    /// Writes to a file of a folder, at its end without an offset; the bytes are durable afterwards, if `durable`. Returns their
    /// number, and the offset behind them.
    fn write_folder(
        &mut self,
        file: FolderFile,
        offset: Option<u64>,
        from: Buffers<'_>,
        durable: bool,
    ) -> Result<(u64, u64), Stop>;

    /// Takes pending signals of a set, and writes a `struct signalfd_siginfo` for each; EAGAIN if there is none. Returns the
    /// number of bytes.
    fn read_signals(&mut self, set: u64, into: Slice) -> Result<u64, Errno>;

    /// `SIOCGIFINDEX` and `SIOCGIFNAME`: name or number of an interface, in the `struct ifreq` at `address`.
    fn interface(&mut self, request: u32, address: u64) -> SyscallResult;
}
