//! The file that the image was loaded from, which the tender maps for whoever wants to read it: `/proc/self/exe`.

#![expect(unsafe_code, reason = "the file is tender memory, reached by address")]

use crate::errno::Errno;
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use husk::abi::call::Number;
use husk::{boot, gate};

/// Whether the tender has been asked to map it.
static ATTACHED: AtomicBool = AtomicBool::new(false);

/// Its size in bytes.
pub fn size() -> u64 {
    boot::info().image_file.length
}

/// Its bytes.
pub fn bytes() -> Result<&'static [u8], Errno> {
    let file = boot::info().image_file;
    if file.length == 0 {
        return Ok(&[]);
    }
    if !ATTACHED.load(Relaxed) {
        gate::call(Number::AttachImage, 0, 0, 0, 0).map_err(|_| Errno::ENOMEM)?;
        ATTACHED.store(true, Relaxed);
    }
    // SAFETY: the tender says that the file is readable there, for good, and nobody writes to it.
    Ok(unsafe { slice::from_raw_parts(file.start as *const u8, file.length as usize) })
}
