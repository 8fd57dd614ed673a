//! Calls about memory: the program's claims are checked here, the work is done by [`crate::memory`].

use super::{Arguments, transfer};
use crate::errno::Errno;
use crate::fs::inode::Kind;
use crate::image;
use crate::memory::{self, MEMORY, sparse};
use crate::state::Libos;
use crate::syscall_result::{Stop, SyscallResult};
use crate::user::{self, Slice};
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use husk::abi::boot::Flags;
use husk::abi::call::{Number, notice};
use husk::abi::memory::{PAGE, Region, Rights};
use linux_raw_sys::general::*;

/// True if the tender has been notified of an attempt to map executable memory.
static TOLD_OF_EXECUTION: AtomicBool = AtomicBool::new(false);

/// Waits until no call on a disk uses these bytes of the program's memory, which are about to be unmapped or protected.
fn await_memory(libos: &mut Libos, address: u64, length: u64) -> Result<(), Stop> {
    libos.disks.await_memory(&mut libos.threads, address, length)?;
    libos.folders.await_memory(&mut libos.threads, address, length)
}

/// brk(2). The break is 0, which makes malloc use mmap; it cannot be moved.
pub fn brk(_: &mut Libos, _: Arguments) -> SyscallResult {
    Ok(0)
}

/// mmap(2).
pub fn mmap(
    libos: &mut Libos,
    Arguments([address, length, protection, flags, file, offset]): Arguments,
) -> SyscallResult {
    let flags = flags as u32;
    let rights = rights(protection)?;
    let length = length.checked_next_multiple_of(PAGE).ok_or(Errno::ENOMEM)?;
    if length == 0 || flags & (MAP_PRIVATE | MAP_SHARED) == 0 || !offset.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL.into());
    }
    if flags & MAP_HUGETLB != 0 {
        return Err(Errno::ENOMEM.into());
    }
    if flags & MAP_FIXED != 0 {
        await_memory(libos, address, length)?;
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
        return Ok(map(address, length, rights, flags)?);
    }
    if flags & MAP_PRIVATE == 0 && rights.contains(Rights::WRITE) {
        return Err(Errno::ENODEV.into());
    }
    if rights == Rights::READ
        && address == 0
        && let Some(bytes) = image_contents(libos, file as i32)?
        && let Some(place) = part(bytes, offset, length)
    {
        return Ok(place);
    }
    let thread = libos.threads.current().id;
    let kept = libos.folders.kept(thread).and_then(|kept| *kept);
    let mapped = match kept {
        // The call is restarted: its mapping is being filled.
        Some(mapped) => mapped,
        None => map(address, length, Rights::READ | Rights::WRITE, flags)?,
    };
    let filled = fill(libos, file, offset, Slice::new(mapped, length));
    if let Err(wait @ Stop::Block(_)) = filled
        && let Some(kept) = libos.folders.kept(thread)
    {
        *kept = Some(mapped);
        return Err(wait);
    }
    let mut memory = memory::of(mapped).lock();
    if let Err(error) = filled.and_then(|()| Ok(memory.protect(mapped, length, rights)?)) {
        memory.unmap(mapped, length)?;
        return Err(error);
    }
    Ok(mapped)
}

fn map(address: u64, length: u64, rights: Rights, flags: u32) -> Result<u64, Errno> {
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
fn notice_refused(errno: Errno, length: u64) {
    if errno == Errno::ENOMEM {
        give_notice(notice::MEMORY_REFUSED, length);
    }
}

fn give_notice(notice: u64, value: u64) {
    // A lost notice does no harm.
    let _ = husk::gate::call(Number::Notice, notice, value, 0, 0);
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

/// munmap(2).
pub fn munmap(libos: &mut Libos, Arguments([address, length, ..]): Arguments) -> SyscallResult {
    if length == 0 {
        return Err(Errno::EINVAL.into());
    }
    await_memory(libos, address, length)?;
    match memory::of(address).lock().unmap(address, length) {
        // Outside the heap there are no mappings: Linux returns no error then.
        Ok(()) | Err(Errno::ENOMEM) => Ok(0),
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
    if flags & MREMAP_FIXED != 0 {
        await_memory(libos, to, new)?;
        let memory = memory::of(address);
        return match ptr::eq(memory, memory::of(to)) {
            true => Ok(memory.lock().move_to(address, old, to, new)?),
            // The move would be from the heap to the sparse region, or back.
            false => Err(Errno::ENOMEM.into()),
        };
    }
    let resized = memory::of(address).lock().resize(address, old, new, flags & MREMAP_MAYMOVE != 0);
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
    let memory = memory::of(address);
    for other in [&MEMORY, &sparse::SPARSE].into_iter().filter(|other| !ptr::eq(*other, memory)) {
        other.lock().flush_pending_mprotect()?;
    }
    memory.lock().protect(address, length, rights)?;
    Ok(0)
}

/// madvise(2).
pub fn madvise(_: &mut Libos, Arguments([address, length, advice, ..]): Arguments) -> SyscallResult {
    let length = length.checked_next_multiple_of(PAGE).ok_or(Errno::EINVAL)?;
    if !address.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL.into());
    }
    match advice as u32 {
        // Programs probe for an advice with an empty range.
        MADV_DONTNEED | MADV_FREE if length == 0 => Ok(0),
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

/// msync(2): no effect, because there is no writable shared mapping.
pub fn msync(_: &mut Libos, Arguments([address, length, flags, ..]): Arguments) -> SyscallResult {
    let both = MS_ASYNC | MS_SYNC;
    let flags = flags as u32;
    if !address.is_multiple_of(PAGE) || flags & !(both | MS_INVALIDATE) != 0 || flags & both == both {
        return Err(Errno::EINVAL.into());
    }
    is_mapped(address, length)?;
    Ok(0)
}

/// mlock(2) and munlock(2): no effect, because the guest never pages memory out.
pub fn stay(_: &mut Libos, Arguments([address, length, ..]): Arguments) -> SyscallResult {
    let start = address - address % PAGE;
    is_mapped(start, length.saturating_add(address - start))?;
    Ok(0)
}

/// mincore(2): all mapped pages count as resident.
pub fn mincore(_: &mut Libos, Arguments([address, length, into, ..]): Arguments) -> SyscallResult {
    if !address.is_multiple_of(PAGE) {
        return Err(Errno::EINVAL.into());
    }
    is_mapped(address, length)?;
    for page in 0..length.div_ceil(PAGE) {
        user::write(into.wrapping_add(page), &1u8)?;
    }
    Ok(0)
}

/// ENOMEM unless all of these bytes are the program's.
fn is_mapped(address: u64, length: u64) -> Result<(), Errno> {
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
fn rights(protection: u64) -> Result<Rights, Errno> {
    let has = |bit: u32| protection & u64::from(bit) != 0;
    if has(PROT_EXEC) {
        if husk::boot::info().flags & Flags::VERBOSE.bits() != 0 && !TOLD_OF_EXECUTION.swap(true, Relaxed) {
            give_notice(notice::EXECUTION_REFUSED, 0);
        }
        return Err(Errno::EACCES);
    }
    Ok(match (has(PROT_WRITE), has(PROT_READ)) {
        (true, _) => Rights::READ | Rights::WRITE,
        (false, true) => Rights::READ,
        (false, false) => Rights::empty(),
    })
}
