//! The code of a linked program, as far as patching needs to know it: no files, no ELF.

use iced_x86::{Decoder, DecoderOptions, Instruction};
use std::collections::BTreeSet;
use std::ops::Range;

/// Executable bytes at an address.
#[derive(Clone, Copy, Debug)]
pub struct Section<'a> {
    /// Address of the first byte.
    pub address: u64,
    /// The bytes.
    pub bytes: &'a [u8],
}

impl Section<'_> {
    /// Returns the addresses of the bytes.
    pub fn range(&self) -> Range<u64> {
        self.address..self.address + self.bytes.len() as u64
    }
}

/// A function, as a symbol describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Function {
    /// Name of its symbol.
    pub name: String,
    /// Addresses of the function; they lie in one section.
    pub range: Range<u64>,
}

/// The code of a program.
#[derive(Debug, Default)]
pub struct Program<'a> {
    /// Executable sections, in order of address.
    pub sections: Vec<Section<'a>>,
    /// Functions in order of address, one for each start.
    pub functions: Vec<Function>,
    /// Addresses in code that something other than code refers to: symbols, pointers in data, landing pads.
    pub landmarks: BTreeSet<u64>,
    /// Code of which the landing pads are not known.
    pub obscure: Vec<Range<u64>>,
}

impl<'a> Program<'a> {
    /// Returns true if `address` lies in code.
    pub fn is_code(&self, address: u64) -> bool {
        self.sections.iter().any(|section| section.range().contains(&address))
    }

    /// Returns the bytes at `range`; none if they are not all in one section.
    pub fn bytes(&self, range: Range<u64>) -> Option<&'a [u8]> {
        let section = self.sections.iter().find(|section| section.range().contains(&range.start))?;
        let start = (range.start - section.address) as usize;
        let length = range.end.checked_sub(range.start)? as usize;
        section.bytes.get(start..start.checked_add(length)?)
    }

    /// Decodes the instructions at `range`, one after the other.
    pub fn instructions(&self, range: Range<u64>) -> impl Iterator<Item = Instruction> + use<'a> {
        let bytes = self.bytes(range.clone()).unwrap_or_default();
        Decoder::with_ip(64, bytes, range.start, DecoderOptions::NONE).into_iter()
    }

    /// Returns code that no function covers.
    pub fn gaps(&self) -> Vec<Range<u64>> {
        let mut gaps = Vec::new();
        for section in &self.sections {
            let range = section.range();
            let mut free = range.start;
            for function in self.functions.iter().filter(|function| range.contains(&function.range.start)) {
                if function.range.start > free {
                    gaps.push(free..function.range.start);
                }
                free = free.max(function.range.end);
            }
            if free < range.end {
                gaps.push(free..range.end);
            }
        }
        gaps
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gaps_are_what_functions_leave() {
        let function = |range: Range<u64>| Function { name: String::new(), range };
        let program = Program {
            sections: vec![Section { address: 100, bytes: &[0x90; 50] }],
            functions: vec![function(110..120), function(112..116), function(120..140)],
            ..Program::default()
        };
        assert_eq!(program.gaps(), [100..110, 140..150]);
        assert_eq!(program.bytes(148..152), None);
    }
}
