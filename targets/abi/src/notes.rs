//! Reader of ELF notes, for all that read images: three words (size of the name, size of the body, type), name and body, each
//! padded. Any bytes may be read.

use crate::note;
use zerocopy::FromBytes;

/// Name of the notes of the GNU tools.
pub const GNU: &[u8] = b"GNU";
/// Type of the GNU note that holds the build-id.
pub const GNU_BUILD_ID: u32 = 3;

/// Bytes of a note's header.
const HEADER: usize = size_of::<[u32; 3]>();

/// A note.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Note<'a> {
    /// Name, without the NUL at its end.
    pub name: &'a [u8],
    /// Type; its meaning depends on the name.
    pub kind: u32,
    /// Contents.
    pub body: &'a [u8],
    /// Offset of the contents from the start of the segment or section.
    pub offset: usize,
}

/// A note reaches beyond its segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cut;

/// Notes of a segment or section. A note that reaches beyond the end is the last one.
#[derive(Clone, Debug)]
pub struct Notes<'a> {
    bytes: &'a [u8],
    next: usize,
    alignment: usize,
}

impl<'a> Notes<'a> {
    /// Reads the notes in `bytes`, the contents of a segment or section with this alignment.
    pub const fn new(bytes: &'a [u8], alignment: u64) -> Self {
        // The ELF specification has 8 for 64-bit files, which few tools follow.
        Self { bytes, next: 0, alignment: if alignment == 8 { 8 } else { note::ALIGNMENT } }
    }

    /// Returns the note at `next`, and the offset of the following one.
    fn read(&self) -> Option<(Note<'a>, usize)> {
        let header = self.bytes.get(self.next..)?;
        let ([name_size, body_size, kind], _) = <[u32; 3]>::read_from_prefix(header).ok()?;
        let name_start = self.next.checked_add(HEADER)?;
        let name_end = name_start.checked_add(name_size as usize)?;
        let offset = name_end.checked_next_multiple_of(self.alignment)?;
        let end = offset.checked_add(body_size as usize)?;
        let (name, body) = (self.bytes.get(name_start..name_end)?, self.bytes.get(offset..end)?);
        let name = name.strip_suffix(b"\0").unwrap_or(name);
        Some((Note { name, kind, body, offset }, end.checked_next_multiple_of(self.alignment)?))
    }
}

impl<'a> Iterator for Notes<'a> {
    type Item = Result<Note<'a>, Cut>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.bytes.len().saturating_sub(self.next) < HEADER {
            return None;
        }
        let read = self.read();
        self.next = read.map_or(self.bytes.len(), |(_, next)| next);
        Some(read.map(|(note, _)| note).ok_or(Cut))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use super::*;

    /// A note `GNU` of type 3 with 6 bytes, and one `Husk` of type 1 with 4.
    const BYTES: &[u8] = b"\x04\0\0\0\x06\0\0\0\x03\0\0\0GNU\0abcdef\0\0\x05\0\0\0\x04\0\0\0\x01\0\0\0Husk\0\0\0\0body";

    #[test]
    fn notes_are_read_with_their_offsets() {
        let found = Notes::new(BYTES, 4).collect::<Result<std::vec::Vec<_>, _>>();
        let build_id = Note { name: GNU, kind: GNU_BUILD_ID, body: b"abcdef", offset: 16 };
        let husk = Note { name: note::NAME, kind: note::ABI, body: b"body", offset: 44 };
        assert_eq!(found, Ok(std::vec![build_id, husk]));
        assert_eq!(&BYTES[44..], b"body");
    }

    #[test]
    fn any_bytes_come_to_an_end() {
        for end in 0..BYTES.len() {
            let found: std::vec::Vec<_> = Notes::new(&BYTES[..end], 4).collect();
            let is_cut = (HEADER..22).contains(&end) || (24 + HEADER..BYTES.len()).contains(&end);
            assert_eq!(found.last() == Some(&Err(Cut)), is_cut, "{end}");
            for (place, byte) in (0..12).flat_map(|place| [0, 1, 8, 0x7f, 0xff].map(|byte| (place, byte))) {
                let mut bytes = BYTES.to_vec();
                bytes[place] = byte;
                for alignment in [4, 8] {
                    assert!(Notes::new(&bytes[..end.max(12)], alignment).count() <= 4);
                }
            }
        }
    }
}
