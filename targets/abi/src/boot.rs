//! Boot information: the block that a guest finds at its start, at the address in `rdi`.
//!
//! The image is already relocated on entry, and its `PT_GNU_RELRO` range, in whole pages, is read-only. On entry `rip` is the
//! image's entry point, `rdi` the address of [`Info`], the direction flag is clear, the FPU and SSE are in their power-on
//! state, and every other register is undefined. In particular `rsp` holds no stack: the guest loads it with one of the stacks
//! below.

use crate::memory::Region;
use crate::stream::Stream;
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// The boot information block. Addresses are guest-virtual, sizes bytes.
#[derive(Clone, Copy, Debug, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Info {
    /// [`crate::VERSION`] of the tender.
    pub version: u32,
    /// Size of this structure in the tender's build; a guest treats fields beyond it as absent.
    pub size: u32,
    /// Address of the gate, a function `extern "sysv64" fn(number, a, b, c, d) -> result` that makes a call ([`crate::call`]).
    pub gate: u64,
    /// Address of the clock page, a [`crate::clock::Page`].
    pub clock: u64,
    /// Difference between guest addresses and addresses in the ELF file; 0 for a fixed image.
    pub load_bias: u64,
    /// The loaded image, from its first to its last segment.
    pub image: Region,
    /// Address of the program headers, which the first segment holds.
    pub program_headers: u64,
    /// Number of program headers.
    pub program_header_count: u32,
    /// [`Flags`].
    pub flags: u32,
    /// The stack of the libos on the first processor.
    pub libos_stack: Region,
    /// The stack of the program's first thread.
    pub main_stack: Region,
    /// Heap memory, which the guest divides freely: readable, writable, zeroed.
    pub heap: Region,
    /// Number of heap bytes that are usable at the start. The guest must request the rest ([`crate::call::Number::GrowHeap`])
    /// before it touches it, because each start would pay for memory that most guests never need.
    pub heap_attached: u64,
    /// Addresses at which the image file is readable after [`crate::call::Number::AttachImage`]: a mapping, not a copy. Empty
    /// for a native program.
    pub image_file: Region,
    /// Fresh random bytes, never used twice: the seed of the guest's random number generator.
    pub entropy: [u8; 32],
    /// Program arguments, the program's own name first.
    pub arguments: Strings,
    /// Environment, each string of the form `NAME=value`.
    pub environment: Strings,
    /// Sixteen more random bytes, for the program's auxiliary vector (AT_RANDOM). The host draws them, so that a start needs no
    /// generator of its own.
    pub program_entropy: [u8; 16],
    /// Address of the [`crate::device::Table`], or 0 if no device is attached.
    pub devices: u64,
    /// Addresses of pages that are allocated on first touch; see [`crate::memory`]. Empty for a native program.
    pub sparse: Region,
    /// Name of the machine, for uname(2): 1 to 64 letters, digits, dots and hyphens. Absent or empty, it is [`HOSTNAME`].
    pub hostname: Region,
    /// Paths of the host's files that the guest may read ([`crate::host_file`]). Absent or empty, there are none.
    pub host_files: Strings,
    /// Standard input, output and error. Absent, their kinds are not known.
    pub streams: [Stream; 3],
}

/// Name of a machine to which the user gave none.
pub const HOSTNAME: &str = "husk";

/// A change of the block must respect images that were built before it: see [`crate::VERSION`].
const _: () = assert!(crate::VERSION == 3 && size_of::<Info>() == 344, "append fields only, or raise the version");

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
        /// Report system calls that the libos does not implement to the tender ([`crate::call::Number::Unanswered`]).
        const VERBOSE = 1;
        /// A call costs about as much as a function call plus its work, and the tender serves the devices within the call: a
        /// guest that waits should call at once. Without this flag an exit is expensive enough for the guest to poll first,
        /// because another processor of the host may serve the devices.
        const NEAR = 2;
        /// The host confines guest and tender to one processor: while the guest runs, the tender does not, so polling for the
        /// tender's work is useless.
        const ALONE = 4;
    }
}
