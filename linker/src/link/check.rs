//! Contents that an image must not have: the tender would refuse it, so the linker step refuses it first.

use crate::error::{Error, Result};
use object::LittleEndian;
use object::elf;
use object::read::elf::{FileHeader, ProgramHeader};

/// Refuses the ELF file `image` if no tender would run it.
pub fn check(image: &[u8]) -> Result<()> {
    match find_flaw(image) {
        Ok(None) => Ok(()),
        Ok(Some(flaw)) => Err(Error::new(flaw)),
        Err(error) => Err(Error::new(format!("the linker made a file that is not understood: {error}"))),
    }
}

fn find_flaw(image: &[u8]) -> object::read::Result<Option<&'static str>> {
    let header = elf::FileHeader64::<LittleEndian>::parse(image)?;
    let endian = header.endian()?;
    if !matches!(header.e_type(endian), elf::ET_EXEC | elf::ET_DYN) {
        return Ok(Some("the linker made something other than a program: see what link arguments are set"));
    }
    for segment in header.program_headers(endian, image)? {
        let rights = segment.p_flags(endian) & (elf::PF_W | elf::PF_X);
        match segment.p_type(endian) {
            elf::PT_INTERP => {
                return Ok(Some(
                    "the program is dynamically linked, an image is static: remove -C target-feature=-crt-static",
                ));
            }
            elf::PT_LOAD if rights == elf::PF_W | elf::PF_X => {
                return Ok(Some(
                    "the program has memory that is both writable and executable: see what link arguments are set",
                ));
            }
            _ => {}
        }
        if let Some(dynamic) = segment.dynamic(endian, image)?
            && dynamic.iter().any(|entry| entry.d_tag.get(endian) == elf::DT_RELR)
        {
            return Ok(Some(
                "the program has RELR relocations, which no image may have: pass -z nopack-relative-relocs",
            ));
        }
    }
    Ok(None)
}
