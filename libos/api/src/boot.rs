//! Access to the boot information that the tender wrote for the guest.

#![expect(unsafe_code, reason = "the boot information block is tender memory, reached by address")]

use core::mem::offset_of;
use core::ptr::null_mut;
use core::slice;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use husk_abi::boot::{HOSTNAME, Info, Strings};
use husk_abi::memory::Region;
use husk_abi::stream::Stream;

static INFO: AtomicPtr<Info> = AtomicPtr::new(null_mut());

/// Stores the address of the boot information; every other module of this crate relies on it.
pub fn init(info: &'static Info) {
    INFO.store(core::ptr::from_ref(info).cast_mut(), Relaxed);
}

/// Returns the boot information.
///
/// # Panics
///
/// If [`init`] has not been called.
#[inline]
pub fn info() -> &'static Info {
    let info = INFO.load(Relaxed);
    assert!(!info.is_null(), "husk::boot::init comes first");
    // SAFETY: `init` stored a `&'static Info` here, and the tender maps the block read-only.
    unsafe { &*info }
}

/// Program arguments as bytes, the program's own name first.
pub fn arguments() -> impl Iterator<Item = &'static [u8]> {
    strings(&info().arguments)
}

/// Environment as bytes, each of the form `NAME=value`.
pub fn environment() -> impl Iterator<Item = &'static [u8]> {
    strings(&info().environment)
}

/// Name of the machine.
pub fn hostname() -> &'static [u8] {
    let info = info();
    match has(info, offset_of!(Info, hostname), size_of::<Region>()) && info.hostname.length > 0 {
        true => bytes(&info.hostname),
        false => HOSTNAME.as_bytes(),
    }
}

/// Paths of the host's files that the tender offers.
pub fn host_files() -> impl Iterator<Item = &'static [u8]> {
    let info = info();
    let is_there = has(info, offset_of!(Info, host_files), size_of::<Strings>());
    strings(if is_there { &info.host_files } else { &NONE })
}

/// Standard input, output and error.
pub fn streams() -> [Stream; 3] {
    let info = info();
    let is_there = has(info, offset_of!(Info, streams), size_of::<[Stream; 3]>());
    if is_there { info.streams } else { Default::default() }
}

/// Strings of an older tender, which had no such field.
const NONE: Strings = Strings { bytes: Region { start: 0, length: 0 }, count: 0 };

/// Returns true if the tender knows the field of this offset and size.
fn has(info: &Info, offset: usize, size: usize) -> bool {
    info.size as usize >= offset + size
}

fn strings(strings: &Strings) -> impl Iterator<Item = &'static [u8]> {
    let strings = bytes(&strings.bytes).split_inclusive(|byte| *byte == 0);
    strings.map(|string| string.strip_suffix(b"\0").unwrap_or(string))
}

fn bytes(region: &Region) -> &'static [u8] {
    match region.length {
        0 => &[],
        // SAFETY: the contract guarantees bytes at this region; the tender maps it read-only for the guest's lifetime.
        length => unsafe { slice::from_raw_parts(region.start as *const u8, length as usize) },
    }
}
