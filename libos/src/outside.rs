//! What is outside of the files: the tender's services, and the parts of the libos with files of their own.

use crate::disk::Disks;
use crate::errno::Errno;
use crate::folders::Folders;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::device::Devices;
use crate::fs::disk::{Disk, Request};
use crate::fs::external::External;
use crate::fs::folder::FolderFile;
use crate::fs::handle::{NodeKey, SocketKey};
use crate::fs::socket::address::Posting;
use crate::fs::socket::queue::Envelope;
use crate::fs::watch::wait;
use crate::net::address::Family;
use crate::net::{Net, interface};
use crate::services::Services;
use crate::signals::Signals;
use crate::syscall_result::{Stop, SyscallResult, WaitFor};
use crate::threads::Threads;
use crate::user::Slice;
use core::net::IpAddr;
use linux_raw_sys::ioctl::SIOCGIFNAME;

/// Longest wait of a program for an address, in nanoseconds from its start; then calls fail for want of a network.
const LEASE_PATIENCE: u64 = 5_000_000_000;
/// Longest wait for a router to advertise an IPv6 prefix, which it does within half a second if there is one: RFC 4861.
const ROUTER_PATIENCE: u64 = 1_000_000_000;
/// Interval of the checks for an address, in nanoseconds.
const LEASE_INTERVAL: u64 = 2_000_000;

/// The libos without the files.
pub struct Outside<'a> {
    /// Services of the tender.
    pub services: Services<'a>,
    /// Sockets of the internet families.
    pub net: &'a mut Net,
    /// Calls on disks.
    pub disks: &'a mut Disks,
    /// Requests to folders.
    pub folders: &'a mut Folders,
    /// Actions and pending signals.
    pub signals: &'a mut Signals,
    /// The program's threads.
    pub threads: &'a mut Threads,
    /// Monotonic time at which the program started, in nanoseconds.
    pub started: u64,
}

impl Outside<'_> {
    /// Polls the network device, if there is one.
    pub fn poll(&mut self, files: &mut Files) {
        if self.net.has_device() {
            self.net.poll(files, &mut self.services);
        }
    }

    /// Waits until the network has leased an address to the program, or until its time is over; the call is restarted at
    /// intervals. With an address `to`, waits for one from which packets can go there.
    pub fn until_addressed(&mut self, files: &mut Files, to: Option<IpAddr>) -> Result<(), Stop> {
        if !self.is_asking(to) {
            return Ok(());
        }
        self.poll(files);
        let patience = if to.is_some_and(|to| to.is_ipv6()) { ROUTER_PATIENCE } else { LEASE_PATIENCE };
        let end = self.started.saturating_add(patience);
        let now = husk::clock::monotonic_ns();
        if !self.is_asking(to) || now >= end {
            return Ok(());
        }
        let deadline = Some(end.min(now.saturating_add(LEASE_INTERVAL)));
        Err(Stop::until(WaitFor::Time, deadline))
    }

    fn is_asking(&self, to: Option<IpAddr>) -> bool {
        to.map_or(self.net.is_asking(), |to| self.net.awaits(to))
    }
}

impl External for Outside<'_> {
    fn devices(&mut self) -> &mut dyn Devices {
        &mut self.services
    }

    fn send(
        &mut self,
        files: &mut Files,
        socket: SocketKey,
        from: Buffers<'_>,
        posting: &Posting,
        nonblocking: bool,
    ) -> SyscallResult {
        let to = posting.to;
        // A request of `AF_NETLINK` for addresses waits for all of them.
        if to.is_some() || self.net.family(socket) == Family::Routes {
            self.until_addressed(files, to.map(|to| to.ip()))?;
        }
        self.poll(files);
        self.net.send(files, &mut self.services, socket, from, posting, nonblocking)
    }

    fn receive(
        &mut self,
        files: &mut Files,
        socket: SocketKey,
        into: Buffers<'_>,
        peek: bool,
        nonblocking: bool,
        envelope: &mut Envelope,
    ) -> SyscallResult {
        self.poll(files);
        self.net.receive(files, socket, into, peek, nonblocking, envelope)
    }

    fn received_bytes(&self, socket: SocketKey) -> Result<u64, Errno> {
        self.net.received_bytes(socket)
    }

    fn transfer(
        &mut self,
        disk: Disk,
        operation: u16,
        start: u64,
        memory: Buffers<'_>,
        flushes: bool,
    ) -> SyscallResult {
        self.disks.transfer(self.threads, disk, operation, start, memory, flushes)
    }

    fn await_turn(&mut self, first: Option<u32>, node: NodeKey) -> Result<(), Stop> {
        let thread = self.threads.current();
        // As on Linux, no signal ends the wait.
        thread.held = first.is_some_and(|first| first != thread.id);
        if thread.held { Err(wait(node)) } else { Ok(()) }
    }

    fn request(&mut self, disk: Disk, request: Request) -> SyscallResult {
        self.disks.request(self.threads, disk, request)
    }

    fn read_folder(&mut self, file: FolderFile, offset: u64, into: Buffers<'_>) -> SyscallResult {
        self.folders.read(self.threads, file, offset, into)
    }

    fn write_folder(
        &mut self,
        file: FolderFile,
        offset: Option<u64>,
        from: Buffers<'_>,
        durable: bool,
    ) -> Result<(u64, u64), Stop> {
        self.folders.write(self.threads, file, offset, from, durable)
    }

    fn read_signals(&mut self, set: u64, into: Slice) -> Result<u64, Errno> {
        self.signals.read(self.threads, set, into)
    }

    fn interface(&mut self, request: u32, address: u64) -> SyscallResult {
        interface::ioctl(address, request == SIOCGIFNAME)
    }
}
