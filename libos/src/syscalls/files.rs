//! Calls that open files, read, write, copy and close them.
//!
//! The functions here read arguments from the program's memory, and pass the rest to [`crate::fs`]. Calls on a file of another
//! part of the libos ([`crate::fs::foreign`]) go to that part: see [`super::internet`].

use super::{Arguments, disk, facts, internet};
use crate::answer::{Answer, Stop};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::device::Devices;
use crate::fs::foreign::{Foreign, Owner};
use crate::fs::inode::Time;
use crate::fs::path::PATH_MAXIMUM;
use crate::fs::seed::RESOLVER;
use crate::fs::tasks;
use crate::image;
use crate::libos::Libos;
use crate::memory::sparse;
use crate::net::Net;
use crate::random::Random;
use crate::signals::Signals;
use crate::threads::Threads;
use crate::user::{self, Slice};
use alloc::vec::Vec;
use husk::abi::call::Status;
use linux_raw_sys::general::*;

/// Services for the files, in a guest.
pub struct Outside<'a> {
    random: &'a mut Random,
    /// True if there is one thread.
    alone: bool,
}

impl<'a> Outside<'a> {
    /// Returns the services for the files, from the rest of the libos.
    pub fn new(random: &'a mut Random, threads: &Threads) -> Self {
        Self { random, alone: threads.count() == 1 }
    }
}

impl Devices for Outside<'_> {
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

/// Returns the files at the start of the program. They may take half of its memory, so that a file that grows without end gets
/// an error before the whole program does.
pub fn start() -> Result<Files, Errno> {
    let mut files = Files::new(facts::program(), husk::boot::info().heap.length / 2, now(), image::files)?;
    files.image_size = image::size();
    Ok(files)
}

/// Current time, for a file's times.
pub fn now() -> Time {
    Time::from_ns(husk::clock::realtime_ns())
}

/// The path at `address`.
pub fn path(address: u64) -> Result<Vec<u8>, Errno> {
    user::read_string(address, PATH_MAXIMUM)
}

/// Runs `call` on the files; then wakes the threads that wait for a file that has changed.
pub fn change<T>(libos: &mut Libos, call: impl FnOnce(&mut Files, &mut dyn Devices) -> T) -> T {
    let Libos { files, net, random, signals, threads, .. } = libos;
    let result = call(files, &mut Outside::new(random, threads));
    settle(files, net, signals, threads);
    result
}

/// Passes on changes: to other parts of the libos, which of their files are not open any more; to threads, which files may have
/// become ready.
#[inline]
pub fn settle(files: &mut Files, net: &mut Net, signals: &mut Signals, threads: &mut Threads) {
    if !files.orphans.is_empty() {
        forget(files, net, signals);
    }
    if !files.news.is_empty() {
        tell(files, threads);
    }
}

#[cold]
fn forget(files: &mut Files, net: &mut Net, signals: &mut Signals) {
    // Of several sockets closed together, none reports its end to another.
    for Foreign { owner, handle } in &files.orphans {
        if let (Owner::Socket, Ok(socket)) = (owner, net.socket(*handle)) {
            net.leave_file(socket);
        }
    }
    while let Some(Foreign { owner, handle }) = files.orphans.pop() {
        match owner {
            Owner::Socket => {
                if let Ok(socket) = net.socket(handle) {
                    net.close(files, socket);
                }
            }
            Owner::Signal => signals.files.forget(handle),
            Owner::Disk => {}
        }
    }
}

/// Wakes the threads that wait for files that have changed.
fn tell(files: &mut Files, threads: &mut Threads) {
    if files.news.take_lost() {
        threads.wake_every_file();
    }
    while let Some(node) = files.news.take() {
        threads.wake_file(node.index());
    }
    threads.wake_files();
}

/// Converts a result without a value to an answer.
pub fn done<E: Into<Stop>>(result: Result<(), E>) -> Answer {
    result.map(|()| 0).map_err(Into::into)
}

/// Converts a descriptor to an answer.
pub fn descriptor(result: Result<i32, Errno>) -> Answer {
    Ok(result? as u64)
}

/// open(2).
pub fn open(libos: &mut Libos, Arguments([path, flags, mode, ..]): Arguments) -> Answer {
    openat(libos, Arguments([AT_FDCWD as u64, path, flags, mode, 0, 0]))
}

/// creat(2).
pub fn creat(libos: &mut Libos, Arguments([path, mode, ..]): Arguments) -> Answer {
    open(libos, Arguments([path, u64::from(O_CREAT | O_WRONLY | O_TRUNC), mode, 0, 0, 0]))
}

/// openat(2).
pub fn openat(libos: &mut Libos, Arguments([directory, at, flags, mode, ..]): Arguments) -> Answer {
    if libos.threads.current().opening.is_some() {
        return meet(libos);
    }
    let path = path(at)?;
    if path == RESOLVER {
        internet::until_addressed(libos, None)?;
    }
    if tasks::concerns(&path) {
        facts::show_tasks(libos)?;
    }
    let opened = change(libos, |files, _| files.open(directory as i32, &path, flags as u32, mode as u32, now()))?;
    if let Some(generated) = libos.files.generated(opened) {
        let text = facts::text(libos, generated);
        libos.files.set_text(opened, text)?;
    }
    if let Some(opening) = libos.files.opening(opened) {
        libos.threads.current().opening = Some(opening);
        return meet(libos);
    }
    Ok(opened as u64)
}

/// Waits until the other end of a named pipe is open, too.
fn meet(libos: &mut Libos) -> Answer {
    let Libos { files, threads, .. } = libos;
    let thread = threads.current();
    let opening = thread.opening.take().ok_or(Errno::EBADF)?;
    let opened = files.opened(opening);
    if let Err(Stop::Sleep(_)) = opened {
        thread.opening = Some(opening);
    }
    opened
}

/// Closes the file that the current thread's interrupted call had opened.
pub fn give_up_opening(libos: &mut Libos) {
    if let Some(opening) = libos.threads.current().opening.take() {
        // Another thread may have closed it.
        let _ = change(libos, |files, _| files.close(opening.descriptor()));
    }
}

/// memfd_create(2).
pub fn memfd_create(libos: &mut Libos, Arguments([name, flags, ..]): Arguments) -> Answer {
    path(name)?;
    if flags as u32 & !(MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL | MFD_EXEC) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let close = if flags as u32 & MFD_CLOEXEC != 0 { O_CLOEXEC } else { 0 };
    let flags = O_TMPFILE | O_EXCL | O_RDWR | close;
    descriptor(libos.files.open(AT_FDCWD, b"/dev/shm", flags, 0o777, now()))
}

/// close(2).
pub fn close(libos: &mut Libos, Arguments([file, ..]): Arguments) -> Answer {
    done(change(libos, |files, _| files.close(file as i32)))
}

/// Flags of close_range(2), which the bindings lack.
mod range {
    /// Without effect, because there is only one descriptor table.
    pub const UNSHARE: u32 = 2;
    /// Sets close-on-exec instead of closing.
    pub const CLOSE_ON_EXEC: u32 = 4;
}

/// close_range(2).
pub fn close_range(libos: &mut Libos, Arguments([first, last, flags, ..]): Arguments) -> Answer {
    if flags as u32 & !(range::CLOSE_ON_EXEC | range::UNSHARE) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let mark = flags as u32 & range::CLOSE_ON_EXEC != 0;
    done(change(libos, |files, _| files.close_range(first as u32, last as u32, mark)))
}

/// lseek(2).
pub fn lseek(libos: &mut Libos, Arguments([file, offset, whence, ..]): Arguments) -> Answer {
    Ok(libos.files.seek(file as i32, offset as i64, whence as u32)?)
}

/// The offset that the program stores at `address`, if that is not null.
fn own_offset(address: u64) -> Result<Option<u64>, Errno> {
    if address == 0 { Ok(None) } else { user::read(address).map(Some) }
}

/// Advances the offset that the program stores at `address`.
fn advance(address: u64, offset: Option<u64>, count: u64) -> Result<(), Errno> {
    offset.map_or(Ok(()), |offset| user::write(address, &offset.wrapping_add(count)))
}

/// sendfile(2).
pub fn sendfile(libos: &mut Libos, Arguments([to, from, at, count, ..]): Arguments) -> Answer {
    let offset = own_offset(at)?;
    let sent = change(libos, |files, devices| files.send(devices, to as i32, from as i32, offset, count, now()))?;
    advance(at, offset, sent)?;
    Ok(sent)
}

/// copy_file_range(2).
pub fn copy_file_range(libos: &mut Libos, arguments: Arguments) -> Answer {
    let Arguments([from, from_at, to, to_at, count, flags]) = arguments;
    if flags != 0 {
        return Err(Errno::EINVAL.into());
    }
    let (from_offset, to_offset) = (own_offset(from_at)?, own_offset(to_at)?);
    let (from, to) = ((from as i32, from_offset), (to as i32, to_offset));
    let copied = change(libos, |files, devices| files.copy_range(devices, from, to, count, now()))?;
    advance(from_at, from_offset, copied)?;
    advance(to_at, to_offset, copied)?;
    Ok(copied)
}

/// fsync(2) and similar calls: files in memory need none, disks may.
pub fn sync_file(libos: &mut Libos, arguments: Arguments) -> Answer {
    let Arguments([file, ..]) = arguments;
    match disk::disk(libos, file as i32) {
        Some(disk) => disk::sync(libos, disk),
        None => advise(libos, arguments),
    }
}

/// posix_fadvise(2) and readahead(2): all advice is ignored.
pub fn advise(libos: &mut Libos, Arguments([file, ..]): Arguments) -> Answer {
    done(libos.files.check(file as i32))
}
