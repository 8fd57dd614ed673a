//! Services of the tender that files and sockets need: console, clock, random bytes and the image.

use crate::errno::Errno;
use crate::fs::device::Devices;
use crate::image;
use crate::memory::sparse;
use crate::random::Random;
use crate::threads::Threads;
use crate::user::Slice;
use husk::abi::call::Status;

/// Services for the files, in a guest.
pub struct Services<'a> {
    random: &'a mut Random,
    /// True if there is one thread.
    alone: bool,
}

impl<'a> Services<'a> {
    /// Returns the services for the files, from the rest of the libos.
    pub fn new(random: &'a mut Random, threads: &Threads) -> Self {
        Self { random, alone: threads.count() == 1 }
    }
}

impl Devices for Services<'_> {
    fn console_write(&mut self, stream: u64, address: u64, length: u64) -> Result<u64, Errno> {
        if length == 0 {
            return Ok(0);
        }
        // The tender would end the guest for an invalid address.
        Slice::new(address, length).check()?;
        sparse::touch(address, length);
        husk::console::write_at(stream, address, length).map_err(errno)
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

    fn console_read(&mut self, into: Slice) -> Result<u64, Errno> {
        into.check()?;
        sparse::touch(into.address, into.length);
        husk::console::read_at(into.address, into.length).map_err(errno)
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

fn errno(status: Status) -> Errno {
    match status {
        Status::Closed => Errno::EPIPE,
        Status::Interrupted => Errno::EINTR,
        Status::NoMemory => Errno::ENOMEM,
        Status::NoSpace => Errno::ENOSPC,
        Status::TooLarge => Errno::EFBIG,
        Status::Directory => Errno::EISDIR,
        Status::NotOpen => Errno::EBADF,
        Status::Invalid | Status::InputOutput => Errno::EIO,
    }
}
