//! The guest's address space, as prose and numbers.
//!
//! ```text
//! virtual address          access            contents
//! 0 .. 64 KiB              none              never mapped: a null pointer, with any small offset, faults
//! GATE                     guest r-x         gate, system call stub            (hvt only: ring 0 enters here)
//! FRAME                    guest r--         the stub's constant return frame  (hvt only)
//! CLOCK                    guest r--         clock page
//! BOOT .. + BOOT_SIZE      guest r--         boot information, arguments, environment, right behind it
//! RING0 .. + RING0_SIZE    ring 0 only       descriptor tables, exception stubs, their stack (hvt only)
//!
//! guest RAM                (base chosen by the tender: random, or what a fixed image dictates; 2 MiB-aligned)
//!   .. IMAGE_OFFSET        none, but for     the libos stack, with unmapped guards on both sides
//!   + IMAGE_OFFSET         per segment       the image, each segment with its own rights
//!   guard, main stack, guard  guest rw-      stack of the program's first thread
//!   rings, guard           guest rw-         of the devices that are attached, if any
//!   heap .. end            guest rw-         everything else
//!
//! image file               guest r--         the file that the image was loaded from, at guest RAM's end
//! sparse region            guest rw-         pages that are allocated on first touch
//! ```
//!
//! Guest RAM is memory: as many bytes as the guest may have (`--memory`), all of them the guest's. Programs reserve far more
//! than they touch, though: a thread has a stack of 2 MiB and uses some pages of it. An ordinary program therefore gets the
//! sparse region besides, several times as many addresses as it has memory, initially unmapped. The first touch of a page there
//! is a page fault, which the tender answers by mapping the page and some pages around it (demand paging).
//!
//! The sparse region does not loosen the bound. Mapped pages of the sparse region, their page tables, and the attached part of
//! guest RAM ([`Number::GrowHeap`](crate::call::Number::GrowHeap)) are together never larger than guest RAM: the tender counts
//! both, and a guest can neither reach an unmapped page nor map one itself. A touch for which no memory is left is a fault
//! ([`crate::fault::OUT_OF_MEMORY`]); a guest checks before it relies on memory there
//! ([`Number::AvailableMemory`](crate::call::Number::AvailableMemory)), and returns unused pages
//! ([`Number::Discard`](crate::call::Number::Discard)). A call may name pages of the sparse region once they have been touched;
//! rings may not.
//!
//! The tender's own area (the low rows and the page tables, which are not mapped in the guest) lies in guest-physical memory
//! below guest RAM: physical address `p` of guest RAM is [`TENDER_SIZE`]` + (virtual - its base)`.
//!
//! The above describes a virtual machine (hvt). In a process (spt) no page tables translate virtual to physical addresses: the
//! physical layout above is one contiguous mapping, so that the low rows lie at guest RAM's base less [`TENDER_SIZE`], plus
//! their addresses above; the ring 0 rows are missing. Consequently the contract fixes no address: a guest takes all of them
//! from [`boot::Info`](crate::boot::Info).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes in a page.
pub const PAGE: u64 = 4096;
/// Bytes mapped by one page-directory entry; guest RAM's base and size are multiples of it.
pub const LARGE_PAGE: u64 = 2 << 20;

/// End of the range from address 0 on that is never mapped.
pub const NULL_GUARD: u64 = 64 << 10;

/// Gate and system call stub: readable and executable by the guest, never writable.
pub const GATE: u64 = 0x1_0000;
/// Address of the frame that the system call stub returns through; readable by the guest. Below 4 GiB, because the stub loads
/// it with a 32-bit move.
pub const FRAME: u64 = 0x1_1000;
/// The clock page.
pub const CLOCK: u64 = 0x1_2000;
/// Boot information.
pub const BOOT: u64 = CLOCK + PAGE;
/// Size of boot information, arguments and environment in bytes. Linux at its default stack limit would grant 2 MiB; an image
/// that needs more than this is better served by a file.
pub const BOOT_SIZE: u64 = 256 << 10;
/// Ring-0 pages: descriptor tables, exception stubs, exception stack.
pub const RING0: u64 = 0x6_0000;
/// Size of the ring-0 pages in bytes.
pub const RING0_SIZE: u64 = 0x8000;

/// Guest-physical bytes below guest RAM: the tender's own pages.
pub const TENDER_SIZE: u64 = 2 << 20;

/// Offset of the image in guest RAM.
pub const IMAGE_OFFSET: u64 = 2 << 20;
/// Unmapped bytes on each side of a stack.
pub const GUARD: u64 = 64 << 10;
/// Size of the libos stack in bytes.
pub const LIBOS_STACK: u64 = 64 << 10;
/// Smallest heap that an image is started with, in bytes.
pub const HEAP_MINIMUM: u64 = 256 << 10;

/// Lowest base of guest RAM that the tender draws at random.
pub const WINDOW_LOWEST: u64 = 4 << 30;
/// Upper bound of the end of guest RAM: the lower half of a 48-bit address space, less its last page.
pub const WINDOW_HIGHEST: u64 = (1 << 47) - LARGE_PAGE;

/// A range of guest-virtual addresses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// Length in bytes.
    pub length: u64,
}

impl Region {
    /// Returns the region from `start` up to, not including, `end`.
    pub const fn between(start: u64, end: u64) -> Self {
        Self { start, length: end.saturating_sub(start) }
    }

    /// Returns the address after the last one, saturating.
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }

    /// Returns true if `address` lies inside.
    pub const fn contains(&self, address: u64) -> bool {
        address >= self.start && address - self.start < self.length
    }
}

bitflags::bitflags! {
    /// Access rights of a guest on a page.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rights: u64 {
        /// Read access.
        const READ = 1;
        /// Write access; never together with [`Rights::EXECUTE`].
        const WRITE = 2;
        /// Execute access.
        const EXECUTE = 4;
    }
}
