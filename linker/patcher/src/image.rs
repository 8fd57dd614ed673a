//! Patches an ELF file: reads its code, and writes changes into it.

use super::landing::{self, Data};
use super::program::{Function, Program, Section};
use super::{Libos, Plan};
use crate::error::{Error, Result};
use object::elf;
use object::read::elf::{ElfFile64, FileHeader};
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol, SectionFlags, SectionKind, SymbolKind};
use std::collections::BTreeMap;
use std::fmt;

/// Symbol of the libos at which a patched site continues.
const DIRECT: &str = "husk_system_call_direct";

/// Patches the ELF file `image` in place; returns the plan.
pub fn patch(image: &mut [u8]) -> Result<Plan> {
    let file = ElfFile64::<LittleEndian>::parse(&*image).map_err(unreadable)?;
    let plan = Plan::for_program(&program(&file)?, &libos(&file)?);
    let offsets = plan.writes.iter().map(|(address, _)| offset(&file, *address)).collect::<Option<Vec<_>>>();
    let offsets = offsets.ok_or_else(|| Error::new("the linker made code that is in no section"))?;
    for (start, (_, bytes)) in offsets.into_iter().zip(&plan.writes) {
        match image.get_mut(start..start.saturating_add(bytes.len())) {
            Some(place) => place.copy_from_slice(bytes),
            None => return Err(Error::new("the linker made a section that is not in the file")),
        }
    }
    Ok(plan)
}

fn unreadable(error: impl fmt::Display) -> Error {
    Error::new(format!("the linker made a file that is not understood: {error}"))
}

/// Finds the symbols that the libos provides.
fn libos(file: &ElfFile64<'_, LittleEndian>) -> Result<Libos> {
    let symbol = |name: &str| {
        let found = file.symbols().find(|symbol| symbol.name() == Ok(name));
        found.ok_or_else(|| Error::new(format!("the linked program has no symbol '{name}' of the libos")))
    };
    let stubs = symbol(husk_abi::stub::AREA)?;
    let end = stubs.address().checked_add(stubs.size()).ok_or_else(|| unreadable("stubs beyond the last address"))?;
    Ok(Libos { stubs: stubs.address()..end, direct: symbol(DIRECT)?.address() })
}

/// Returns the code of an ELF file.
fn program<'a>(file: &ElfFile64<'a, LittleEndian>) -> Result<Program<'a>> {
    let mut program = Program::default();
    let mut data = Vec::new();
    let mut frames = None;
    for section in file.sections() {
        let loaded = matches!(section.flags(), SectionFlags::Elf { sh_flags, .. } if sh_flags.contains(elf::SHF_ALLOC));
        let (address, bytes) = (section.address(), section.data().map_err(unreadable)?);
        if address.checked_add(bytes.len() as u64).is_none() {
            return Err(unreadable("a section reaches beyond the last address"));
        }
        match section.kind() {
            SectionKind::Text => program.sections.push(Section { address, bytes }),
            _ if loaded => data.push(Data { address, bytes }),
            _ => {}
        }
        if section.name() == Ok(".eh_frame") {
            frames = Some(Data { address, bytes });
        }
    }
    program.sections.sort_by_key(|section| section.address);
    add_symbols(&mut program, file);
    add_pointers(&mut program, file, &data);
    if let Some(frames) = frames {
        landing::add(&mut program, frames, &data);
    }
    Ok(program)
}

/// Adds functions, and landmarks for all symbols in code.
fn add_symbols(program: &mut Program<'_>, file: &ElfFile64<'_, LittleEndian>) {
    let mut functions: BTreeMap<u64, (u64, &str)> = BTreeMap::new();
    for symbol in file.symbols().filter(|symbol| symbol.is_definition()) {
        let address = symbol.address();
        if !program.is_code(address) {
            continue;
        }
        program.landmarks.insert(address);
        if symbol.kind() == SymbolKind::Text {
            let function = functions.entry(address).or_insert((0, symbol.name().unwrap_or_default()));
            function.0 = function.0.max(symbol.size());
        }
    }
    for (start, (size, name)) in functions {
        // Assembly may leave the size out: such a function ends where the next name begins.
        let next = program.landmarks.range(start + 1..).next().copied();
        let end = if size > 0 { start.saturating_add(size) } else { next.unwrap_or(start) };
        if program.bytes(start..end).is_some() {
            program.functions.push(Function { name: name.to_owned(), range: start..end });
        }
    }
}

/// Adds landmarks for all pointers in data. In a program that can be loaded anywhere each of them has a relocation; in
/// one with a fixed place any word may be a pointer.
fn add_pointers(program: &mut Program<'_>, file: &ElfFile64<'_, LittleEndian>, data: &[Data<'_>]) {
    if file.elf_header().e_type(LittleEndian) == elf::ET_EXEC {
        let words = data.iter().flat_map(|section| section.bytes.chunks_exact(8));
        let words = words.filter_map(|word| word.try_into().ok().map(u64::from_le_bytes));
        let pointers: Vec<u64> = words.filter(|word| program.is_code(*word)).collect();
        program.landmarks.extend(pointers);
    }
    for (_, relocation) in file.dynamic_relocations().into_iter().flatten() {
        let address = relocation.addend().cast_unsigned();
        if program.is_code(address) {
            program.landmarks.insert(address);
        }
    }
}

/// Returns the offset in the file of the byte at `address`.
fn offset(file: &ElfFile64<'_, LittleEndian>, address: u64) -> Option<usize> {
    let section = file.sections().find(|section| {
        section.kind() == SectionKind::Text
            && address.checked_sub(section.address()).is_some_and(|offset| offset < section.size())
    })?;
    let (start, _) = section.file_range()?;
    usize::try_from((address - section.address()).checked_add(start)?).ok()
}
