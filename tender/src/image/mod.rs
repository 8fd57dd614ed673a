//! The image file: opened, checked once, and from then on trusted to be consistent.
//!
//! Only the ELF header, the program headers, the notes and the dynamic section are read here, with `pread`, so that the cost
//! does not depend on the size of the image. Each field is checked before it is used: a file that passes has segments in
//! ascending order, without overlap, with no page both writable and executable, and with contents inside the file. The code in
//! those segments is not checked.

mod dynamic;
mod notes;
mod refusal;
mod segments;
mod wanted;

pub use dynamic::{Relocation, Relocations};
pub use notes::Notes;
pub use refusal::Refusal;
pub use segments::Segment;
pub use wanted::{Kind, Wanted};

use husk_abi::memory::{Region, Rights};
use object::LittleEndian;
use object::elf::{self, FileHeader64, ProgramHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Most program headers an image may have: about ten are usual.
const HEADERS_MAXIMUM: u16 = 64;

/// A checked image.
#[derive(Debug)]
pub struct Image {
    /// The file, for mapping its segments.
    pub file: Arc<File>,
    /// Path that the file was opened by.
    pub path: PathBuf,
    /// Size of the file in bytes.
    pub file_size: u64,
    /// True if the image may be loaded at any base (static-pie).
    pub relocatable: bool,
    /// Entry point, as an address in the file.
    pub entry: u64,
    /// Program headers in the first segment, as an address in the file.
    pub program_headers: u64,
    /// Number of program headers.
    pub program_header_count: u16,
    /// Loaded segments; at least one, in ascending order.
    pub segments: Vec<Segment>,
    /// Part of the data that is constant once relocated: whole pages, empty if there is none.
    pub constant: Region,
    /// Words to relocate.
    pub relocations: Relocations,
    /// Contract version, manifest, build-id.
    pub notes: Notes,
}

impl Image {
    /// Opens and checks the image at `path`.
    pub fn open(path: &Path) -> Result<Self, Refusal> {
        let not_opened = |error: io::Error| Refusal::NotOpened(error.kind(), error.to_string());
        let file = File::open(path).map_err(not_opened)?;
        let metadata = file.metadata().map_err(not_opened)?;
        if metadata.is_dir() {
            return Err(Refusal::Directory);
        }
        if !metadata.is_file() {
            return Err(Refusal::NotRegular);
        }
        Self::check(file, path, metadata.len())
    }

    /// Checks the image in a file of this size.
    pub fn check(file: File, path: &Path, file_size: u64) -> Result<Self, Refusal> {
        let bytes = read(&file, file_size, 0, size_of::<FileHeader64<LittleEndian>>() as u64, "the ELF header")?;
        let header = header(&bytes)?;
        let headers = program_headers(&file, file_size, header)?;
        let notes = Notes::read(&headers, |offset, size| read(&file, file_size, offset, size, "the notes"))?;
        if headers.iter().any(|header| header.p_type(LittleEndian) == elf::PT_INTERP) {
            return Err(Refusal::Interpreter);
        }
        if let Some(files) = &notes.files
            && files.offset.checked_add(files.length).is_none_or(|end| end > file_size)
        {
            return Err(Refusal::Truncated("its tree of files"));
        }
        let relocatable = header.e_type(LittleEndian) == elf::ET_DYN;
        let segments = segments::check(&headers, file_size, relocatable)?;
        let relocations =
            dynamic::relocations(&headers, &segments, |offset, size, what| read(&file, file_size, offset, size, what))?;
        let entry = header.e_entry(LittleEndian);
        if !segments.iter().any(|segment| segment.executable() && segment.region.contains(entry)) {
            return Err(Refusal::EntryOutside(entry));
        }
        if let Some(dispatcher) = notes.system_calls
            && !segments.iter().any(|segment| segment.executable() && segment.region.contains(dispatcher))
        {
            return Err(Refusal::DispatcherOutside(dispatcher));
        }
        let program_headers = segments::address_of_headers(&segments, header)?;
        Ok(Self {
            path: path.to_owned(),
            file_size,
            relocatable,
            entry,
            program_headers,
            program_header_count: header.e_phnum(LittleEndian),
            constant: segments::constant(&headers, &segments),
            segments,
            relocations,
            notes,
            file: Arc::new(file),
        })
    }

    /// Loaded pages with the guest's rights, as addresses in the file.
    pub fn parts(&self) -> impl Iterator<Item = (Region, Rights)> {
        self.segments.iter().flat_map(|segment| segment.parts(self.constant))
    }

    /// Addresses in the file from the first to the last segment, in whole pages.
    pub fn extent(&self) -> Region {
        let start = self.segments.first().map_or(0, |segment| segment.pages().start);
        let end = self.segments.last().map_or(0, |segment| segment.pages().end());
        Region::between(start, end)
    }
}

/// Reads `size` bytes at `offset`, which must lie inside the file; `what` names the missing part in the error.
fn read(file: &File, file_size: u64, offset: u64, size: u64, what: &'static str) -> Result<Vec<u8>, Refusal> {
    if offset.checked_add(size).is_none_or(|end| end > file_size) {
        return Err(Refusal::Truncated(what));
    }
    let mut bytes = vec![0; size as usize];
    file.read_exact_at(&mut bytes, offset).map_err(|_| Refusal::Truncated(what))?;
    Ok(bytes)
}

/// ELF header, if the file is an ELF file of the kind that an image is.
fn header(bytes: &[u8]) -> Result<&FileHeader64<LittleEndian>, Refusal> {
    let (header, _) = object::pod::from_bytes::<FileHeader64<LittleEndian>>(bytes).map_err(|()| Refusal::NotElf)?;
    if header.e_ident.magic != elf::ELFMAG {
        return Err(Refusal::NotElf);
    }
    if header.e_ident.class != elf::ELFCLASS64
        || header.e_ident.data != elf::ELFDATA2LSB
        || header.e_machine(LittleEndian) != elf::EM_X86_64
    {
        return Err(Refusal::WrongMachine { machine: header.e_machine(LittleEndian).0, class: header.e_ident.class.0 });
    }
    match header.e_type(LittleEndian) {
        elf::ET_EXEC | elf::ET_DYN => Ok(header),
        other => Err(Refusal::NotExecutable(other.0)),
    }
}

fn program_headers(
    file: &File,
    file_size: u64,
    header: &FileHeader64<LittleEndian>,
) -> Result<Vec<ProgramHeader64<LittleEndian>>, Refusal> {
    let count = header.e_phnum(LittleEndian);
    if count == 0 || count > HEADERS_MAXIMUM {
        return Err(Refusal::HeaderCount(count));
    }
    let entry_size = size_of::<ProgramHeader64<LittleEndian>>();
    if usize::from(header.e_phentsize(LittleEndian)) != entry_size {
        return Err(Refusal::HeaderSize(header.e_phentsize(LittleEndian)));
    }
    let size = u64::from(count) * entry_size as u64;
    let bytes = read(file, file_size, header.e_phoff(LittleEndian), size, "the program headers")?;
    let (headers, _) = object::pod::slice_from_bytes::<ProgramHeader64<LittleEndian>>(&bytes, usize::from(count))
        .map_err(|()| Refusal::Truncated("the program headers"))?;
    Ok(headers.to_vec())
}
