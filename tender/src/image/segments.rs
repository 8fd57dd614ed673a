//! Checks of each segment that an image has.

use super::refusal::Refusal;
use husk_abi::memory::{IMAGE_OFFSET, LARGE_PAGE, PAGE, Region, Rights, WINDOW_HIGHEST};
use object::LittleEndian;
use object::elf::{self, FileHeader64, ProgramHeader64};
use object::read::elf::{FileHeader as _, ProgramHeader as _};

/// A loadable segment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Load address, as in the file; not necessarily whole pages.
    pub region: Region,
    /// Offset of the contents in the file; congruent to the address modulo the page size.
    pub file_offset: u64,
    /// Number of bytes that come from the file; the rest of the region is zero.
    pub file_size: u64,
    /// Rights of the guest.
    pub rights: Rights,
}

impl Segment {
    /// Whole pages that the segment touches.
    pub fn pages(&self) -> Region {
        Region::between(self.region.start & !(PAGE - 1), self.region.end().next_multiple_of(PAGE))
    }

    /// Returns true if the guest may execute the segment.
    pub fn executable(&self) -> bool {
        self.rights.contains(Rights::EXECUTE)
    }
}

/// Returns the loadable segments among `headers`, or the reason why they are refused.
pub fn check(
    headers: &[ProgramHeader64<LittleEndian>],
    file_size: u64,
    relocatable: bool,
) -> Result<Vec<Segment>, Refusal> {
    let fixed_floor = 2 * IMAGE_OFFSET;
    let mut segments: Vec<Segment> = Vec::new();
    for header in headers.iter().filter(|header| header.p_type(LittleEndian) == elf::PT_LOAD) {
        let Some(segment) = segment(header, file_size)? else { continue };
        let address = segment.region.start;
        if let Some(previous) = segments.last() {
            if address < previous.region.start {
                return Err(Refusal::Unordered { address });
            }
            if segment.pages().start < previous.pages().end() {
                return Err(Refusal::Overlapping { address });
            }
        }
        segments.push(segment);
    }
    let Some(first) = segments.first() else { return Err(Refusal::NoSegments) };
    // Below guest RAM lie the tender's own pages and the null page.
    if !relocatable && first.region.start < fixed_floor {
        return Err(Refusal::TooLow { address: first.region.start });
    }
    Ok(segments)
}

/// Decodes one segment; `None` if the segment is empty.
fn segment(header: &ProgramHeader64<LittleEndian>, size_of_file: u64) -> Result<Option<Segment>, Refusal> {
    let address = header.p_vaddr(LittleEndian);
    let (file_offset, file_size) = (header.p_offset(LittleEndian), header.p_filesz(LittleEndian));
    let length = header.p_memsz(LittleEndian);
    if length == 0 && file_size == 0 {
        return Ok(None);
    }
    let Some(end) = address.checked_add(length) else { return Err(Refusal::WrapsAround { address }) };
    if end > WINDOW_HIGHEST {
        return Err(Refusal::TooHigh { address });
    }
    if file_size > length {
        return Err(Refusal::LargerInFile { address });
    }
    if file_offset.checked_add(file_size).is_none_or(|end| end > size_of_file) {
        return Err(Refusal::SegmentOutsideFile { address });
    }
    if file_offset % PAGE != address % PAGE || header.p_align(LittleEndian) > LARGE_PAGE {
        return Err(Refusal::Misaligned { address });
    }
    let flags = header.p_flags(LittleEndian);
    let mut rights = Rights::empty();
    rights.set(Rights::READ, flags.contains(elf::PF_R) || flags.contains(elf::PF_X));
    rights.set(Rights::WRITE, flags.contains(elf::PF_W));
    rights.set(Rights::EXECUTE, flags.contains(elf::PF_X));
    if rights.contains(Rights::WRITE | Rights::EXECUTE) {
        return Err(Refusal::WritableAndExecutable { address });
    }
    if length > file_size && !rights.contains(Rights::WRITE) {
        return Err(Refusal::ReadOnlyZeros { address });
    }
    Ok(Some(Segment { region: Region { start: address, length }, file_offset, file_size, rights }))
}

/// Part of the data that is constant after relocation (`PT_GNU_RELRO`), in whole pages; as in every loader, a page that is only
/// partly constant stays writable.
pub fn constant(headers: &[ProgramHeader64<LittleEndian>], segments: &[Segment]) -> Region {
    let Some(header) = headers.iter().find(|header| header.p_type(LittleEndian) == elf::PT_GNU_RELRO) else {
        return Region::default();
    };
    let start = header.p_vaddr(LittleEndian);
    let end = start.saturating_add(header.p_memsz(LittleEndian)) & !(PAGE - 1);
    let pages = Region::between(start & !(PAGE - 1), end);
    let inside = |segment: &&Segment| {
        segment.rights.contains(Rights::WRITE)
            && pages.start >= segment.pages().start
            && pages.end() <= segment.pages().end()
    };
    segments.iter().find(inside).map_or(Region::default(), |_| pages)
}

impl Segment {
    /// Pages of the segment with their rights, those in `constant` without the right to write.
    pub fn parts(&self, constant: Region) -> impl Iterator<Item = (Region, Rights)> {
        let pages = self.pages();
        let constant = match constant.length > 0 && pages.contains(constant.start) {
            true => constant,
            false => Region { start: pages.end(), length: 0 },
        };
        let parts = [
            (Region::between(pages.start, constant.start), self.rights),
            (constant, self.rights - Rights::WRITE),
            (Region::between(constant.end(), pages.end()), self.rights),
        ];
        parts.into_iter().filter(|(region, _)| region.length > 0)
    }
}

/// Address of the program headers in the loaded image.
pub fn address_of_headers(segments: &[Segment], header: &FileHeader64<LittleEndian>) -> Result<u64, Refusal> {
    let offset = header.e_phoff(LittleEndian);
    let size = u64::from(header.e_phnum(LittleEndian)) * u64::from(header.e_phentsize(LittleEndian));
    segments
        .iter()
        .find(|segment| offset >= segment.file_offset && offset + size <= segment.file_offset + segment.file_size)
        .map(|segment| segment.region.start + (offset - segment.file_offset))
        .ok_or(Refusal::HeadersNotLoaded)
}
