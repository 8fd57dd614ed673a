//! Objects that the linker step adds to every image, each prelinked by this package's build script.
//!
//! A package of its own: cargo compiles the patcher, and all else that the tool depends on, while the script compiles the libos,
//! which takes longest.

/// The libos: one global symbol, the entry point.
pub const LIBOS: &[u8] = include_bytes!(env!("HUSK_LIBOS_OBJECT"));

/// The libos with file systems for disks.
pub const LIBOS_VOLUMES: &[u8] = include_bytes!(env!("HUSK_LIBOS_VOLUMES_OBJECT"));

/// The allocator: its global symbols are weak.
pub const MALLOC: &[u8] = include_bytes!(env!("HUSK_MALLOC_OBJECT"));

/// The functions that copy, fill and compare: their global symbols are weak.
pub const BYTES: &[u8] = include_bytes!(env!("HUSK_BYTES_OBJECT"));

/// Target triple of the machine that the tool runs on, whose toolchain has the linker.
pub const HOST: &str = env!("HUSK_HOST");
