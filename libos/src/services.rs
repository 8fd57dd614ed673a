//! Services of the tender that files and sockets need: console, clock, random bytes and the image.

use crate::console::Console;
use crate::errno::Errno;
use crate::folders::Folders;
use crate::fs::device::Devices;
use crate::fs::source::Source;
use crate::image;
use crate::random::Random;
use crate::syscall_result::SyscallResult;
use crate::terminal;
use crate::threads::Threads;
use crate::user::Slice;

/// Services for the files, in a guest.
pub struct Services<'a> {
    random: &'a mut Random,
    console: &'a mut Console,
    /// True if nothing else is to be done while the one thread waits.
    alone: bool,
}

impl<'a> Services<'a> {
    /// Returns the services for the files, from the rest of the libos.
    pub fn new(random: &'a mut Random, console: &'a mut Console, threads: &Threads, folders: &Folders) -> Self {
        // A volume may have changes to write back.
        Self { random, console, alone: threads.count() == 1 && !folders.busy() }
    }
}

impl Devices for Services<'_> {
    fn console_write(&mut self, stream: u64, from: Source<'_>) -> SyscallResult {
        self.console.write(stream, from)
    }

    fn may_wait(&self) -> bool {
        self.alone
    }

    fn console_ready(&mut self) -> bool {
        husk::console::wait_for_input(0)
    }

    fn monotonic_ns(&self) -> u64 {
        husk::clock::monotonic_ns()
    }

    fn console_read(&mut self, into: Slice) -> SyscallResult {
        self.console.read(into)
    }

    fn console_result(&mut self) -> Option<Result<u64, Errno>> {
        self.console.take_result()
    }

    fn terminal(&mut self, stream: u64, request: u32, argument: u64) -> SyscallResult {
        terminal::control(stream, request, argument)
    }

    fn seek_input(&mut self, offset: i64, whence: u32) -> Result<u64, Errno> {
        husk::console::seek_input(offset, whence.into()).map_err(terminal::errno)
    }

    fn random(&mut self, into: &mut [u8]) {
        self.random.fill(into);
    }

    fn image_read(&mut self, offset: u64, into: Slice) -> Result<u64, Errno> {
        let start = usize::try_from(offset).unwrap_or(usize::MAX);
        let rest = image::bytes()?.get(start..).unwrap_or_default();
        let count = into.length.min(rest.len() as u64);
        into.first(count).copy_in(&rest[..count as usize])?;
        Ok(count)
    }
}
