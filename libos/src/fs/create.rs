//! Calls that make files without a name: pipes, event counters, timers, sets of files, signal files.

use super::Files;
use super::epoll::Epoll;
use super::event::Event;
use super::handle::{NodeKey, SocketKey};
use super::inode::{Kind, Mount, Time};
use super::pipe::Pipe;
use super::ready::Ready;
use super::signal::SignalFile;
use super::timer::{Alarms, Timer};
use crate::clock::Base;
use crate::errno::Errno;
use linux_raw_sys::general as linux;

impl Files {
    /// pipe2(2): returns the descriptors for reading and for writing.
    pub fn pipe(&mut self, flags: u32, now: Time) -> Result<(i32, i32), Errno> {
        if flags & !(linux::O_CLOEXEC | linux::O_NONBLOCK | linux::O_DIRECT) != 0 {
            return Err(Errno::EINVAL);
        }
        let node = self.add_node(Kind::Pipe(Pipe::default()), Mount::Nameless, 0o600, now)?;
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

    /// eventfd2(2).
    pub fn event(&mut self, count: u32, flags: u32, now: Time) -> Result<i32, Errno> {
        if flags & !(linux::EFD_SEMAPHORE | linux::EFD_CLOEXEC | linux::EFD_NONBLOCK) != 0 {
            return Err(Errno::EINVAL);
        }
        let event = Event { count: u64::from(count), semaphore: flags & linux::EFD_SEMAPHORE != 0 };
        let node = self.add_node(Kind::Event(event), Mount::Nameless, 0o600, now)?;
        self.open_node(node, linux::O_RDWR | flags & (linux::O_CLOEXEC | linux::O_NONBLOCK))
    }

    /// timerfd_create(2).
    pub fn timer(&mut self, clock: u32, flags: u32, now: Time) -> Result<i32, Errno> {
        let base = match clock {
            linux::CLOCK_MONOTONIC | linux::CLOCK_BOOTTIME | linux::CLOCK_BOOTTIME_ALARM => Base::Monotonic,
            linux::CLOCK_REALTIME | linux::CLOCK_REALTIME_ALARM => Base::Realtime,
            _ => return Err(Errno::EINVAL),
        };
        if flags & !(linux::TFD_CLOEXEC | linux::TFD_NONBLOCK) != 0 {
            return Err(Errno::EINVAL);
        }
        let Alarms { pending, timers } = &mut self.alarms;
        pending.try_reserve(*timers + 1 - pending.len()).map_err(|_| Errno::ENOMEM)?;
        let timer = Timer::new(base);
        let node = self.add_node(Kind::Timer(timer), Mount::Nameless, 0o600, now)?;
        self.nodes[node].links = 1;
        self.alarms.timers += 1;
        self.open_node(node, linux::O_RDWR | flags)
    }

    /// epoll_create1(2).
    pub fn epoll(&mut self, flags: u32, now: Time) -> Result<i32, Errno> {
        if flags & !linux::EPOLL_CLOEXEC != 0 {
            return Err(Errno::EINVAL);
        }
        let node = self.add_node(Kind::Epoll(Epoll::default()), Mount::Nameless, 0o600, now)?;
        self.nodes[node].links = 1;
        self.open_node(node, linux::O_RDWR | flags)
    }

    /// signalfd4(2): makes a file for the signals of `set`, or changes the set of an existing one if `descriptor` is not
    /// negative.
    pub fn signal_file(&mut self, descriptor: i32, set: u64, flags: u32, now: Time) -> Result<i32, Errno> {
        if descriptor >= 0 {
            let node = self.description(descriptor)?.node;
            let Kind::Signal(file) = &mut self.nodes[node].kind else { return Err(Errno::EINVAL) };
            file.set = set;
            return Ok(descriptor);
        }
        self.signal_files.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let node = self.add_node(Kind::Signal(SignalFile::new(set)), Mount::Nameless, 0o777, now)?;
        self.nodes[node].links = 1;
        self.signal_files.push(node);
        self.open_node(node, linux::O_RDWR | flags)
    }

    /// Opens a socket of the internet families; of `flags`, `O_NONBLOCK` and `O_CLOEXEC` count. Returns its descriptor, and its
    /// inode for [`Files::set_ready`], which exists until the socket is among [`Files::orphans`]. If the call fails, the socket
    /// is not.
    pub fn open_internet(&mut self, socket: SocketKey, flags: u32, now: Time) -> Result<(i32, NodeKey), Errno> {
        self.check_descriptor_free()?;
        self.orphans.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let node = self.add_node(Kind::Internet(socket, Ready::empty()), Mount::Nameless, 0o777, now)?;
        self.nodes[node].links = 1;
        match self.open_node(node, linux::O_RDWR | flags & (linux::O_NONBLOCK | linux::O_CLOEXEC)) {
            Ok(descriptor) => Ok((descriptor, node)),
            Err(errno) => {
                self.orphans.retain(|orphan| *orphan != socket);
                Err(errno)
            }
        }
    }
}
