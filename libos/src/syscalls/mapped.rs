//! Shared mappings of files of volumes: calls that fill them, and calls that wait until what the program has stored is written back.

use super::folder;
use crate::errno::Errno;
use crate::folders::mapped::search::Progress;
use crate::fs::folder::{Ask, FolderFile, Memory};
use crate::fs::mapping::Wish;
use crate::fs::mirror::{Mirror, Mirrored, Next};
use crate::state::{Libos, now};
use crate::syscall_result::{Stop, SyscallResult};
use alloc::sync::Arc;
use core::ops::Range;
use husk::abi::folder::{READ, Request, SEEK, STAT};
use husk::abi::memory::{PAGE, Rights};
use linux_raw_sys::general::SEEK_DATA;

/// Maps bytes of a volume's file, which begin at a page, with MAP_SHARED. Returns their address.
pub fn map(
    libos: &mut Libos,
    (descriptor, opened): (i32, FolderFile),
    bytes: Range<u64>,
    rights: Rights,
    wish: Wish,
) -> SyscallResult {
    let thread = libos.threads.current().id;
    let mirror = libos.folders.mirror(thread, opened, &mut libos.random)?;
    let length = bytes.end - bytes.start;
    let pages = bytes.start / PAGE..bytes.end.div_ceil(PAGE);
    let mapped = match libos.folders.kept(thread).and_then(|kept| *kept) {
        // The call is restarted: its mapping is being filled.
        Some(mapped) => mapped,
        None => {
            folder::about(libos, opened, STAT, Request::default())?;
            let mapped = libos.files.map(descriptor, bytes, Some(&mirror), rights, wish, now())?;
            if let Some(kept) = libos.folders.kept(thread) {
                *kept = Some(mapped);
            }
            mapped
        }
    };
    match fill(libos, opened, &mirror, pages) {
        Ok(()) => {}
        Err(Stop::Errno(errno)) => {
            libos.files.unmap(mapped, length, now())?;
            return Err(errno.into());
        }
        Err(wait) => return Err(wait),
    }
    if let Err(errno) = libos.files.open_mapping(mapped, length, rights) {
        libos.files.unmap(mapped, length, now())?;
        return Err(errno.into());
    }
    Ok(mapped)
}

/// Reads the contents of pages into a mapping, as far as they are not there.
fn fill(libos: &mut Libos, file: FolderFile, mirror: &Mirrored, pages: Range<u64>) -> Result<(), Stop> {
    loop {
        let Libos { folders, threads, .. } = &mut *libos;
        if let Some(reply) = folders.take_reply(threads)? {
            match reply.check() {
                // There is no data up to the end.
                Ok(_) | Err(Errno::ENXIO) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
        let next = mirror.lock().next(pages.clone());
        let ask = match next {
            Next::Ready => return Ok(()),
            Next::Wait => return folders.await_any(threads),
            Next::Seek(offset) => file.ask(SEEK, Request { flags: SEEK_DATA, offset, ..Request::default() }),
            Next::Read(pages) => {
                let offset = pages.start * PAGE;
                let data = Memory::Window(mirror.lock().read_into(pages)?);
                Ask { data, ..file.ask(READ, Request { offset, ..Request::default() }) }
            }
        };
        let is_read = ask.operation == READ;
        match folders.ask(threads, file.folder, ask) {
            Err(Stop::Errno(errno)) => {
                if is_read {
                    mirror.lock().read_not();
                }
                return Err(errno.into());
            }
            asked => asked.map(drop)?,
        }
    }
}

/// Makes a call once what the program has stored to mapped files is on its way to their volumes: to `which`, if they are mapped.
pub fn written_back(
    libos: &mut Libos,
    which: impl Fn(&Mirror) -> bool,
    call: impl FnOnce(&mut Libos) -> SyscallResult,
) -> SyscallResult {
    if !libos.folders.mapped.any() {
        return call(libos);
    }
    let Libos { folders, threads, .. } = &mut *libos;
    let thread = threads.current().id;
    // The call may have been restarted.
    if let Some(mut search) = *folders.search(thread)? {
        let progress = folders.write_back(&mut search, &which, usize::MAX);
        folders.release_held(threads);
        let is_all = progress? == Progress::All;
        *folders.search(thread)? = Some(search).filter(|_| !is_all);
        if !is_all {
            folders.await_any(threads)?;
        }
        threads.current().held = false;
    }
    call(libos)
}

/// Condition for [`written_back`]: one file.
pub fn is(file: FolderFile) -> impl Fn(&Mirror) -> bool {
    move |mirror| mirror.folder == file.folder && mirror.number == file.number
}

/// Condition for [`written_back`]: files that are mapped at any of these addresses.
pub fn at(libos: &Libos, address: u64, length: u64) -> impl Fn(&Mirror) -> bool + use<> {
    let mut files = alloc::vec::Vec::new();
    for mirror in libos.files.mappings.mirrors(address, length) {
        let mirror = mirror.lock();
        if files.try_reserve(1).is_ok() {
            files.push((mirror.folder, mirror.number));
        }
    }
    move |mirror| files.contains(&(mirror.folder, mirror.number))
}

/// A file that is mapped at this address by a descriptor for writing.
pub fn writer(libos: &Libos, address: u64) -> Option<FolderFile> {
    libos.files.mappings.mirrors(address, 1).next().map(Arc::clone)?.lock().writer
}
