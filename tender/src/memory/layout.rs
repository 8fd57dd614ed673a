//! Plan of a guest's address space, made before anything is mapped. The picture is in [`husk_abi::memory`].

use crate::image::Image;
use crate::size::Size;
use husk_abi::call::Status;
use husk_abi::memory::{
    GUARD, HEAP_MINIMUM, IMAGE_OFFSET, LARGE_PAGE, LIBOS_STACK, PAGE, Region, TENDER_SIZE, WINDOW_HIGHEST,
    WINDOW_LOWEST,
};
use husk_abi::note::kind;
use std::fmt;

/// Smallest main stack, in bytes.
const MAIN_STACK_MINIMUM: u64 = 64 << 10;
/// Memory that a guest has from the start, in bytes, if it does not need more at once.
const ATTACHED_AT_START: u64 = 16 << 20;
/// Heap that a guest has from the start, in bytes, however large the image is: enough for the first allocations of each kind.
const HEAP_AT_START: u64 = 8 << 20;
/// Most memory a guest may have, in bytes: limited by the page tables in the tender's area.
pub const MEMORY_MAXIMUM: u64 = 128 << 30;
/// Largest image file in bytes, limited by the same page tables.
pub const IMAGE_MAXIMUM: u64 = 16 << 30;

/// Size in bytes up to which a guest that asks for more memory gets its memory doubled.
const LARGE_STEP: u64 = 64 << 20;

/// Addresses of the sparse region per byte of memory, within the limits below.
const SPARSE_FACTOR: u64 = 8;
/// Least length of the sparse region, in bytes: a thousand stacks, and the same again.
const SPARSE_MINIMUM: u64 = 4 << 30;
/// Greatest length of the sparse region, in bytes.
const SPARSE_MAXIMUM: u64 = 64 << 30;

/// Upper bound of the end of what is placed at random in this process: below all that Linux places there, even with a stack
/// without limit (TASK_UNMAPPED_BASE of x86), because the sparse region is not reserved.
const DIRECT_HIGHEST: u64 = 0x2a00_0000_0000;

/// Translation of a guest's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Addresses {
    /// Translated by page tables of the guest's own, which reveal nothing about the host's addresses.
    Translated,
    /// Host addresses: the guest is in this process.
    Direct,
}

/// Addresses of all parts of one guest. Addresses are guest-virtual.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Translation of the guest's addresses.
    pub addresses: Addresses,
    /// Offset to add to a guest-physical address of the tender's own pages.
    pub own: u64,
    /// Addresses of the guest's memory, from base to end; as long as the memory.
    pub guest_ram: Region,
    /// Offset to add to an address in the file.
    pub load_bias: u64,
    /// Pages of the image.
    pub image: Region,
    /// The libos stack.
    pub libos_stack: Region,
    /// Stack of the main thread.
    pub main_stack: Region,
    /// The rings of devices; empty if there are none.
    pub rings: Region,
    /// Heap: the rest of the guest_ram.
    pub heap: Region,
    /// Image file of a std program, beyond guest RAM; its length need not be whole pages.
    pub image_file: Region,
    /// Addresses without memory of their own, for a std program.
    pub sparse: Region,
}

/// Reason why an image has no layout with this much memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is explained by its message below")]
pub enum Unfit {
    MemoryTooSmall { memory: u64, needed: u64 },
    MemoryTooLarge,
    ImageTooLarge,
}

impl fmt::Display for Unfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::MemoryTooSmall { memory, needed } => {
                let (memory, needed) = (Size(memory), Size(needed));
                write!(f, "needs {needed} of memory but has {memory}; give it --memory {needed}")
            }
            Self::MemoryTooLarge => {
                write!(f, "a guest can have at most {} of memory; give a smaller --memory", Size(MEMORY_MAXIMUM))
            }
            Self::ImageTooLarge => write!(
                f,
                "is larger than the {} that an image may have; strip its debug information",
                Size(IMAGE_MAXIMUM)
            ),
        }
    }
}

impl Layout {
    /// Plans for `image` with `memory` bytes; `aslr_seed` is a random number that decides the base of a relocatable image,
    /// `rings` the size of all rings in whole pages.
    pub fn plan(image: &Image, memory: u64, aslr_seed: u64, rings: u64, addresses: Addresses) -> Result<Self, Unfit> {
        let extent = image.extent();
        let memory = memory.checked_next_multiple_of(LARGE_PAGE).filter(|memory| *memory <= MEMORY_MAXIMUM);
        let memory = memory.ok_or(Unfit::MemoryTooLarge)?;
        let file_length = if image.notes.manifest.kind == kind::STD { image.file_size } else { 0 };
        let beyond = file_length.checked_next_multiple_of(LARGE_PAGE).filter(|beyond| *beyond <= IMAGE_MAXIMUM);
        let beyond = beyond.ok_or(Unfit::ImageTooLarge)?;
        let sparse = match image.notes.manifest.kind {
            kind::STD => (memory * SPARSE_FACTOR).clamp(SPARSE_MINIMUM, SPARSE_MAXIMUM),
            _ => 0,
        };
        let highest = match addresses {
            Addresses::Translated => WINDOW_HIGHEST,
            Addresses::Direct => DIRECT_HIGHEST,
        };
        let base = if image.relocatable {
            let choices = (highest - WINDOW_LOWEST - memory - beyond - sparse) / LARGE_PAGE;
            WINDOW_LOWEST + aslr_seed % choices * LARGE_PAGE
        } else {
            (extent.start & !(LARGE_PAGE - 1)) - IMAGE_OFFSET
        };
        let load_bias =
            if image.relocatable { (base + IMAGE_OFFSET).wrapping_sub(extent.start & !(LARGE_PAGE - 1)) } else { 0 };
        let loaded = Region { start: extent.start.wrapping_add(load_bias), ..extent };
        let stack_length = (image.notes.manifest.main_stack).min(memory / 4).max(MAIN_STACK_MINIMUM) & !(GUARD - 1);
        let stack_start = loaded.end().next_multiple_of(GUARD) + GUARD;
        let rings = Region { start: stack_start + stack_length + GUARD, length: rings };
        let heap_start = if rings.length == 0 { rings.start } else { rings.end() + GUARD };
        let end = base + memory;
        if heap_start + HEAP_MINIMUM > end || end + beyond + sparse > WINDOW_HIGHEST {
            // Enough for the whole stack that the image asks for; with less memory the stack is smaller.
            let stack = image.notes.manifest.main_stack.clamp(MAIN_STACK_MINIMUM, MEMORY_MAXIMUM);
            let needed = (stack_start - base) + stack + GUARD + (heap_start - rings.start) + HEAP_MINIMUM;
            let needed = needed.next_multiple_of(LARGE_PAGE);
            return Err(Unfit::MemoryTooSmall { memory, needed });
        }
        // Translated, the pages have their physical addresses; direct, all parts are contiguous.
        let own = if addresses == Addresses::Direct { base - TENDER_SIZE } else { 0 };
        Ok(Self {
            addresses,
            own,
            guest_ram: Region::between(base, end),
            load_bias,
            image: loaded,
            libos_stack: Region { start: base + IMAGE_OFFSET - GUARD - LIBOS_STACK, length: LIBOS_STACK },
            main_stack: Region { start: stack_start, length: stack_length },
            rings,
            heap: Region::between(heap_start, end),
            image_file: Region { start: end, length: file_length },
            sparse: Region { start: end + beyond, length: sparse },
        })
    }

    /// Guest address of one of the tender's own pages, from its guest-physical address.
    pub fn tender_address(&self, physical: u64) -> u64 {
        self.own + physical
    }

    /// Load address of a region of the image file.
    pub fn loaded(&self, in_file: Region) -> Region {
        Region { start: in_file.start.wrapping_add(self.load_bias), length: in_file.length }
    }

    /// Bytes of guest-physical memory that the guest has from the start.
    pub fn attached_at_start(&self) -> u64 {
        let needed = (self.physical(self.heap.start) + HEAP_AT_START).next_multiple_of(LARGE_PAGE);
        needed.max(ATTACHED_AT_START).min(self.physical_size())
    }

    /// Bytes of guest-physical memory that a guest with `attached` bytes, and `elsewhere` bytes outside of guest RAM, must
    /// have to use the first `length` bytes of its heap; `None` if it has enough. Memory is doubled, later grown by a quarter,
    /// because attached memory cannot be used elsewhere.
    pub fn attach(&self, attached: u64, length: u64, elsewhere: u64) -> Result<Option<u64>, Status> {
        let end = self.physical(self.heap.start) + length.min(self.heap.length);
        if end <= attached {
            return Ok(None);
        }
        let most = self.physical_size().saturating_sub(elsewhere) & !(PAGE - 1);
        if end > most {
            return Err(Status::NoMemory);
        }
        let step = attached.min(LARGE_STEP.max(attached / 4));
        // Rounded to large pages, as far as possible, because no page lies in two KVM memory slots.
        let end = end.next_multiple_of(LARGE_PAGE).max((attached + step) & !(LARGE_PAGE - 1));
        Ok(Some(end.min(most)))
    }

    /// Number of bytes of the heap in the first `attached` bytes of guest-physical memory.
    pub fn heap_attached(&self, attached: u64) -> u64 {
        attached.saturating_sub(self.physical(self.heap.start)).min(self.heap.length)
    }

    /// Guest-physical addresses of page tables for the sparse region, empty if there are none: enough for the whole region, or for
    /// all that a guest can pay for with its memory.
    pub fn sparse_tables(&self) -> Region {
        if self.addresses == Addresses::Direct {
            return Region::default();
        }
        let levels = [LARGE_PAGE, LARGE_PAGE << 9, LARGE_PAGE << 18];
        // A region that starts in the middle of a table's range takes one table more.
        let pages: u64 = levels.iter().map(|reach| self.sparse.length / reach + 2).sum();
        let end = self.physical_extent().next_multiple_of(LARGE_PAGE);
        Region { start: end, length: (pages * PAGE).min(self.physical_size()).next_multiple_of(LARGE_PAGE) }
    }

    /// Guest-physical address of a virtual address at or above the guest_ram.
    pub fn physical(&self, address: u64) -> u64 {
        TENDER_SIZE + (address - self.guest_ram.start)
    }

    /// Bytes of guest-physical memory, with the tender's own pages and without the image file.
    pub fn physical_size(&self) -> u64 {
        TENDER_SIZE + self.guest_ram.length
    }

    /// Bytes of guest-physical addresses: memory, followed by the image file.
    pub fn physical_extent(&self) -> u64 {
        self.physical_size() + self.image_file.length.next_multiple_of(PAGE)
    }
}

const _: () = assert!(IMAGE_OFFSET >= LIBOS_STACK + 2 * GUARD && GUARD.is_multiple_of(PAGE));

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fuzz::sample;

    /// An image of one segment at `start`.
    fn image(relocatable: bool, start: u64, length: u64) -> Image {
        sample::image(relocatable, Region { start, length }, 8 << 20)
    }

    #[test]
    fn nothing_overlaps_and_every_stack_is_guarded() {
        for (relocatable, start) in [(true, 0), (true, 0x1000), (false, 0x40_0000), (false, 0x7fff_f000)] {
            for (length, memory, aslr_seed) in
                [(1, 16 << 20, 0), (0x12345, 64 << 20, 7), (200 << 20, 1 << 30, u64::MAX)]
            {
                let image = image(relocatable, start, length);
                let layout =
                    Layout::plan(&image, memory, aslr_seed, 3 * PAGE, Addresses::Translated).expect("enough memory");
                let parts = [layout.libos_stack, layout.image, layout.main_stack, layout.rings, layout.heap];
                assert!(layout.libos_stack.start >= layout.guest_ram.start + GUARD);
                assert!(parts.windows(2).all(|pair| pair[0].end() + GUARD <= pair[1].start), "{layout:x?}");
                assert_eq!(layout.heap.end(), layout.guest_ram.end());
                assert!(parts.iter().all(|part| part.start.is_multiple_of(PAGE) && part.length > 0));
                assert_eq!(layout.guest_ram.start % LARGE_PAGE, 0);
                assert_eq!(layout.load_bias == 0, !relocatable);
                assert!(layout.attached_at_start() <= layout.physical_size());
                assert!(layout.heap_attached(layout.attached_at_start()) >= HEAP_MINIMUM);
            }
        }
    }

    #[test]
    fn a_draw_moves_a_relocatable_image_and_no_other() {
        let base = |relocatable, aslr_seed| {
            let image = image(relocatable, if relocatable { 0 } else { 0x40_0000 }, 0x1000);
            Layout::plan(&image, 64 << 20, aslr_seed, 0, Addresses::Translated).expect("enough memory").image.start
        };
        assert_ne!(base(true, 1), base(true, 2));
        assert_eq!(base(false, 1), base(false, 2));
    }

    #[test]
    fn too_little_memory_says_how_much_is_needed() {
        let plan = |memory| Layout::plan(&image(true, 0, 32 << 20), memory, 0, 0, Addresses::Translated);
        let error = plan(16 << 20).expect_err("does not fit");
        let Unfit::MemoryTooSmall { needed, .. } = error else { panic!("{error}") };
        assert!(plan(needed).is_ok(), "what was said is enough");
        assert!(plan(u64::MAX).is_err());
    }

    #[test]
    fn memory_is_attached_in_whole_pages_to_the_end() {
        for memory in [64 << 20, 4 << 30, MEMORY_MAXIMUM] {
            let layout = Layout::plan(&image(true, 0, 0x12345), memory, 0, 0, Addresses::Translated).expect("enough");
            let mut attached = layout.attached_at_start();
            while attached < layout.physical_size() {
                let next = layout.attach(attached, layout.heap_attached(attached) + PAGE, 0);
                let next = next.expect("there is more").expect("it is not attached");
                assert!(next > attached && next.is_multiple_of(PAGE), "{attached:#x} then {next:#x}");
                attached = next;
            }
            assert_eq!(layout.attach(attached, layout.heap.length, 0), Ok(None));
        }
    }
}
