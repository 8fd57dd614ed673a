//! State of the libos: its parts, and changes that go from one part to another.
//!
//! The parts do not know each other, except that sockets and disks know files and threads. What a call changes in the files
//! concerns other parts: [`Libos::change`] and [`Libos::network`] pass it on.

use crate::arch::{PROCESSORS, Registers};
use crate::console::Console;
use crate::disk::Disks;
use crate::errno::Errno;
use crate::folders::Folders;
use crate::fs::Files;
use crate::fs::device::Devices;
use crate::fs::host::HostFiles;
use crate::fs::inode::Time;
use crate::host_files;
use crate::identity::Identity;
use crate::image;
use crate::ipc::Ipc;
use crate::memory::copies::Copies;
use crate::memory::sigaltstack_guard::SigaltstackGuard;
use crate::net::Net;
use crate::outside::Outside;
use crate::process::Limit;
use crate::processor_time;
use crate::random::Random;
use crate::services::Services;
use crate::signals::Signals;
use crate::threads::Threads;
use alloc::vec::Vec;

/// State of the libos, except for its memory.
#[derive(Debug)]
pub struct Libos {
    /// File system, and the program's open files.
    pub files: Files,
    /// Sockets of the internet families.
    pub net: Net,
    /// Calls on disks.
    pub disks: Disks,
    /// Requests to folders.
    pub folders: Folders,
    /// Objects of System V.
    pub ipc: Ipc,
    /// The program's threads.
    pub threads: Threads,
    /// Actions and pending signals.
    pub signals: Signals,
    /// Calls on the console, of each processor.
    pub consoles: [Console; PROCESSORS],
    /// Source of all random bytes.
    pub random: Random,
    /// State of the first signal stack, which reuses the main stack's guard gap.
    pub sigaltstack_guard: SigaltstackGuard,
    /// Mappings that are copies of files of the host, which the program may only read.
    pub copies: Copies,
    /// True from the first change of a thread's identity on.
    pub has_identities: bool,
    /// Limits that the program has set.
    pub limits: Vec<Limit>,
    /// The auxiliary vector that the program got.
    pub auxiliary: Vec<u8>,
    /// Monotonic time at which the program started, in nanoseconds.
    pub started: u64,
    /// Monotonic time of the last check for input that other threads wait for, in nanoseconds.
    pub looked: u64,
    /// End of the program, once it has come, and its monotonic time in nanoseconds. The machine ends when all data is sent.
    pub ending: Option<(End, u64)>,
}

/// How a program ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// By itself, with this status.
    Exit(u8),
    /// By this signal.
    Signal(u32),
}

impl Libos {
    /// Returns the libos of a program with a first thread that starts with these registers.
    pub fn new(registers: Registers, auxiliary: Vec<u8>, random: Random) -> Result<Self, Errno> {
        let started = husk::clock::monotonic_ns();
        processor_time::start(started);
        let (files, threads) = (files()?, Threads::new(registers)?);
        let (net, disks, folders, signals, sigaltstack_guard) = Default::default();
        Ok(Self {
            files,
            net,
            disks,
            folders,
            ipc: Ipc::default(),
            threads,
            signals,
            consoles: Default::default(),
            random,
            sigaltstack_guard,
            copies: Copies::default(),
            has_identities: false,
            limits: Vec::new(),
            auxiliary,
            started,
            looked: 0,
            ending: None,
        })
    }

    /// Runs `call` on the files, with the rest of the libos beside them; then wakes the threads that wait for a file that has
    /// changed.
    #[inline]
    pub fn change<T>(&mut self, call: impl FnOnce(&mut Files, &mut Outside<'_>) -> T) -> T {
        let Self { files, net, disks, folders, threads, signals, consoles: [console], random, started, .. } = self;
        let services = Services::new(random, console, threads, folders);
        let result = call(files, &mut Outside { services, net, disks, folders, signals, threads, started: *started });
        self.settle();
        result
    }

    /// Runs `call` on the sockets, after polling the device; then wakes the threads that wait for a file that has changed.
    pub fn network<T>(&mut self, call: impl FnOnce(&mut Net, &mut Files, &mut dyn Devices) -> T) -> T {
        self.change(|files, outside| {
            outside.poll(files);
            call(outside.net, files, &mut outside.services)
        })
    }

    /// Identity of the current thread.
    pub fn identity(&mut self) -> &Identity {
        &self.threads.current().identity
    }

    /// Makes the current thread the one that files and sockets note.
    #[cold]
    pub fn take_caller(&mut self) {
        self.files.caller = self.identity().caller();
    }

    /// Polls the network device.
    #[cold]
    pub fn poll_network(&mut self) {
        self.network(|_, _, _| ());
    }

    /// Ends the program. No thread runs any more.
    pub fn end(&mut self, how: End) {
        if self.net.has_device() {
            self.network(|net, files, _| net.close_all(files));
        }
        self.folders.unmount();
        self.ending = Some((how, husk::clock::monotonic_ns()));
    }

    /// Passes on changes: to the sockets, which of them are not open any more; to threads, which files may have become ready.
    #[inline]
    pub fn settle(&mut self) {
        if !self.files.orphans.is_empty() {
            self.close_orphans();
        }
        if !self.files.closed_files.is_empty() {
            self.close_files();
        }
        if !self.files.ready_list.is_empty() {
            self.wake_waiting();
        }
    }

    #[cold]
    fn close_orphans(&mut self) {
        let Self { files, net, .. } = self;
        // Of several sockets closed together, none reports its end to another.
        for socket in &files.orphans {
            net.forget_file(*socket);
        }
        while let Some(socket) = files.orphans.pop() {
            net.close(files, socket);
        }
    }

    /// Closes files of folders that are not open any more.
    #[cold]
    fn close_files(&mut self) {
        while let Some(file) = self.files.closed_files.pop() {
            self.folders.close(file);
        }
    }

    /// Wakes the threads that wait for files that have changed.
    fn wake_waiting(&mut self) {
        let Self { files, threads, .. } = self;
        if files.ready_list.take_lost() {
            threads.wake_every_file();
        }
        while let Some(node) = files.ready_list.take() {
            threads.wake_file(node.index());
        }
        threads.wake_files();
    }
}

/// Returns the files at the start of the program. They may take half of its memory, so that a file that grows without end gets
/// an error before the whole program does.
fn files() -> Result<Files, Errno> {
    let mut files = Files::new(image::program(), husk::boot::info().heap.length / 2, now(), image::files)?;
    files.image_size = image::size();
    files.set_streams(husk::boot::streams());
    files.hostname = husk::boot::hostname();
    files.host_files = HostFiles { paths: host_files::paths().collect(), read: host_files::read };
    Ok(files)
}

/// Current time, for a file's times.
pub fn now() -> Time {
    Time::from_ns(husk::clock::realtime_ns())
}
