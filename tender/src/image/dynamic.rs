//! The dynamic section: an image must not need anything that only a dynamic linker could do.

use super::Refusal;
use object::LittleEndian;
use object::elf::{self, Dyn64, ProgramHeader64};
use object::read::elf::{Dyn as _, ProgramHeader as _};

/// Largest dynamic section that is looked at: a static-pie image has some twenty entries.
const SIZE_MAXIMUM: u64 = 64 << 10;

/// Refuses RELR relocations and needed libraries; `read` gets bytes of the file by offset and size.
pub fn check(
    headers: &[ProgramHeader64<LittleEndian>],
    read: impl Fn(u64, u64) -> Result<Vec<u8>, Refusal>,
) -> Result<(), Refusal> {
    for header in headers.iter().filter(|header| header.p_type(LittleEndian) == elf::PT_DYNAMIC) {
        let size = header.p_filesz(LittleEndian).min(SIZE_MAXIMUM);
        let bytes = read(header.p_offset(LittleEndian), size)?;
        let count = bytes.len() / size_of::<Dyn64<LittleEndian>>();
        let (entries, _) = object::pod::slice_from_bytes::<Dyn64<LittleEndian>>(&bytes, count)
            .map_err(|()| Refusal::Truncated("the dynamic section"))?;
        for entry in entries {
            match entry.d_tag(LittleEndian) {
                elf::DT_NULL => break,
                elf::DT_RELR | elf::DT_RELRSZ => return Err(Refusal::Relr),
                elf::DT_NEEDED => return Err(Refusal::NeedsLibraries),
                _ => {}
            }
        }
    }
    Ok(())
}
