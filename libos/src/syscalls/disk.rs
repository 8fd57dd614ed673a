//! Calls on disks: `/dev/NAME` behaves as a block device of Linux.

use super::arguments::done;
use crate::answer::{Answer, On, Sleep, Stop, Then};
use crate::disk;
use crate::disk::call::Call;
use crate::errno::Errno;
use crate::fs::description::Access;
use crate::fs::foreign::{Foreign, Owner};
use crate::fs::transfer::{TRANSFER_MAXIMUM, offset as checked_offset};
use crate::state::Libos;
use crate::user::{self, Slice};
use alloc::vec::Vec;
use core::ops::Range;
use husk::abi::block::{DISCARD, FLUSH, READ, WRITE, WRITE_ZEROES};
use linux_raw_sys::general::*;

/// Requests of ioctl(2) on block devices, which the bindings lack: `linux/fs.h`.
mod request {
    pub const READ_ONLY: u32 = 0x125e;
    pub const SIZE_IN_512: u32 = 0x1260;
    pub const FLUSH: u32 = 0x1261;
    pub const SECTOR: u32 = 0x1268;
    pub const DISCARD: u32 = 0x1277;
    pub const PHYSICAL_SECTOR: u32 = 0x127b;
    pub const ZERO: u32 = 0x127f;
    pub const BLOCK: u32 = 0x8008_1270;
    pub const SIZE: u32 = 0x8008_1272;
}

/// Attaches the disks, for the files to show. A disk is taken into use when a call first needs it.
#[cold]
pub fn attach(libos: &mut Libos) {
    for (number, name, block) in disk::attached() {
        // Without memory for it there is no disk; a program so short of memory does not run for long.
        let _ = libos.files.add_disk(number, name, block);
    }
}

/// Number, among all devices, of the disk behind a descriptor.
#[inline]
pub fn disk(libos: &Libos, file: i32) -> Option<u32> {
    match libos.files.foreign(file) {
        Ok(Some(Foreign { owner: Owner::Disk, handle })) => Some(handle),
        _ => None,
    }
}

/// Reads into these claims, from an offset or that of the descriptor.
pub fn read(libos: &mut Libos, file: i32, disk: u32, slices: &[Slice], at: Option<u64>) -> Answer {
    transfer(libos, file, disk, (READ, 0), slices, at)
}

/// Writes from these claims, at an offset or that of the descriptor. `flags` may have `O_DSYNC`.
pub fn write(libos: &mut Libos, file: i32, disk: u32, slices: &[Slice], at: Option<u64>, flags: u32) -> Answer {
    transfer(libos, file, disk, (WRITE, flags), slices, at)
}

fn transfer(
    libos: &mut Libos,
    file: i32,
    disk: u32,
    (operation, flags): (u16, u32),
    slices: &[Slice],
    at: Option<u64>,
) -> Answer {
    let thread = libos.threads.current().id;
    if libos.disks.call_of(thread).is_none() {
        let access = if operation == READ { Access::READ } else { Access::WRITE };
        let place = libos.files.disk_place(file, access)?;
        let (size, sector) = (place.size, place.sector);
        let start = match at {
            Some(at) => checked_offset(at)?,
            None if operation == WRITE && place.flags & O_APPEND != 0 => size,
            None => place.offset,
        };
        let wanted = slices.iter().fold(0u64, |sum, slice| sum.saturating_add(slice.length)).min(TRANSFER_MAXIMUM);
        let end = start.saturating_add(wanted).min(size);
        if wanted == 0 || start >= end {
            // There is nothing to read beyond the end, and no room to write.
            return if wanted > 0 && operation == WRITE { Err(Errno::ENOSPC.into()) } else { Ok(0) };
        }
        let flushes = operation == WRITE && (place.flags | flags) & O_DSYNC != 0;
        let mut own = Vec::new();
        own.try_reserve_exact(slices.len()).map_err(|_| Errno::ENOMEM)?;
        own.extend_from_slice(slices);
        let call = Call::transfer(thread, disk, sector, operation, own, start..end, flushes);
        libos.disks.begin(call)?;
    }
    let count = go_on(libos, thread)?;
    if at.is_none() {
        libos.files.move_on(file, count);
    }
    Ok(count)
}

/// Makes a request without memory; all such requests but a flush change a range.
fn bare(libos: &mut Libos, disk: u32, operation: u16, range: Range<u64>) -> Answer {
    let thread = libos.threads.current().id;
    if libos.disks.call_of(thread).is_none() {
        libos.disks.begin(Call::bare(thread, disk, operation, range))?;
    }
    go_on(libos, thread)
}

/// Advances the current thread's call: returns its result, or waits.
fn go_on(libos: &mut Libos, thread: u32) -> Answer {
    let Libos { disks, threads, .. } = libos;
    disks.poll(threads);
    let result = disks.go_on(thread);
    threads.current().held = result.is_none();
    match result {
        Some(result) => {
            // Other threads may have waited for this call to end.
            disks.wake_excluded(threads);
            Ok(result?)
        }
        None => Err(until_woken()),
    }
}

/// Waits until no call on a disk uses these bytes of the program's memory, which are about to be unmapped or protected.
pub fn await_memory(libos: &mut Libos, address: u64, length: u64) -> Result<(), Stop> {
    let Libos { disks, threads, .. } = libos;
    let thread = threads.current();
    thread.held = disks.uses(Slice::new(address, length));
    if !thread.held {
        return Ok(());
    }
    disks.await_end(thread.id)?;
    Err(until_woken())
}

fn until_woken() -> Stop {
    Stop::Sleep(Sleep { on: On::Time, deadline: None, woken: Then::Again, expired: Then::Again })
}

/// fsync(2) and similar calls.
pub fn sync(libos: &mut Libos, disk: u32) -> Answer {
    bare(libos, disk, FLUSH, 0..0)
}

/// fallocate(2): zeroes a range, with or without keeping its space.
pub fn allocate(libos: &mut Libos, file: i32, disk: u32, mode: u32, offset: u64, length: u64) -> Answer {
    let operation = match mode {
        mode if mode == FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE => DISCARD,
        mode if mode & !FALLOC_FL_KEEP_SIZE == FALLOC_FL_ZERO_RANGE => WRITE_ZEROES,
        _ => return Err(Errno::EOPNOTSUPP.into()),
    };
    let size = libos.files.disk_place(file, Access::WRITE)?.size;
    if offset >= size || length == 0 {
        return Err(Errno::EINVAL.into());
    }
    erase(libos, file, disk, operation, offset..offset.saturating_add(length).min(size))
}

/// Fills whole sectors with zeros.
fn erase(libos: &mut Libos, file: i32, disk: u32, operation: u16, range: Range<u64>) -> Answer {
    let place = libos.files.disk_place(file, Access::WRITE)?;
    if range.end > place.size || !range.start.is_multiple_of(place.sector) || !range.end.is_multiple_of(place.sector) {
        return Err(Errno::EINVAL.into());
    }
    bare(libos, disk, operation, range)
}

/// ioctl(2) of block devices.
pub fn ioctl(libos: &mut Libos, file: i32, disk: u32, request: u32, argument: u64) -> Answer {
    let place = libos.files.disk_place(file, Access::empty())?;
    match request {
        request::SIZE => done(user::write(argument, &place.size)),
        request::SIZE_IN_512 => done(user::write(argument, &(place.size / 512))),
        request::BLOCK | request::SECTOR | request::PHYSICAL_SECTOR => {
            done(user::write(argument, &(place.sector as u32)))
        }
        request::READ_ONLY => done(user::write(argument, &u32::from(place.read_only))),
        request::FLUSH => sync(libos, disk),
        request::DISCARD | request::ZERO => {
            let [start, length]: [u64; 2] = user::read(argument)?;
            let end = start.checked_add(length).ok_or(Errno::EINVAL)?;
            let operation = if request == request::DISCARD { DISCARD } else { WRITE_ZEROES };
            erase(libos, file, disk, operation, start..end)
        }
        _ => Err(Errno::ENOTTY.into()),
    }
}
