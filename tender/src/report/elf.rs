//! An ELF file on the host, the image or its debug file, read in pieces on demand.
//!
//! The file is read, not mapped, because a process that truncates a mapped file would kill the tender with SIGBUS in the middle
//! of a report. Each field is checked, and one that makes no sense counts as absent; [`READ_MAXIMUM`] bounds the memory that a
//! file can cost, whatever sizes the file claims.

use husk_abi::notes::{self, Notes};
use object::LittleEndian as Le;
use object::elf::{
    FileHeader64, PF_X, PT_NOTE, ProgramHeader64, SHF_COMPRESSED, SHT_NOBITS, SHT_NOTE, SectionHeader64, Sym64,
};
use object::read::elf::{FileHeader, ProgramHeader, SectionHeader, Sym};
use object::read::{ReadCache, ReadCacheOps, ReadRef};
use std::fs::File;
use std::os::unix::fs::FileExt;
use std::sync::Arc;

/// Most bytes read from one file; debug information beyond is ignored.
const READ_MAXIMUM: u64 = 256 << 20;
/// Most sections that are searched: ordinary files have fewer than a hundred.
const SECTIONS_MAXIMUM: usize = 4096;

/// The bytes of a file, kept once read.
pub struct Bytes(ReadCache<Limited>);

impl Bytes {
    /// Reads `file` from now on, by absolute positions only.
    pub fn new(file: Arc<File>) -> Self {
        Self(ReadCache::new(Limited { file, position: 0, left: READ_MAXIMUM }))
    }
}

/// A file behind a limit.
struct Limited {
    file: Arc<File>,
    position: u64,
    left: u64,
}

impl ReadCacheOps for Limited {
    fn len(&mut self) -> Result<u64, ()> {
        // Bytes that cannot be read do not exist: this also keeps the cache from allocating room for them.
        Ok(self.file.metadata().map_err(drop)?.len())
    }

    fn seek(&mut self, position: u64) -> Result<u64, ()> {
        self.position = position;
        Ok(position)
    }

    fn read(&mut self, buffer: &mut [u8]) -> Result<usize, ()> {
        let length = self.file.read_at(buffer, self.position).map_err(drop)?;
        self.left = self.left.checked_sub(length as u64).ok_or(())?;
        Ok(length)
    }

    fn read_exact(&mut self, buffer: &mut [u8]) -> Result<(), ()> {
        self.left = self.left.checked_sub(buffer.len() as u64).ok_or(())?;
        self.file.read_exact_at(buffer, self.position).map_err(drop)
    }
}

/// A file with a valid ELF header.
pub struct Elf<'d> {
    data: &'d Bytes,
    segments: &'d [ProgramHeader64<Le>],
    sections: &'d [SectionHeader64<Le>],
    section_names: &'d [u8],
}

/// A section's address and contents.
#[derive(Clone, Copy, Default)]
pub struct Section<'d> {
    /// Address in the file's own terms, without the load bias.
    pub address: u64,
    /// Contents; empty if the section is absent, compressed or out of reach.
    pub bytes: &'d [u8],
}

/// A name from the symbol table, and the distance of the address from the symbol.
pub struct Symbol<'d> {
    /// Name as in the file: mangled.
    pub name: &'d [u8],
    /// Distance from the symbol's first byte.
    pub offset: u64,
}

impl<'d> Elf<'d> {
    /// Reads the headers; `None` if this is no 64-bit little-endian ELF file.
    pub fn parse(data: &'d Bytes) -> Option<Self> {
        let header = FileHeader64::<Le>::parse(&data.0).ok()?;
        let endian = header.endian().ok()?;
        let segments = header.program_headers(endian, &data.0).unwrap_or(&[]);
        let sections = header.section_headers(endian, &data.0).unwrap_or(&[]);
        let section_names = header
            .section_strings_index(endian, &data.0)
            .ok()
            .and_then(|index| sections.get(index.0))
            .and_then(|section| section.data(endian, &data.0).ok())
            .unwrap_or(&[]);
        Some(Self { data, segments, sections, section_names })
    }

    /// The section of that name, empty if there is none.
    pub fn section(&self, name: &str) -> Section<'d> {
        self.header(name).map(|header| self.contents(header)).unwrap_or_default()
    }

    /// Returns true if there is a section of that name with contents of its own.
    pub fn has(&self, name: &str) -> bool {
        self.header(name).is_some_and(|header| header.sh_type(Le) != SHT_NOBITS && header.sh_size(Le) != 0)
    }

    /// The GNU build-id.
    pub fn build_id(&self) -> Option<&'d [u8]> {
        let segments = self.segments.iter().filter(|segment| segment.p_type(Le) == PT_NOTE);
        let segments = segments.filter_map(|segment| Some((segment.data(Le, &self.data.0).ok()?, segment.p_align(Le))));
        let sections = self.sections.iter().take(SECTIONS_MAXIMUM).filter(|section| section.sh_type(Le) == SHT_NOTE);
        let sections = sections.map(|section| (self.contents(section).bytes, section.sh_addralign(Le)));
        let notes = segments.chain(sections).flat_map(|(bytes, alignment)| Notes::new(bytes, alignment).flatten());
        let mut ids = notes.filter(|note| (note.name, note.kind) == (notes::GNU, notes::GNU_BUILD_ID));
        ids.find_map(|note| (2..=64).contains(&note.body.len()).then_some(note.body))
    }

    /// Returns true if `address` lies in a segment that the guest may execute.
    pub fn executable(&self, address: u64) -> bool {
        self.segments.iter().any(|segment| segment.p_flags(Le).0 & PF_X.0 != 0 && offset_in(segment, address).is_some())
    }

    /// Returns the `N` bytes of the file that end right before `address`.
    pub fn bytes_before<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let start = address.checked_sub(N as u64)?;
        let segment = self.segments.iter().find(|segment| offset_in(segment, start).is_some())?;
        let offset = segment.p_offset(Le).checked_add(offset_in(segment, start)?)?;
        (&self.data.0).read_bytes_at(offset, N as u64).ok()?.try_into().ok()
    }

    /// Returns, for each of `addresses` (sorted), the function or variable that contains it, or, if no symbol has a
    /// size, the nearest function before the address.
    pub fn symbols(&self, addresses: &[u64]) -> Vec<Option<Symbol<'d>>> {
        let mut nearest: Vec<Option<&Sym64<Le>>> = vec![None; addresses.len()];
        let table = self.header(".symtab").map(|header| (header, self.contents(header)));
        let Some((header, table)) = table else { return addresses.iter().map(|_| None).collect() };
        let strings = self.sections.get(header.sh_link(Le) as usize).map(|section| self.contents(section).bytes);
        for symbol in all_symbols(table.bytes) {
            note(symbol, addresses, &mut nearest);
        }
        let resolve = |(symbol, address): (Option<&'d Sym64<Le>>, &u64)| {
            let symbol = symbol?;
            let name = strings?.get(symbol.st_name(Le) as usize..)?;
            let name = &name[..name.iter().take(NAME_MAXIMUM).position(|byte| *byte == 0)?];
            Some(Symbol { name, offset: address - symbol.st_value(Le) }).filter(|symbol| !symbol.name.is_empty())
        };
        nearest.into_iter().zip(addresses).map(resolve).collect()
    }

    /// Address and size of the symbol of exactly that name.
    pub fn symbol_named(&self, name: &str) -> Option<(u64, u64)> {
        let header = self.header(".symtab")?;
        let strings = self.contents(self.sections.get(header.sh_link(Le) as usize)?).bytes;
        let mut symbols = all_symbols(self.contents(header).bytes).iter();
        let found = symbols.find(|symbol| {
            let rest = strings.get(symbol.st_name(Le) as usize..).and_then(|rest| rest.strip_prefix(name.as_bytes()));
            rest.is_some_and(|rest| rest.first() == Some(&0))
        })?;
        Some((found.st_value(Le), found.st_size(Le)))
    }

    fn header(&self, name: &str) -> Option<&'d SectionHeader64<Le>> {
        let named = |section: &&SectionHeader64<Le>| {
            let rest = self.section_names.get(section.sh_name(Le) as usize..);
            rest.and_then(|rest| rest.strip_prefix(name.as_bytes())).is_some_and(|rest| rest.first() == Some(&0))
        };
        self.sections.iter().take(SECTIONS_MAXIMUM).find(named)
    }

    fn contents(&self, section: &SectionHeader64<Le>) -> Section<'d> {
        let compressed = section.sh_flags(Le).0 & SHF_COMPRESSED.0 != 0;
        let bytes = if compressed { &[] } else { section.data(Le, &self.data.0).unwrap_or(&[]) };
        Section { address: section.sh_addr(Le), bytes }
    }
}

/// Longest mangled name that is accepted.
const NAME_MAXIMUM: usize = 16 << 10;

/// Records `symbol` for each address to which it is the nearest one so far.
fn note<'d>(symbol: &'d Sym64<Le>, addresses: &[u64], nearest: &mut [Option<&'d Sym64<Le>>]) {
    use object::elf::{STT_FUNC, STT_NOTYPE, STT_OBJECT};
    let (start, size) = (symbol.st_value(Le), symbol.st_size(Le));
    let of_interest = [STT_FUNC, STT_OBJECT, STT_NOTYPE].contains(&symbol.st_type());
    if symbol.st_shndx(Le).0 == 0 || !of_interest || (size == 0 && symbol.st_type() == STT_OBJECT) {
        return;
    }
    // Hand-written functions often have no size.
    let end = if size == 0 { start.saturating_add(UNSIZED_REACH) } else { start.saturating_add(size) };
    let first = addresses.partition_point(|address| *address < start);
    let after = addresses.partition_point(|address| *address < end);
    for slot in nearest.get_mut(first..after).unwrap_or_default() {
        let better = |old: &Sym64<Le>| match (old.st_size(Le), size) {
            (0, 0) => start >= old.st_value(Le),
            (0, _) => true,
            (_, 0) => false,
            _ => start > old.st_value(Le),
        };
        if slot.is_none_or(better) {
            *slot = Some(symbol);
        }
    }
}

/// Largest distance of an address from a symbol without a size at which the address is still named after the symbol.
const UNSIZED_REACH: u64 = 4096;

/// Complete records of a symbol table, without a cut last one.
fn all_symbols(table: &[u8]) -> &[Sym64<Le>] {
    let count = table.len() / size_of::<Sym64<Le>>();
    object::pod::slice_from_bytes(table, count).map_or(&[], |(symbols, _)| symbols)
}

/// Offset of the address in the file-backed part of `segment`.
fn offset_in(segment: &ProgramHeader64<Le>, address: u64) -> Option<u64> {
    let offset = address.checked_sub(segment.p_vaddr(Le))?;
    (segment.p_type(Le) == object::elf::PT_LOAD && offset < segment.p_filesz(Le)).then_some(offset)
}
