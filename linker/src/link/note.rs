//! The manifest and the notes about files and mounts: an object file that holds them, and their place in the finished image.
//!
//! The note has the same alignment as those of the libos and of the crate `husk`, so that any linker puts them into one
//! segment.

use crate::error::{Error, Result};
use crate::settings::Settings;
use husk_abi::block::MOUNTS_VERSION;
use husk_abi::files;
use husk_abi::note::{self, ALIGNMENT, Abi, Manifest};
use husk_abi::notes::{self, Cut};
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};
use object::write::Object;
use object::{Architecture, BinaryFormat, Endianness, LittleEndian, SectionFlags, SectionKind};
use std::ops::Range;
use zerocopy::{FromBytes, IntoBytes};

/// Makes an object file that contains the manifest of `settings`, and room for a note about files if there are some,
/// in a section that no linker collects as garbage.
pub fn object(settings: &Settings) -> Result<Vec<u8>> {
    let mut body = settings.manifest().as_bytes().to_vec();
    body.extend_from_slice(settings.devices.as_bytes());
    let mut object = Object::new(BinaryFormat::Elf, Architecture::X86_64, Endianness::Little);
    let section = object.add_section(Vec::new(), note::SECTION.into(), SectionKind::Note);
    // The type SHT_NOTE, which follows from the kind, is what keeps it in the image.
    object.section_mut(section).flags = SectionFlags::Elf { sh_type: elf::SHT_NOTE, sh_flags: elf::SHF_ALLOC };
    let mut notes = encode(note::MANIFEST, &body);
    if settings.files.is_some() {
        notes.extend(encode(note::FILES, files::Note::default().as_bytes()));
    }
    if settings.volumes {
        notes.extend(encode(note::MOUNTS, &MOUNTS_VERSION.to_le_bytes()));
    }
    if !settings.mounts.is_empty() {
        let text: String = settings.mounts.iter().flat_map(|mount| [mount, "\0"]).collect();
        notes.extend(encode(note::MOUNT_POINTS, text.as_bytes()));
    }
    object.append_section_data(section, &notes, ALIGNMENT as u64);
    // An object without this section would ask for an executable stack.
    object.add_section(Vec::new(), b".note.GNU-stack".to_vec(), SectionKind::Other);
    object.write().map_err(|error| Error::new(format!("cannot write the manifest: {error}")))
}

/// Encodes one note.
fn encode(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut bytes = Vec::new();
    for number in [note::NAME.len() as u32 + 1, body.len() as u32, kind] {
        bytes.extend(number.to_le_bytes());
    }
    bytes.extend(note::NAME);
    bytes.push(0);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes.extend(body);
    bytes.resize(bytes.len().next_multiple_of(ALIGNMENT), 0);
    bytes
}

/// The notes of an image.
#[derive(Debug)]
pub struct Notes {
    /// Contract that the image was built for.
    pub abi: Option<Abi>,
    /// The manifest, and its place in the file.
    pub manifest: Option<(Manifest, Range<usize>)>,
    /// Place of the note about files in the file.
    pub files: Option<Range<usize>>,
    /// The GNU build-id.
    pub build_id: Option<Vec<u8>>,
}

impl Notes {
    /// Finds the notes of the ELF file `image` through its program headers, as the tender will.
    pub fn read(image: &[u8]) -> std::result::Result<Self, String> {
        let unreadable = |error: object::read::Error| error.to_string();
        let header = elf::FileHeader64::<LittleEndian>::parse(image).map_err(unreadable)?;
        let endian = header.endian().map_err(unreadable)?;
        let mut found = Self { abi: None, manifest: None, files: None, build_id: None };
        for segment in header.program_headers(endian, image).map_err(unreadable)? {
            if segment.p_type(endian) != elf::PT_NOTE {
                continue;
            }
            let bytes = segment.data(endian, image).map_err(|()| "a segment of notes reaches beyond the file")?;
            for note in notes::Notes::new(bytes, segment.p_align(endian)) {
                let note = note.map_err(|Cut| "a note reaches beyond its segment")?;
                let (body, start) = (note.body, segment.p_offset(endian) as usize + note.offset);
                match (note.name, note.kind) {
                    (note::NAME, note::ABI) => found.abi = Abi::read_from_prefix(body).ok().map(|(abi, _)| abi),
                    (note::NAME, note::MANIFEST) => {
                        let manifest = Manifest::read_from_prefix(body).ok();
                        found.manifest = manifest.map(|(manifest, _)| (manifest, start..start + size_of::<Manifest>()));
                    }
                    (note::NAME, note::FILES) if body.len() >= size_of::<files::Note>() => {
                        found.files = Some(start..start + size_of::<files::Note>());
                    }
                    (notes::GNU, notes::GNU_BUILD_ID) => found.build_id = Some(body.to_vec()),
                    _ => {}
                }
            }
        }
        Ok(found)
    }
}
