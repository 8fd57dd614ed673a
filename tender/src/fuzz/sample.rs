//! An empty image and memory for it, for tests and fuzzers.

use crate::devices::table;
use crate::image::{Image, Notes, Relocations, Segment};
use crate::memory::Memory;
use crate::memory::layout::{Addresses, Layout};
use husk_abi::memory::{PAGE, Region, Rights};
use std::fs::File;

/// An image of one writable segment, which is never read, with a main stack of `main_stack` bytes.
pub fn image(relocatable: bool, region: Region, main_stack: u64) -> Image {
    let segment = Segment { region, file_offset: 0, file_size: 0, rights: Rights::READ | Rights::WRITE };
    let mut notes = Notes::default();
    notes.manifest.main_stack = main_stack;
    Image {
        file: File::open("/dev/null").expect("every Linux has it").into(),
        path: "image".into(),
        file_size: 0,
        relocatable,
        entry: region.start,
        program_headers: region.start,
        program_header_count: 1,
        segments: vec![segment],
        constant: Region::default(),
        relocations: Relocations::default(),
        notes,
    }
}

/// 16 MiB of memory of a guest of this kind, with an image file of `file_size` zeros, in a virtual machine or in this process.
#[cfg(test)]
pub fn memory_of(kind: u32, addresses: Addresses, file_size: u64) -> Memory {
    let mut image = image(true, Region { start: 0, length: PAGE }, 1 << 20);
    image.file = crate::fuzz::file(&vec![0; file_size as usize]).expect("the host has a file").into();
    (image.file_size, image.notes.manifest.kind) = (file_size, kind);
    // Base at which this process has no other memory.
    const DRAW: u64 = 0x1234_5678;
    let layout = Layout::plan(&image, 16 << 20, DRAW, table::rings_size(2), addresses).expect("enough memory");
    Memory::map(layout, &image).expect("the host has that much")
}

/// 16 MiB of memory, with rings for two devices, of an image of one page.
pub fn memory() -> Memory {
    let image = image(true, Region { start: 0, length: PAGE }, 1 << 20);
    let layout = Layout::plan(&image, 16 << 20, 0, table::rings_size(2), Addresses::Translated).expect("enough memory");
    Memory::map(layout, &image).expect("the host has that much")
}

/// Numbers that look random (xorshift, by Marsaglia).
#[cfg(test)]
pub struct Numbers(pub u64);

#[cfg(test)]
impl Numbers {
    /// Returns the next number.
    pub fn random(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}
