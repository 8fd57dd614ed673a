//! Names for addresses: from debug information where there is some, else from the symbol table.

use super::catch_panic;
use super::elf::{Elf, Symbol};
use super::reader::Budget;
use super::source::{self, SourceFrame};
use super::text::demangle;
use std::fmt;

/// Names of a fixed set of addresses.
pub struct Symbols {
    /// Addresses, sorted, as in the image file.
    addresses: Vec<u64>,
    frames: Vec<Vec<SourceFrame>>,
    /// Symbols at or before the addresses, with distances, from the symbol table.
    names: Vec<Option<Name>>,
}

impl Symbols {
    /// Looks up all addresses together.
    pub fn find<'d>(image: &Elf<'d>, debug: Option<&Elf<'d>>, mut addresses: Vec<u64>, budget: &'d Budget) -> Self {
        addresses.sort_unstable();
        addresses.dedup();
        let dwarf = if image.has(".debug_info") { Some(image) } else { debug };
        let frames =
            dwarf.and_then(|elf| catch_panic(|| source::locate(|name| elf.section(name).bytes, &addresses, budget)));
        let table = if image.has(".symtab") { Some(image) } else { debug };
        let names = table.map(|elf| elf.symbols(&addresses).into_iter().map(|symbol| symbol.map(name)).collect());
        Self {
            frames: frames.unwrap_or_else(|| vec![Vec::new(); addresses.len()]),
            names: names.unwrap_or_else(|| vec![None; addresses.len()]),
            addresses,
        }
    }

    /// Functions that contain the address, innermost first; empty if none is known.
    pub fn frames(&self, address: u64) -> Vec<SourceFrame> {
        let Ok(index) = self.addresses.binary_search(&address) else { return Vec::new() };
        let mut frames = self.frames[index].clone();
        let Some(name) = &self.names[index] else { return frames };
        if frames.is_empty() {
            frames.push(SourceFrame::default());
        }
        // The symbol table has the outermost function too, often by a fuller name.
        if let Some(outermost) = frames.last_mut() {
            match &outermost.function {
                None => outermost.function = Some(name.to_string()),
                Some(short) if name.text.contains(without_parameters(short)) => {
                    outermost.function = Some(name.text.clone());
                }
                Some(_) => {}
            }
        }
        frames
    }

    /// Variable or function that contains the address.
    pub fn data(&self, address: u64) -> Option<String> {
        self.names[self.addresses.binary_search(&address).ok()?].as_ref().map(Name::to_string)
    }
}

/// A symbol's name, demangled.
#[derive(Clone)]
struct Name {
    text: String,
    offset: u64,
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.offset {
            0 => f.write_str(&self.text),
            offset => write!(f, "{}+{offset:#x}", self.text),
        }
    }
}

fn name(symbol: Symbol<'_>) -> Name {
    Name { text: demangle(&String::from_utf8_lossy(symbol.name)), offset: symbol.offset }
}

/// Part of a name before its type parameters: `call_once` of `call_once<fn(), ()>`.
fn without_parameters(name: &str) -> &str {
    name.split_once('<').map_or(name, |(name, _)| name)
}
