//! Landing pads: addresses where the unwinder continues in a function, which no instruction mentions.
//!
//! `.eh_frame` leads from each function to its language-specific data area (LSDA), a table in the format of
//! `.gcc_except_table` (Itanium C++ ABI, "Exception Handling Tables"; Rust uses the same). A table that is not understood
//! makes its function obscure, and obscure functions are not patched.

use super::program::Program;
use gimli::{BaseAddresses, CieOrFde, EhFrame, EndianSlice, LittleEndian, Pointer, Reader, UnwindSection};
use std::ops::Range;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// Encoding of a value that is left out.
const OMITTED: u8 = 0xff;

/// A section that is loaded, but not code.
#[derive(Clone, Copy, Debug)]
pub struct Data<'a> {
    /// Address of the first byte.
    pub address: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

/// Adds the landing pads that `frames`, the section `.eh_frame`, and the tables in `sections` describe.
pub fn add(program: &mut Program<'_>, frames: Data<'_>, sections: &[Data<'_>]) {
    if add_all(program, frames, sections).is_err() {
        program.obscure.push(0..u64::MAX);
    }
}

fn add_all(program: &mut Program<'_>, frames: Data<'_>, sections: &[Data<'_>]) -> gimli::Result<()> {
    let bases = BaseAddresses::default().set_eh_frame(frames.address);
    let section = EhFrame::new(frames.bytes, LittleEndian);
    let mut entries = section.entries(&bases);
    while let Some(entry) = entries.next()? {
        let CieOrFde::Fde(partial) = entry else { continue };
        let description = partial.parse(EhFrame::cie_from_offset)?;
        let Some(table) = description.lsda() else { continue };
        let start = description.initial_address();
        match pads(table, start, sections) {
            Some(pads) => program.landmarks.extend(pads),
            None => program.obscure.push(Range { start, end: start.saturating_add(description.len()) }),
        }
    }
    Ok(())
}

/// Returns the landing pads of the function at `function`; none if its table is not understood.
fn pads(table: Pointer, function: u64, sections: &[Data<'_>]) -> Option<Vec<u64>> {
    let Pointer::Direct(address) = table else { return None };
    sections
        .iter()
        .find_map(|section| {
            let offset = usize::try_from(address.checked_sub(section.address)?).ok()?;
            let bytes = section.bytes.get(offset..)?;
            read_table(Slice::new(bytes, LittleEndian)).ok().flatten()
        })
        .map(|pads| pads.into_iter().map(|pad| function.wrapping_add(pad)).collect())
}

/// Reads the landing pads of a table, relative to their function; none if its form is not one that compilers use here.
fn read_table(mut table: Slice<'_>) -> gimli::Result<Option<Vec<u64>>> {
    if table.read_u8()? != OMITTED {
        return Ok(None);
    }
    if table.read_u8()? != OMITTED {
        table.read_uleb128()?;
    }
    let encoding = gimli::DwEhPe(table.read_u8()?);
    let length = table.read_uleb128()?;
    let mut sites = table.split(usize::try_from(length).map_err(|_| gimli::Error::UnsupportedOffset)?)?;
    let mut pads = Vec::new();
    while !sites.is_empty() {
        let Some([_, _, pad]) = read_site(&mut sites, encoding)? else { return Ok(None) };
        sites.read_uleb128()?;
        if pad != 0 {
            pads.push(pad);
        }
    }
    Ok(Some(pads))
}

/// Reads start, length and landing pad of one call site.
fn read_site(sites: &mut Slice<'_>, encoding: gimli::DwEhPe) -> gimli::Result<Option<[u64; 3]>> {
    let mut site = [0; 3];
    for value in &mut site {
        *value = match encoding {
            gimli::DW_EH_PE_uleb128 => sites.read_uleb128()?,
            gimli::DW_EH_PE_udata4 => sites.read_u32()?.into(),
            _ => return Ok(None),
        };
    }
    Ok(Some(site))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Option<Vec<u64>> {
        read_table(Slice::new(bytes, LittleEndian)).ok().flatten()
    }

    #[test]
    fn pads_of_both_encodings_are_read() {
        // Type table at +20; two sites in ULEB128, the second without a landing pad.
        assert_eq!(read(&[0xff, 0x9b, 20, 0x01, 9, 0, 4, 0x80, 0x01, 0, 4, 8, 0, 0]), Some(vec![0x80]));
        // No type table; one site in four bytes each.
        assert_eq!(read(&[0xff, 0xff, 0x03, 13, 0, 0, 0, 0, 4, 0, 0, 0, 9, 0, 0, 0, 0]), Some(vec![9]));
    }

    #[test]
    fn an_unknown_table_is_not_guessed_at() {
        assert_eq!(read(&[0x00, 0xff]), None);
        assert_eq!(read(&[0xff, 0xff, 0x0b, 3, 0, 0, 0]), None);
        assert_eq!(read(&[0xff, 0xff, 0x01, 200]), None);
    }
}
