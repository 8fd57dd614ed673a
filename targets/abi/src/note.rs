//! The notes of an image: ELF notes of the name `Husk`, in a `PT_NOTE` segment.
//!
//! An image is a static or static-pie ELF64 file for x86-64 with one [`Abi`] note (written by the libos or the native
//! start code that it was linked with), one manifest (written by the linker step) and a GNU build-id. Its relocations,
//! if it has any, are all of the type `R_X86_64_RELATIVE`. The tender relies on program headers, notes and the dynamic
//! section only. All numbers are little-endian, name and body of a note are aligned to 4.
//!
//! The manifest is a [`Manifest`] followed by [`Manifest::device_count`] times a [`Device`].

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Name of every note below, without the terminating NUL.
pub const NAME: &[u8] = b"Husk";
/// Alignment of each note and of the two parts that follow its header, and so of the segment: a reader that takes the segment's
/// alignment, as the ELF specification requires, must find every note.
pub const ALIGNMENT: usize = 4;
/// Type of the note that holds an [`Abi`].
pub const ABI: u32 = 1;
/// Type of the note that holds a [`Manifest`] and its devices.
pub const MANIFEST: u32 = 2;
/// Type of the note that holds a [`crate::processor::Note`]; optional.
pub const PROCESSORS: u32 = 3;
/// Type of the note that holds a [`crate::signals::Note`]; optional.
pub const SIGNALS: u32 = 4;
/// Type of the note that holds a [`crate::threads::Note`]; optional.
pub const THREADS: u32 = 5;
/// Type of the note that holds a [`crate::files::Note`]; optional.
pub const FILES: u32 = 6;
/// Type of the note that holds the [`crate::folder::VERSION`] of a guest that can use folders, in four bytes; optional.
pub const FOLDERS: u32 = 7;
/// Type of the note that holds the [`crate::block::MOUNTS_VERSION`] of a guest that can mount disks, in four bytes; optional.
pub const MOUNTS: u32 = 8;
/// Type of the note with the mounts that an image asks for: a text `NAME:PATH` or `NAME:PATH:ro` for each, as of `--mount`, each
/// ended by a NUL; optional.
pub const MOUNT_POINTS: u32 = 9;
/// Name of the section from which the notes are linked.
pub const SECTION: &str = ".note.husk";

/// Contract version that an image was built for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Abi {
    /// [`crate::VERSION`] of the image.
    pub version: u32,
    /// 0.
    pub reserved: u32,
    /// Target of the guest's `syscall` instructions (at CPL 3; `rsp` is 0, the old one in `r11`), as a distance from the
    /// address of this field; 0 if the image makes none.
    pub system_calls: i64,
}

/// Highest number of devices in a manifest.
pub const DEVICES_MAXIMUM: usize = 64;

/// Requirements of an image, and facts about how it was built.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Manifest {
    /// Bytes of guest memory that the image asks for; `--memory` overrides it, `--memory-max` bounds it.
    pub memory: u64,
    /// Size of the main thread's stack in bytes.
    pub main_stack: u64,
    /// Number of `syscall` sites that were patched into jumps to the libos.
    pub patched_sites: u32,
    /// Number of `syscall` sites that still trap.
    pub trapping_sites: u32,
    /// Kind of program: a value of [`kind`].
    pub kind: u32,
    /// Number of [`Device`] records that follow.
    pub device_count: u32,
}

/// Values of [`Manifest::kind`].
pub mod kind {
    /// An ordinary `std` program over the libos.
    pub const STD: u32 = 0;
    /// A `no_std` program over the native API. Built for soft float: it has x87 and SSE state and an empty CPUID, and
    /// the instructions that access the FS and GS bases are not enabled.
    pub const NATIVE: u32 = 1;
}

/// A device that the image requires: the tender does not start the image without it. A std image that names no network device
/// also uses one called [`DEFAULT_NETWORK`], if that is attached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Device {
    /// A value of [`device_kind`].
    pub kind: u32,
    /// Length of the name in bytes, at least 1.
    pub name_length: u32,
    /// The name, of ASCII letters, digits, `-` and `_`, padded with zeros. Names of devices are unique.
    pub name: [u8; DEVICE_NAME_MAXIMUM],
}

impl Device {
    /// Returns a device of this kind and name; `None` if the name is invalid.
    pub fn new(name: &str, kind: u32) -> Option<Self> {
        let mut device = Self { kind, name_length: name.len() as u32, name: [0; DEVICE_NAME_MAXIMUM] };
        device.name.get_mut(..name.len())?.copy_from_slice(name.as_bytes());
        is_device_name(name).then_some(device)
    }

    /// Returns the device's name; `None` if it is invalid.
    pub fn name(&self) -> Option<&str> {
        let name = core::str::from_utf8(self.name.get(..self.name_length as usize)?).ok()?;
        is_device_name(name).then_some(name)
    }
}

/// Returns true if a device may have this name; its length is not checked.
pub fn is_device_name(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

/// Most bytes of a device's name.
pub const DEVICE_NAME_MAXIMUM: usize = 24;
/// Name of the network device of an image that names none.
pub const DEFAULT_NETWORK: &str = "net";

/// Values of [`Device::kind`].
pub mod device_kind {
    /// A network card.
    pub const NETWORK: u32 = 1;
    /// A disk.
    pub const BLOCK: u32 = 2;
    /// A folder ([`crate::folder`]). No manifest names one: the user attaches any number.
    pub const FOLDER: u32 = 3;
}
