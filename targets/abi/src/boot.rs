//! What a guest is told when it starts: a block at the address that `rdi` holds on entry.
//!
//! The image is relocated when it is entered, and what is constant from then on (`PT_GNU_RELRO`, in whole pages) cannot
//! be written. On entry `rip` is the image's entry point, `rdi` the address of [`Info`], the direction flag is clear,
//! the FPU and SSE are in their power-on state, and every other register is undefined: `rsp` in particular points
//! nowhere, the guest picks one of the stacks below.

use crate::memory::Region;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The boot information block. Addresses are guest-virtual, sizes bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Info {
    /// [`crate::VERSION`] of the tender.
    pub version: u32,
    /// Size of this structure as the tender knows it; fields beyond are absent.
    pub size: u32,
    /// A function `extern "sysv64" fn(number, a, b, c, d) -> result`: the way to make a call ([`crate::call`]).
    pub gate: u64,
    /// Address of the clock page, a [`crate::clock::Page`].
    pub clock: u64,
    /// What to add to an address in the ELF file to get the guest address; 0 for a fixed image.
    pub load_bias: u64,
    /// The loaded image, from its first to its last segment.
    pub image: Region,
    /// Address of the program headers, which the first segment holds.
    pub program_headers: u64,
    /// Number of program headers.
    pub program_header_count: u32,
    /// [`Flags`].
    pub flags: u32,
    /// The libos stack.
    pub libos_stack: Region,
    /// The stack of the program's first thread.
    pub main_stack: Region,
    /// Memory for the guest to divide as it likes: readable, writable, zeroed.
    pub heap: Region,
    /// How many bytes of the heap can be used already. The rest must be asked for ([`crate::call::Number::Attach`])
    /// before it is touched: memory that most guests never need would cost each start its share.
    pub heap_attached: u64,
    /// Where the file that the image was loaded from can be read, once that has been asked for
    /// ([`crate::call::Number::AttachImage`]): mapped, not copied. Empty for a native program.
    pub image_file: Region,
    /// Fresh random bytes, never given twice, for the guest's generator.
    pub entropy: [u8; 32],
    /// Program arguments, the program's own name first.
    pub arguments: Strings,
    /// Environment, each string of the form `NAME=value`.
    pub environment: Strings,
    /// Sixteen more random bytes, for the program to find in its auxiliary vector: drawn by the host, so that a start
    /// does without a generator of its own.
    pub program_entropy: [u8; 16],
    /// Address of the [`crate::device::Table`], or 0 if nothing is attached.
    pub devices: u64,
    /// Addresses whose pages get memory when they are touched first; see [`crate::memory`]. Empty for a native program.
    pub sparse: Region,
}

/// Whoever changes the block must think of images that were built before: see [`crate::VERSION`].
const _: () = assert!(crate::VERSION == 2 && size_of::<Info>() == 256, "append fields only, or raise the version");

/// NUL-terminated strings, one after the other.
#[derive(Clone, Copy, Debug, Default, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Strings {
    /// Address of the first byte, and length in bytes, all terminators included.
    pub bytes: Region,
    /// Number of strings.
    pub count: u64,
}

bitflags::bitflags! {
    /// Switches in [`Info::flags`].
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Flags: u32 {
        /// Tell the tender about system calls that the libos does not answer
        /// ([`crate::call::Number::Unanswered`]).
        const VERBOSE = 1;
        /// A call takes no longer than a function of that length, and the tender serves the devices within it. Who waits
        /// does best to call at once. Without this, leaving is dear enough to look for a while whether another processor of
        /// the host serves them.
        const NEAR = 2;
        /// The host lets guest and tender run on one processor only: while the guest runs, the tender does not. Polling for
        /// what the tender does is useless.
        const ALONE = 4;
    }
}
