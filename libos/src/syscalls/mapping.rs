//! mmap(2). Of files, a private mapping is a copy, or shows the image; a shared one is the file, or refused.

use super::{Arguments, mapped, memory as calls, transfer};
use crate::errno::Errno;
use crate::fs::data::SIZE_MAXIMUM;
use crate::fs::description::Access;
use crate::fs::device::Device;
use crate::fs::inode::Kind;
use crate::fs::mapping::Wish;
use crate::image;
use crate::memory::{self, MEMORY};
use crate::notices::{self, notice};
use crate::state::{Libos, now};
use crate::syscall_result::{Stop, SyscallResult};
use crate::user::Slice;
use husk::abi::memory::{PAGE, Rights};
use linux_raw_sys::general::*;

/// mmap(2).
pub fn mmap(
    libos: &mut Libos,
    Arguments([address, length, protection, flags, file, offset]): Arguments,
) -> SyscallResult {
    let flags = flags as u32;
    let rights = calls::rights(protection)?;
    let length = length.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)?;
    if length == 0 || flags & (MAP_PRIVATE | MAP_SHARED) == 0 || !offset.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL.into());
    }
    if flags & MAP_HUGETLB != 0 {
        return Err(Errno::ENOMEM.into());
    }
    if flags & MAP_FIXED != 0 {
        calls::await_memory(libos, address, length)?;
        libos.copies.remove(address, length);
    }
    if flags & MAP_ANONYMOUS != 0 {
        if address == 0
            && flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) == 0
            && libos.sigaltstack_guard.is_signal_stack(length, rights, flags & MAP_STACK != 0)
            && let Some(place) =
                libos.sigaltstack_guard.map(husk::boot::info()).or_else(|| MEMORY.lock().map_signal_stack())
        {
            return Ok(place);
        }
        return Ok(calls::map(address, length, rights, flags)?);
    }
    let place = Slice::new(address, length);
    match flags & MAP_SHARED != 0 {
        true => shared(libos, place, rights, flags, (file as i32, offset)),
        false => private(libos, place, rights, flags, (file as i32, offset)),
    }
}

/// Maps a file from an offset on with MAP_SHARED, at `place` or elsewhere. ENODEV for what cannot follow the file; of a file of the
/// host, a mapping to be read is a copy (docs/files.md).
fn shared(libos: &mut Libos, place: Slice, rights: Rights, flags: u32, (file, offset): (i32, u64)) -> SyscallResult {
    // No file has such memory as MAP_SYNC asks for.
    if flags & MAP_TYPE == MAP_SHARED_VALIDATE && flags & MAP_SYNC != 0 {
        return Err(Errno::EOPNOTSUPP.into());
    }
    libos.files.check(file)?;
    match libos.files.kind(file)? {
        Kind::Regular(_) => {}
        // It never changes.
        Kind::Image if !rights.contains(Rights::WRITE) => return private(libos, place, rights, flags, (file, offset)),
        Kind::Image => return Err(Errno::EACCES.into()),
        Kind::Folder(opened) if libos.files.is_volume(opened.file.folder) => {
            let opened = opened.file;
            if opened.format != S_IFREG {
                return Err(Errno::ENODEV.into());
            }
            let end = offset.checked_add(place.length).filter(|end| *end <= SIZE_MAXIMUM).ok_or(Errno::EOVERFLOW)?;
            let mapped = mapped::map(libos, (file, opened), offset..end, rights, wish(place, flags));
            return mapped.inspect_err(|stop| {
                if let Stop::Errno(errno) = stop {
                    calls::notice_refused(*errno, place.length);
                }
            });
        }
        // A copy of what the host has now, unless the program may write to the file, or to the mapping later: it would see none of
        // that, or lose it.
        Kind::Folder(_)
            if !rights.contains(Rights::WRITE) && !libos.files.description(file)?.access().contains(Access::WRITE) =>
        {
            libos.copies.reserve()?;
            let mapped = private(libos, place, rights, flags, (file, offset))?;
            libos.copies.add(mapped, place.length);
            return Ok(mapped);
        }
        Kind::Folder(opened) if opened.file.format == S_IFREG => {
            notices::give_once(notice::MAPPING_REFUSED, 0);
            return Err(Errno::ENODEV.into());
        }
        Kind::Device(Device::Zero) => return Ok(calls::map(place.address, place.length, rights, flags)?),
        _ => return Err(Errno::ENODEV.into()),
    }
    let end = offset.checked_add(place.length).filter(|end| *end <= SIZE_MAXIMUM).ok_or(Errno::EOVERFLOW)?;
    let mapped = libos.files.map(file, offset..end, None, rights, wish(place, flags), now());
    Ok(mapped.inspect_err(|errno| calls::notice_refused(*errno, place.length))?)
}

/// The address that a call asks for.
fn wish(place: Slice, flags: u32) -> Wish {
    match flags {
        flags if flags & MAP_FIXED_NOREPLACE != 0 => Wish::AtFree(place.address),
        flags if flags & MAP_FIXED != 0 => Wish::At(place.address),
        _ => Wish::Anywhere,
    }
}

/// Maps a file from an offset on with MAP_PRIVATE, at `place` or elsewhere. ENODEV for a disk: its read would restart the call, and
/// end in a mapping that is gone.
fn private(libos: &mut Libos, place: Slice, rights: Rights, flags: u32, (file, offset): (i32, u64)) -> SyscallResult {
    if let Kind::Disk(_) = libos.files.kind(file)? {
        return Err(Errno::ENODEV.into());
    }
    if rights == Rights::READ
        && place.address == 0
        && let Some(bytes) = image_contents(libos, file)?
        && let Some(place) = part(bytes, offset, place.length)
    {
        return Ok(place);
    }
    let thread = libos.threads.current().id;
    let kept = libos.folders.kept(thread).and_then(|kept| *kept);
    let mapped = match kept {
        // The call is restarted: its mapping is being filled.
        Some(mapped) => mapped,
        None => calls::map(place.address, place.length, Rights::READ | Rights::WRITE, flags)?,
    };
    let filled = fill(libos, file as u64, offset, Slice::new(mapped, place.length));
    if let Err(wait @ Stop::Block(_)) = filled
        && let Some(kept) = libos.folders.kept(thread)
    {
        *kept = Some(mapped);
        return Err(wait);
    }
    let mut memory = memory::of(mapped).lock();
    if let Err(error) = filled.and_then(|()| Ok(memory.protect(mapped, place.length, rights)?)) {
        memory.unmap(mapped, place.length)?;
        return Err(error);
    }
    Ok(mapped)
}

/// Contents of a file that is the image, or that the image contains unchanged.
fn image_contents(libos: &Libos, file: i32) -> Result<Option<&'static [u8]>, Errno> {
    match libos.files.kind(file) {
        Ok(Kind::Image) => image::bytes().map(Some),
        Ok(Kind::Regular(_)) => Ok(libos.files.unchanged(file)),
        _ => Ok(None),
    }
}

/// Address at which a part of these contents can be read without a copy, if they have pages of their own.
fn part(contents: &'static [u8], offset: u64, length: u64) -> Option<u64> {
    let start = contents.as_ptr() as u64;
    // A small file shares its page with others, which a mapping must not show.
    let pages = (contents.len() as u64).next_multiple_of(PAGE);
    let whole = start.is_multiple_of(PAGE) && contents.len() as u64 >= PAGE;
    offset.checked_add(length).filter(|end| whole && *end <= pages).map(|_| start + offset)
}

/// Copies a file's contents into a new mapping, as far as they go.
fn fill(libos: &mut Libos, file: u64, mut offset: u64, mut into: Slice) -> Result<(), Stop> {
    while !into.is_empty() {
        match transfer::pread(libos, Arguments([file, into.address, into.length, offset, 0, 0])) {
            Ok(0) => break,
            Ok(count) => {
                into = into.after(count);
                offset += count;
            }
            Err(Stop::Errno(Errno::ESPIPE | Errno::EISDIR)) => return Err(Errno::ENODEV.into()),
            Err(error) => return Err(error),
        }
    }
    Ok(())
}
