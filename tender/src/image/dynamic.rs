//! Dynamic section: relocations, which the tender applies, and entries that an image must not have.
//!
//! A static-pie image has relocations of one type, "load bias plus addend". The tender applies them, so that the guest does not
//! touch those pages a second time and data that is constant after relocation (RELRO) is read-only from the first instruction.

use super::refusal::Refusal;
use super::segments::Segment;
use husk_abi::memory::{Region, Rights};
use object::LittleEndian as LE;
use object::elf::{self, Dyn64, ProgramHeader64, Rela64};
use object::read::elf::{Dyn as _, ProgramHeader as _, Rela as _};

/// Largest dynamic section that is read: a static-pie image has some twenty entries.
const SIZE_MAXIMUM: u64 = 64 << 10;
/// Largest relocation table, in bytes: for a million relocations and more.
const TABLE_MAXIMUM: u64 = 64 << 20;

/// Relocations of an image, checked, in ascending order. The bytes are those of the file: thousands of entries that are read
/// once each are not worth a list of their own.
#[derive(Debug, Default)]
pub struct Relocations {
    table: Vec<u8>,
}

/// Word to relocate: the word becomes the load bias plus the addend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Relocation {
    /// Address of the word in the file; all eight bytes lie in one writable segment.
    pub address: u64,
    /// Value to add to the load bias.
    pub addend: u64,
}

impl Relocations {
    /// Relocations of words in `region`.
    pub fn within(&self, region: Region) -> impl DoubleEndedIterator<Item = Relocation> + Clone {
        let entries = entries::<Rela64<LE>>(&self.table);
        let start = entries.partition_point(|entry| entry.r_offset(LE) < region.start);
        let end = entries.partition_point(|entry| entry.r_offset(LE) < region.end());
        let within = entries.get(start..end).unwrap_or_default();
        within.iter().map(|entry| Relocation { address: entry.r_offset(LE), addend: entry.r_addend(LE) as u64 })
    }
}

/// Address and size of the relocation table, from the dynamic section.
#[derive(Default)]
struct Table {
    address: u64,
    size: u64,
}

/// Returns the relocations of an image; `read` returns bytes of the file by offset and size.
pub fn relocations(
    headers: &[ProgramHeader64<LE>],
    segments: &[Segment],
    read: impl Fn(u64, u64, &'static str) -> Result<Vec<u8>, Refusal>,
) -> Result<Relocations, Refusal> {
    let mut relocations = Relocations::default();
    for header in headers.iter().filter(|header| header.p_type(LE) == elf::PT_DYNAMIC) {
        let size = header.p_filesz(LE).min(SIZE_MAXIMUM);
        let bytes = read(header.p_offset(LE), size, "the dynamic section")?;
        let table = table(&bytes)?;
        if table.size == 0 {
            continue;
        }
        if table.size > TABLE_MAXIMUM {
            return Err(Refusal::BadRelocations("their table is too large"));
        }
        let offset = file_offset(segments, &table).ok_or(Refusal::BadRelocations("their table is not in the image"))?;
        if !relocations.table.is_empty() {
            return Err(Refusal::BadRelocations("there is more than one table of them"));
        }
        relocations.table = read(offset, table.size, "the relocations")?;
        check(&mut relocations.table, segments)?;
    }
    Ok(relocations)
}

/// Finds the relocation table, and refuses entries that only a dynamic linker could handle.
fn table(dynamic: &[u8]) -> Result<Table, Refusal> {
    let mut table = Table::default();
    for entry in entries::<Dyn64<LE>>(dynamic) {
        let value = entry.d_val(LE);
        match entry.d_tag(LE) {
            elf::DT_NULL => break,
            elf::DT_RELA => table.address = value,
            elf::DT_RELASZ => table.size = value,
            elf::DT_RELR | elf::DT_RELRSZ => return Err(Refusal::Relr),
            elf::DT_RELSZ | elf::DT_PLTRELSZ if value > 0 => {
                return Err(Refusal::BadRelocations("they are of a sort that only a dynamic linker handles"));
            }
            elf::DT_NEEDED => return Err(Refusal::NeedsLibraries),
            _ => {}
        }
    }
    Ok(table)
}

/// Checks each entry of a table, and sorts the entries if the linker has not.
fn check(table: &mut [u8], segments: &[Segment]) -> Result<(), Refusal> {
    let count = table.len() / size_of::<Rela64<LE>>();
    let Ok((entries, _)) = object::pod::slice_from_bytes_mut::<Rela64<LE>>(table, count) else { return Ok(()) };
    for entry in &*entries {
        if entry.r_type(LE, false) != elf::R_X86_64_RELATIVE {
            return Err(Refusal::BadRelocations("one is not of the type R_X86_64_RELATIVE"));
        }
        let address = entry.r_offset(LE);
        let writable = |segment: &Segment| {
            segment.rights.contains(Rights::WRITE)
                && address >= segment.region.start
                && address.checked_add(8).is_some_and(|end| end <= segment.region.end())
        };
        if !segments.iter().any(writable) {
            return Err(Refusal::BadRelocations("one is for a word that is not in the image's data"));
        }
    }
    if !entries.is_sorted_by_key(|entry| entry.r_offset(LE)) {
        entries.sort_unstable_by_key(|entry| entry.r_offset(LE));
    }
    Ok(())
}

/// File offset of a table, from the address of the table.
fn file_offset(segments: &[Segment], table: &Table) -> Option<u64> {
    let end = table.address.checked_add(table.size)?;
    let holds =
        |segment: &&Segment| table.address >= segment.region.start && end <= segment.region.start + segment.file_size;
    segments.iter().find(holds).map(|segment| segment.file_offset + (table.address - segment.region.start))
}

/// Whole entries in `bytes`.
fn entries<T: object::Pod>(bytes: &[u8]) -> &[T] {
    let count = bytes.len() / size_of::<T>();
    object::pod::slice_from_bytes::<T>(bytes, count).map_or(&[], |(entries, _)| entries)
}
