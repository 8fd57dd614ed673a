//! Properties of every image, whatever it was built from.

use husk_abi::note::{self, Abi, Manifest};
use husk_abi::stub;
use iced_x86::{Code, Decoder, DecoderOptions};
use object::elf;
use object::read::elf::{ElfFile64, FileHeader, ProgramHeader};
use object::{LittleEndian, Object, ObjectSection, ObjectSymbol};
use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};
use zerocopy::FromBytes;

/// An image and what was found in it.
#[derive(Debug)]
pub struct Image {
    bytes: Vec<u8>,
    /// The manifest.
    pub manifest: Manifest,
    /// True if the image can be loaded anywhere.
    pub is_pie: bool,
    /// True if the image has a symbol table.
    pub has_symbols: bool,
    /// True if the image has debug information.
    pub has_debug: bool,
    /// The file with its debug information, if there is one.
    pub debug_file: Option<Vec<u8>>,
}

impl Image {
    /// Reads the image at `path` and checks the properties of all images.
    pub fn check(path: &Path) -> Self {
        let bytes = fs::read(path).expect("the image is there");
        let file = ElfFile64::<LittleEndian>::parse(&*bytes).expect("an ELF file");
        check_segments(&file);
        let (abi, manifest, build_id) = notes(&file);
        assert_eq!(abi.version, husk_abi::VERSION);
        let debug_file = debug_file(path, &build_id).map(|path| fs::read(path).expect("readable"));
        let has = |name: &str| file.section_by_name(name).is_some();
        let image = Self {
            manifest,
            is_pie: file.elf_header().e_type(LittleEndian) == elf::ET_DYN,
            has_symbols: has(".symtab"),
            has_debug: has(".debug_line"),
            debug_file,
            bytes: bytes.clone(),
        };
        image.check_sites();
        image
    }

    /// Returns the symbols of the image by name, from the image or from beside it.
    pub fn symbols(&self) -> HashMap<String, (u64, u64)> {
        let bytes = self.debug_file.as_ref().unwrap_or(&self.bytes);
        let file = ElfFile64::<LittleEndian>::parse(&**bytes).expect("an ELF file");
        let named = |symbol: object::read::elf::ElfSymbol64<'_, '_, LittleEndian>| {
            (symbol.name().expect("UTF-8").to_owned(), (symbol.address(), symbol.size()))
        };
        file.symbols().map(named).collect()
    }

    /// Checks that the entry is Husk's, and that each stub belongs to a site that jumps to it.
    fn check_sites(&self) {
        let file = ElfFile64::<LittleEndian>::parse(&*self.bytes).expect("an ELF file");
        let symbols = self.symbols();
        assert_eq!(file.entry(), symbols["husk_start"].0);
        if self.manifest.kind == note::kind::NATIVE {
            assert_eq!((self.manifest.patched_sites, self.manifest.trapping_sites), (0, 0));
            return;
        }
        let text = file.sections().find(|section| section.name() == Ok(".text")).expect("has code");
        let code = text.data().expect("in the file");
        let bytes = |address: u64| &code[(address - text.address()) as usize..];
        let (start, size) = symbols[stub::AREA];
        let mut used = 0;
        for address in (start.next_multiple_of(stub::SIZE as u64)..start + size).step_by(stub::SIZE) {
            let Some(stub) = bytes(address).first_chunk() else { break };
            // The first moved instruction is the first byte that is no breakpoint.
            let Some(first) = stub.iter().position(|byte| *byte != 0xcc) else { break };
            let site = stub::original(address, stub, first).expect("a stub in use");
            let jump = Decoder::with_ip(64, bytes(site), site, DecoderOptions::NONE).decode();
            assert_eq!((jump.code(), jump.near_branch_target()), (Code::Jmp_rel32_64, address + first as u64));
            used += 1;
        }
        assert_eq!(self.manifest.patched_sites, used);
        // A program in C has few.
        assert!(used > 10, "only {used} sites are patched");
        // The rest are in functions with jump tables, such as posix_spawn's.
        assert!(self.manifest.trapping_sites < 30, "{:?}", self.manifest);
    }
}

/// Checks the segments: in order, none writable and executable, no interpreter, no RELR.
fn check_segments(file: &ElfFile64<'_, LittleEndian>) {
    let mut end = 0;
    for header in file.elf_program_headers() {
        let start = header.p_vaddr(LittleEndian);
        match header.p_type(LittleEndian) {
            elf::PT_INTERP => panic!("has an interpreter"),
            elf::PT_LOAD => {
                let flags = header.p_flags(LittleEndian);
                assert!(!flags.contains(elf::PF_W | elf::PF_X), "a segment is writable and executable");
                assert!(start >= end, "segments overlap");
                end = start + header.p_memsz(LittleEndian);
            }
            _ => {}
        }
    }
    assert!(file.section_by_name(".relr.dyn").is_none(), "has RELR relocations");
}

/// Returns the notes, found through the program headers.
fn notes(file: &ElfFile64<'_, LittleEndian>) -> (Abi, Manifest, Vec<u8>) {
    let (mut abi, mut manifest, mut build_id) = (None, None, None);
    for header in file.elf_program_headers() {
        let Ok(Some(mut notes)) = header.notes(LittleEndian, file.data()) else { continue };
        while let Some(found) = notes.next().expect("well-formed notes") {
            match (found.name(), found.n_type(LittleEndian).0) {
                (note::NAME, note::ABI) => abi = Abi::read_from_bytes(found.desc()).ok(),
                (note::NAME, note::MANIFEST) => manifest = Manifest::read_from_bytes(found.desc()).ok(),
                (b"GNU", 3) => build_id = Some(found.desc().to_vec()),
                _ => {}
            }
        }
    }
    (abi.expect("an ABI note"), manifest.expect("a manifest"), build_id.expect("a build-id"))
}

/// Returns the path at which the tender would find debug information.
fn debug_file(image: &Path, build_id: &[u8]) -> Option<PathBuf> {
    let digits: String = build_id.iter().map(|byte| format!("{byte:02x}")).collect();
    let name = format!(".build-id/{}/{}.debug", &digits[..2], &digits[2..]);
    let folder = image.parent().expect("has a parent");
    [folder.join(&name), folder.join("..").join(&name)].into_iter().find(|path| path.is_file())
}
