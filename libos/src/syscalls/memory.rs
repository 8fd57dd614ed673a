//! Calls about memory but for mmap(2): the program's claims are checked here, the work is done by [`crate::memory`], or by
//! [`crate::fs`] where a file is mapped.

use super::{Arguments, files, mapped};
use crate::errno::Errno;
use crate::memory::{self, MEMORY, sparse};
use crate::notices::{self, notice};
use crate::state::{Libos, now};
use crate::syscall_result::{Stop, SyscallResult};
use crate::user;
use core::ptr;
use husk::abi::memory::{PAGE, Region, Rights};
use linux_raw_sys::general::*;

/// Waits until no call on a disk uses these bytes of the program's memory, which are about to be unmapped or protected.
pub fn await_memory(libos: &mut Libos, address: u64, length: u64) -> Result<(), Stop> {
    libos.disks.await_memory(&mut libos.threads, address, length)?;
    libos.folders.await_memory(&mut libos.threads, address, length)
}

/// brk(2). The break is 0, which makes malloc use mmap; it cannot be moved.
pub fn brk(_: &mut Libos, _: Arguments) -> SyscallResult {
    Ok(0)
}

/// Maps zeros.
pub fn map(address: u64, length: u64, rights: Rights, flags: u32) -> Result<u64, Errno> {
    if flags & (MAP_FIXED | MAP_FIXED_NOREPLACE) != 0 {
        return memory::of(address).lock().map_at(address, length, rights, flags & MAP_FIXED != 0);
    }
    // The address without MAP_FIXED is only a hint, taken if it is free. Linux rounds it down.
    let address = address - address % PAGE;
    if address != 0
        && let Ok(mapped) = memory::of(address).lock().map_at(address, length, rights, false)
    {
        return Ok(mapped);
    }
    if rights.is_empty()
        && let Some(reserved) = sparse::map(length)
    {
        return Ok(reserved);
    }
    MEMORY.lock().map(length, rights).inspect_err(|errno| notice_refused(*errno, length))
}

/// Notifies the tender that there is not as much memory as the program asked for.
pub fn notice_refused(errno: Errno, length: u64) {
    if errno == Errno::ENOMEM {
        notices::give(notice::MEMORY_REFUSED, length);
    }
}

/// munmap(2).
pub fn munmap(libos: &mut Libos, Arguments([address, length, ..]): Arguments) -> SyscallResult {
    if length == 0 {
        return Err(Errno::EINVAL.into());
    }
    await_memory(libos, address, length)?;
    if !libos.files.mappings.is_empty() && address.is_multiple_of(PAGE) {
        let of = mapped::at(libos, address, length);
        mapped::written_back(libos, of, |libos| {
            libos.files.unmap(address, length, now())?;
            Ok(0)
        })?;
        libos.settle();
    }
    match memory::of(address).lock().unmap(address, length) {
        // Outside the heap there are no mappings: Linux returns no error then.
        Ok(()) | Err(Errno::ENOMEM) => {
            libos.copies.remove(address, length);
            Ok(0)
        }
        Err(errno) => Err(errno.into()),
    }
}

/// mremap(2).
pub fn mremap(libos: &mut Libos, Arguments([address, old, new, flags, to, _]): Arguments) -> SyscallResult {
    let flags = flags as u32;
    let is_strange = flags & !(MREMAP_MAYMOVE | MREMAP_FIXED) != 0 || flags == MREMAP_FIXED;
    if !address.is_multiple_of(PAGE) || old == 0 || new == 0 || is_strange {
        return Err(Errno::EINVAL.into());
    }
    if Region::contains(&visible_stack(), address) {
        return Err(Errno::ENOMEM.into());
    }
    await_memory(libos, address, old)?;
    if libos.files.mappings.contains(address, 0).is_some() {
        // Only the file decides where else its mappings can be.
        if flags & MREMAP_FIXED != 0 {
            return Err(Errno::EINVAL.into());
        }
        // The rest of a mapping that shrinks is unmapped.
        let of = mapped::at(libos, address, old);
        return mapped::written_back(libos, of, |libos| {
            let resized = libos.files.remap(address, (old, new), flags & MREMAP_MAYMOVE != 0, now());
            Ok(resized.unwrap_or(Err(Errno::EFAULT))?)
        });
    }
    if flags & MREMAP_FIXED != 0 {
        await_memory(libos, to, new)?;
        let memory = memory::of(address);
        return match ptr::eq(memory, memory::of(to)) {
            true => {
                let moved = memory.lock().move_to(address, old, to, new)?;
                libos.copies.remove(to, new);
                libos.copies.moved((address, old), (to, new));
                Ok(moved)
            }
            // The move would be from the heap to the sparse region, or back.
            false => Err(Errno::ENOMEM.into()),
        };
    }
    let resized = memory::of(address).lock().resize(address, old, new, flags & MREMAP_MAYMOVE != 0);
    if let Ok(to) = resized {
        libos.copies.moved((address, old), (to, new));
    }
    Ok(resized.inspect_err(|errno| notice_refused(*errno, new))?)
}

/// Part of the main thread's stack that counts as mapped when musl probes it downwards with mremap, page by page, to find its
/// size. Linux shows as much of a new process's stack; showing all of it would cost thousands of calls.
fn visible_stack() -> Region {
    let stack = husk::boot::info().main_stack;
    Region::between(stack.end().saturating_sub(stack.length.min(128 << 10)), stack.end())
}

/// mprotect(2).
pub fn mprotect(libos: &mut Libos, Arguments([address, length, protection, ..]): Arguments) -> SyscallResult {
    let rights = rights(protection)?;
    let length = length.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)?;
    let info = husk::boot::info();
    if let Some(done) = libos.sigaltstack_guard.protect(info, address, length, rights) {
        return done.map(|()| 0).map_err(Stop::from);
    }
    if info.image.contains(address) || info.main_stack.contains(address) {
        return Err(Errno::EACCES.into());
    }
    await_memory(libos, address, length)?;
    if !address.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL.into());
    }
    if let Some(done) = libos.files.protect(address, length, rights) {
        memory::flush_pending_mprotect();
        return Ok(done.map(|()| 0)?);
    }
    if rights.contains(Rights::WRITE) && length > 0 && libos.copies.meets(address, length) {
        return Err(Errno::EACCES.into());
    }
    let memory = memory::of(address);
    for other in [&MEMORY, &sparse::SPARSE].into_iter().filter(|other| !ptr::eq(*other, memory)) {
        other.lock().flush_pending_mprotect()?;
    }
    memory.lock().protect(address, length, rights)?;
    Ok(0)
}

/// madvise(2).
pub fn madvise(libos: &mut Libos, Arguments([address, length, advice, ..]): Arguments) -> SyscallResult {
    let length = length.checked_next_multiple_of(PAGE).ok_or(Errno::EINVAL)?;
    if !address.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL.into());
    }
    match advice as u32 {
        // Programs probe for an advice with an empty range.
        MADV_DONTNEED | MADV_FREE if length == 0 => Ok(0),
        // Contents of a file stay.
        MADV_DONTNEED if libos.files.mappings.contains(address, length) == Some(true) => Ok(0),
        MADV_DONTNEED | MADV_FREE => {
            memory::of(address).lock().clear(address, length)?;
            Ok(0)
        }
        MADV_NORMAL | MADV_RANDOM | MADV_SEQUENTIAL | MADV_WILLNEED | MADV_DONTFORK | MADV_DOFORK | MADV_MERGEABLE
        | MADV_UNMERGEABLE | MADV_HUGEPAGE | MADV_NOHUGEPAGE | MADV_DONTDUMP | MADV_DODUMP | MADV_COLD
        | MADV_PAGEOUT | MADV_POPULATE_READ | MADV_POPULATE_WRITE => Ok(0),
        _ => Err(Errno::EINVAL.into()),
    }
}

/// msync(2): of files in memory, no data moves, because the pages of shared mappings are those of their files.
pub fn msync(libos: &mut Libos, Arguments([address, length, flags, ..]): Arguments) -> SyscallResult {
    let both = MS_ASYNC | MS_SYNC;
    let flags = flags as u32;
    if !address.is_multiple_of(PAGE) || flags & !(both | MS_INVALIDATE) != 0 || flags & both == both {
        return Err(Errno::EINVAL.into());
    }
    if let Some(done) = libos.files.sync_mapped(address, length, now()) {
        done?;
        return match mapped::writer(libos, address) {
            Some(file) if flags & MS_ASYNC == 0 => files::sync_mapped(libos, file),
            _ => Ok(0),
        };
    }
    is_mapped(libos, address, length)?;
    Ok(0)
}

/// mlock(2) and munlock(2): no effect, because the guest never pages memory out.
pub fn stay(libos: &mut Libos, Arguments([address, length, ..]): Arguments) -> SyscallResult {
    let start = address - address % PAGE;
    is_mapped(libos, start, length.saturating_add(address - start))?;
    Ok(0)
}

/// mincore(2): all mapped pages count as resident.
pub fn mincore(libos: &mut Libos, Arguments([address, length, into, ..]): Arguments) -> SyscallResult {
    if !address.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL.into());
    }
    is_mapped(libos, address, length)?;
    for page in 0..length.div_ceil(PAGE) {
        user::write(into.wrapping_add(page), &1u8)?;
    }
    Ok(0)
}

/// ENOMEM unless all of these bytes are the program's.
fn is_mapped(libos: &Libos, address: u64, length: u64) -> Result<(), Errno> {
    if let Some(whole) = libos.files.mappings.contains(address, length) {
        return if whole { Ok(()) } else { Err(Errno::ENOMEM) };
    }
    let info = husk::boot::info();
    let last = address.checked_add(length.max(1) - 1).ok_or(Errno::ENOMEM)?;
    if [info.image, info.main_stack, info.image_file]
        .iter()
        .any(|region| region.contains(address) && region.contains(last))
    {
        return Ok(());
    }
    memory::of(address).lock().is_mapped(address, length)
}

/// Converts `PROT_*` to rights. EACCES with `PROT_EXEC`: all code is in the image.
pub fn rights(protection: u64) -> Result<Rights, Errno> {
    let has = |bit: u32| protection & u64::from(bit) != 0;
    if has(PROT_EXEC) {
        notices::give_once(notice::EXECUTION_REFUSED, 0);
        return Err(Errno::EACCES);
    }
    Ok(match (has(PROT_WRITE), has(PROT_READ)) {
        (true, _) => Rights::READ | Rights::WRITE,
        (false, true) => Rights::READ,
        (false, false) => Rights::empty(),
    })
}
