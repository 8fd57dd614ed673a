//! The plan of a guest's address space, made before anything is mapped. The picture is in [`husk_abi::memory`].

use crate::error::Error;
use crate::image::Image;
use husk_abi::memory::{
    GUARD, HEAP_MINIMUM, IMAGE_OFFSET, LARGE_PAGE, LIBOS_STACK, PAGE, Region, TENDER_SIZE, WINDOW_HIGHEST,
    WINDOW_LOWEST,
};

/// Smallest main stack, in bytes.
const MAIN_STACK_MINIMUM: u64 = 64 << 10;
/// How much of its memory a guest has from the start, in bytes, if it does not need more at once.
const ATTACHED_AT_START: u64 = 16 << 20;
/// Most memory a guest may have in bytes: what the tender's area has page tables for.
pub const MEMORY_MAXIMUM: u64 = 128 << 30;

/// Where everything of one guest lies. Addresses are guest-virtual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Everything the guest has, from base to end; as large as its memory.
    pub window: Region,
    /// What to add to an address in the file.
    pub load_bias: u64,
    /// The image's pages.
    pub image: Region,
    /// The libos stack.
    pub libos_stack: Region,
    /// The main thread's stack.
    pub main_stack: Region,
    /// The rest.
    pub heap: Region,
}

impl Layout {
    /// Plans for `image` with `memory` bytes; `draw` is a random number that decides the base of a relocatable image.
    pub fn plan(image: &Image, memory: u64, draw: u64) -> Result<Self, Error> {
        let extent = image.extent();
        let memory = memory.checked_next_multiple_of(LARGE_PAGE).filter(|memory| *memory <= MEMORY_MAXIMUM);
        let memory = memory.ok_or(Error::MemoryTooLarge { maximum: MEMORY_MAXIMUM })?;
        let base = if image.relocatable {
            let choices = (WINDOW_HIGHEST - WINDOW_LOWEST - memory) / LARGE_PAGE;
            WINDOW_LOWEST + draw % choices * LARGE_PAGE
        } else {
            (extent.start & !(LARGE_PAGE - 1)) - IMAGE_OFFSET
        };
        let load_bias =
            if image.relocatable { (base + IMAGE_OFFSET).wrapping_sub(extent.start & !(LARGE_PAGE - 1)) } else { 0 };
        let loaded = Region { start: extent.start.wrapping_add(load_bias), ..extent };
        let stack_length = (image.notes.manifest.main_stack).min(memory / 4).max(MAIN_STACK_MINIMUM) & !(GUARD - 1);
        let stack_start = loaded.end().next_multiple_of(GUARD) + GUARD;
        let heap_start = stack_start + stack_length + GUARD;
        let needed = heap_start + HEAP_MINIMUM - base;
        let end = base + memory;
        if needed > memory || end > WINDOW_HIGHEST {
            let needed = needed.next_multiple_of(LARGE_PAGE);
            return Err(Error::MemoryTooSmall { path: image.path.clone(), memory, needed });
        }
        Ok(Self {
            window: Region::between(base, end),
            load_bias,
            image: loaded,
            libos_stack: Region { start: base + IMAGE_OFFSET - GUARD - LIBOS_STACK, length: LIBOS_STACK },
            main_stack: Region { start: stack_start, length: stack_length },
            heap: Region::between(heap_start, end),
        })
    }

    /// Where a region of the image file is loaded.
    pub fn loaded(&self, in_file: Region) -> Region {
        Region { start: in_file.start.wrapping_add(self.load_bias), length: in_file.length }
    }

    /// Bytes of guest-physical memory that the guest has from the start.
    pub fn attached_at_start(&self) -> u64 {
        let needed = (self.physical(self.heap.start) + HEAP_MINIMUM).next_multiple_of(LARGE_PAGE);
        needed.max(ATTACHED_AT_START).min(self.physical_size())
    }

    /// How much of the heap lies in the first `attached` bytes of guest-physical memory.
    pub fn heap_attached(&self, attached: u64) -> u64 {
        attached.saturating_sub(self.physical(self.heap.start)).min(self.heap.length)
    }

    /// The guest-physical address of a virtual address in the window.
    pub fn physical(&self, address: u64) -> u64 {
        TENDER_SIZE + (address - self.window.start)
    }

    /// Bytes of guest-physical memory, the tender's own included.
    pub fn physical_size(&self) -> u64 {
        TENDER_SIZE + self.window.length
    }
}

const _: () = assert!(IMAGE_OFFSET >= LIBOS_STACK + 2 * GUARD && GUARD.is_multiple_of(PAGE));
