//! The file that the image was loaded from, which the tender maps on request: for `/proc/self/exe`, and for the files in the
//! image.

#![expect(unsafe_code, reason = "the file is tender memory, reached by address, and so are the program headers")]

use crate::errno::Errno;
use alloc::vec::Vec;
use core::slice;
use core::sync::atomic::{AtomicBool, Ordering::Relaxed};
use husk::abi::call::Number;
use husk::abi::{files, note};
use husk::{boot, gate};
use zerocopy::FromBytes;

/// True if the tender has mapped it.
static ATTACHED: AtomicBool = AtomicBool::new(false);

/// Size of the file in bytes.
pub fn size() -> u64 {
    boot::info().image_file.length
}

/// Contents of the file.
pub fn bytes() -> Result<&'static [u8], Errno> {
    let file = boot::info().image_file;
    if file.length == 0 {
        return Ok(&[]);
    }
    if !ATTACHED.load(Relaxed) {
        gate::call(Number::AttachImage, 0, 0, 0, 0).map_err(|_| Errno::ENOMEM)?;
        ATTACHED.store(true, Relaxed);
    }
    // SAFETY: the tender has mapped the file there, readable and for good, and it is never written.
    Ok(unsafe { slice::from_raw_parts(file.start as *const u8, file.length as usize) })
}

/// Apparent path of the program: that by which it was started, made absolute.
pub fn program() -> Vec<u8> {
    let name = husk::boot::arguments().next().unwrap_or(b"program");
    let name = name.strip_prefix(b"./").unwrap_or(name);
    if name.starts_with(b"/") { name.to_vec() } else { [b"/", name].concat() }
}

/// The tree of files in the image ([`husk::abi::files`]); empty if there is none.
pub fn files() -> Result<&'static [u8], Errno> {
    let Some(files::Note { offset, length, .. }) = files_note() else { return Ok(&[]) };
    let end = offset.checked_add(length).ok_or(Errno::EIO)?;
    bytes()?.get(offset as usize..end as usize).ok_or(Errno::EIO)
}

/// Words of an ELF program header; used are type (with flags), address, and size in the file.
type Header = [u64; 7];

/// Note with the place of the files.
fn files_note() -> Option<files::Note> {
    /// `PT_NOTE`, which the bindings lack.
    const NOTES: u32 = 4;
    let info = boot::info();
    // SAFETY: the tender passed address and number of the program headers; they are part of the image, which is not unmapped.
    let headers =
        unsafe { slice::from_raw_parts(info.program_headers as *const Header, info.program_header_count as usize) };
    headers.iter().filter(|[kind, ..]| *kind as u32 == NOTES).find_map(|[_, _, address, _, size, ..]| {
        let start = address.wrapping_add(info.load_bias);
        // SAFETY: the program header describes a readable segment of this size at this address, part of the image.
        find(unsafe { slice::from_raw_parts(start as *const u8, *size as usize) })
    })
}

/// Finds the note among others: each is three words (size of the name, size of the body, type), name and body.
fn find(mut notes: &[u8]) -> Option<files::Note> {
    loop {
        let ([name_size, body_size, kind], rest) = <[u32; 3]>::read_from_prefix(notes).ok()?;
        let name_end = (name_size as usize).next_multiple_of(note::ALIGNMENT);
        let (name, rest) = (rest.get(..name_size as usize)?, rest.get(name_end..)?);
        if kind == note::FILES && name.strip_suffix(b"\0") == Some(note::NAME) {
            return files::Note::read_from_prefix(rest).ok().map(|(note, _)| note);
        }
        notes = rest.get((body_size as usize).next_multiple_of(note::ALIGNMENT)..)?;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use zerocopy::IntoBytes;

    fn encoded(kind: u32, name: &[u8], body: &[u8]) -> Vec<u8> {
        let mut bytes = [name.len() as u32, body.len() as u32, kind].as_bytes().to_vec();
        for part in [name, body] {
            bytes.extend(part);
            bytes.resize(bytes.len().next_multiple_of(note::ALIGNMENT), 0);
        }
        bytes
    }

    #[test]
    fn the_note_is_found_among_others() {
        let wanted = files::Note { offset: 1, length: 2, count: 3 };
        let mut notes = encoded(note::FILES, b"GNU\0", b"another's");
        notes.extend(encoded(note::ABI, b"Husk\0", b"x"));
        assert_eq!(find(&notes), None);
        notes.extend(encoded(note::FILES, b"Husk\0", wanted.as_bytes()));
        assert_eq!(find(&notes), Some(wanted));
        assert_eq!(find(&notes[..notes.len() - 1]), None);
    }
}
