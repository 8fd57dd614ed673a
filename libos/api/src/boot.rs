//! Access to the boot information that the tender wrote for the guest.

#![expect(unsafe_code, reason = "the boot information block is tender memory, reached by address")]

use core::ptr::null_mut;
use core::slice;
use core::sync::atomic::{AtomicPtr, Ordering::Relaxed};
use husk_abi::boot::{Info, Strings};

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

fn strings(strings: &Strings) -> impl Iterator<Item = &'static [u8]> {
    let bytes = match strings.bytes.length {
        0 => &[][..],
        // SAFETY: the contract guarantees the strings at this region; the tender maps it read-only for the guest's lifetime.
        length => unsafe { slice::from_raw_parts(strings.bytes.start as *const u8, length as usize) },
    };
    bytes.split_inclusive(|byte| *byte == 0).map(|string| string.strip_suffix(b"\0").unwrap_or(string))
}
