//! The guest's address space, as prose and numbers.
//!
//! ```text
//! virtual address          who may what      contents
//! 0 .. 64 KiB              nobody            never mapped: a null pointer, with any small offset, faults
//! GATE                     guest r-x         gate, system call stub            (hvt only: ring 0 enters here)
//! FRAME                    guest r--         the stub's constant return frame  (hvt only)
//! CLOCK                    guest r--         clock page
//! BOOT .. + BOOT_SIZE      guest r--         boot information, arguments, environment, right behind it
//! RING0 .. + RING0_SIZE    ring 0 only       descriptor tables, exception stubs, their stack (hvt only)
//!
//! window                   (base chosen by the tender: random, or what a fixed image dictates; 2 MiB-aligned)
//!   .. IMAGE_OFFSET        nobody, but for    the libos stack, with unmapped guards on both sides
//!   + IMAGE_OFFSET         per segment       the image, each segment with its own rights
//!   guard, main stack, guard  guest rw-      stack of the program's first thread
//!   rings, guard           guest rw-         of the devices that are attached, if any
//!   heap .. end            guest rw-         everything else
//!
//! image file               guest r--         the file that the image was loaded from, at the window's end
//! sparse region            guest rw-         addresses whose pages get memory when they are touched first
//! ```
//!
//! The window is memory: as many bytes as the guest may have (`--memory`), all of them the guest's. Programs reserve far
//! more than they touch, though: a thread has a stack of 2 MiB and uses some pages of it. So an ordinary program gets
//! the sparse region besides, several times as many addresses as it has memory, none of which is mapped. The first touch
//! of a page there is a page fault, which the tender answers by mapping it, with some pages around it.
//!
//! That does not loosen the bound. What is mapped in the sparse region, page tables for it included, and what is attached
//! of the window ([`Number::Attach`](crate::call::Number::Attach)) is together never more than the window is long: the
//! tender counts both, and a guest can reach no page that is not mapped, nor map one itself. A touch for which nothing is
//! left is a fault ([`crate::fault::OUT_OF_MEMORY`]); a guest asks before it relies on memory there
//! ([`Number::Room`](crate::call::Number::Room)), and gives back what it uses no more
//! ([`Number::Discard`](crate::call::Number::Discard)). A call may name pages of the sparse region once they have been
//! touched; devices have no business there.
//!
//! The tender's own area (the low rows and the page tables, which are mapped nowhere) lies in guest-physical memory
//! below the window: physical address `p` of the window is [`TENDER_SIZE`]` + (virtual - window base)`.
//!
//! That is how it is in a virtual machine (hvt). In a process (spt) there are no page tables to lead from one to the
//! other: what is physical memory above lies there in one piece, so that the low rows are found at the window's base less
//! [`TENDER_SIZE`], plus the addresses that they have above; those of ring 0 are missing. So no address is fixed by
//! contract: a guest takes all of them from [`boot::Info`](crate::boot::Info).

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Bytes in a page.
pub const PAGE: u64 = 4096;
/// Bytes mapped by one page-directory entry; the window's base and size are multiples of it.
pub const LARGE_PAGE: u64 = 2 << 20;

/// Nothing below this address is ever mapped.
pub const NULL_GUARD: u64 = 64 << 10;

/// Gate and system call stub: readable and executable by the guest, writable by nobody.
pub const GATE: u64 = 0x1_0000;
/// The frame that the system call stub returns through; readable by the guest. Below 4 GiB: the stub loads it with a
/// 32-bit move.
pub const FRAME: u64 = 0x1_1000;
/// The clock page.
pub const CLOCK: u64 = 0x1_2000;
/// Boot information.
pub const BOOT: u64 = CLOCK + PAGE;
/// Size of boot information, arguments and environment in bytes: as much as Linux grants at its default stack limit
/// would be 2 MiB; an image that needs more than this is better served by a file.
pub const BOOT_SIZE: u64 = 256 << 10;
/// Ring-0 pages: descriptor tables, exception stubs, exception stack.
pub const RING0: u64 = 0x6_0000;
/// Size of the ring-0 pages in bytes.
pub const RING0_SIZE: u64 = 0x8000;

/// Guest-physical bytes below the window: the tender's own pages.
pub const TENDER_SIZE: u64 = 2 << 20;

/// Where in the window the image starts.
pub const IMAGE_OFFSET: u64 = 2 << 20;
/// Unmapped bytes on each side of a stack.
pub const GUARD: u64 = 64 << 10;
/// Size of the libos stack in bytes.
pub const LIBOS_STACK: u64 = 64 << 10;
/// The least heap that an image is started with, in bytes.
pub const HEAP_MINIMUM: u64 = 256 << 10;

/// Lowest window base that the tender draws at random.
pub const WINDOW_LOWEST: u64 = 4 << 30;
/// End of the addresses a window may reach: the lower half of a 48-bit address space, less its last page.
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
    /// The region from `start` up to, not including, `end`.
    pub const fn between(start: u64, end: u64) -> Self {
        Self { start, length: end.saturating_sub(start) }
    }

    /// The address after the last one, saturating.
    pub const fn end(&self) -> u64 {
        self.start.saturating_add(self.length)
    }

    /// Whether `address` lies inside.
    pub const fn contains(&self, address: u64) -> bool {
        address >= self.start && address - self.start < self.length
    }
}

bitflags::bitflags! {
    /// What a guest may do with a page.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Rights: u64 {
        /// Read it.
        const READ = 1;
        /// Write it; never together with [`Rights::EXECUTE`].
        const WRITE = 2;
        /// Execute it.
        const EXECUTE = 4;
    }
}
