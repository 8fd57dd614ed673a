//! Reasons for which a file is refused, each with what to do about it.

use std::fmt;
use std::io::ErrorKind;

/// Rebuild, which fixes most of the defects below.
const REBUILD: &str = "build it again with `cargo husk build`";

/// Reason why an image file was refused. Addresses are as in the file.
#[derive(Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is explained by its message below")]
pub enum Refusal {
    NotOpened(ErrorKind, String),
    Directory,
    NotRegular,
    Truncated(&'static str),
    NotElf,
    WrongMachine { machine: u16, class: u8 },
    NotExecutable(u16),
    HeaderCount(u16),
    HeaderSize(u16),
    NoNotes,
    NoManifest,
    BadNote(&'static str),
    OtherVersion { image: u32 },
    Interpreter,
    NoSegments,
    WritableAndExecutable { address: u64 },
    Unordered { address: u64 },
    Overlapping { address: u64 },
    WrapsAround { address: u64 },
    LargerInFile { address: u64 },
    SegmentOutsideFile { address: u64 },
    ReadOnlyZeros { address: u64 },
    Misaligned { address: u64 },
    TooLow { address: u64 },
    TooHigh { address: u64 },
    HeadersNotLoaded,
    EntryOutside(u64),
    DispatcherOutside(u64),
    Relr,
    BadRelocations(&'static str),
    NeedsLibraries,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::NotOpened(ErrorKind::NotFound, _) => {
                write!(f, "no such file; `cargo husk build` prints the path of each image")
            }
            Self::NotOpened(ErrorKind::PermissionDenied, _) => {
                write!(f, "no permission to read it; `chmod +r` it, or run as its owner")
            }
            Self::NotOpened(_, ref why) => write!(f, "cannot be opened: {why}"),
            Self::Directory => write!(f, "is a directory; name the image file inside it"),
            Self::NotRegular => write!(f, "is not a regular file; copy the image to one, so that it can be mapped"),
            Self::Truncated(what) => write!(f, "is truncated: {what} would lie beyond its end; copy or build it again"),
            Self::NotElf => write!(f, "is not an ELF file; an image is what `cargo husk build` makes"),
            Self::WrongMachine { machine, class } => write!(
                f,
                "is for another machine (ELF class {class}, machine {machine}); this husk runs 64-bit x86-64 images"
            ),
            Self::NotExecutable(kind) => write!(f, "is an ELF file of type {kind}, not an executable; {REBUILD}"),
            Self::HeaderCount(count) => write!(f, "has {count} program headers, where 1 to 64 are allowed; {REBUILD}"),
            Self::HeaderSize(size) => write!(f, "has program headers of {size} bytes instead of 56; {REBUILD}"),
            Self::NoNotes => write!(
                f,
                "is not a husk image: build it with `cargo husk build`; if that made it, a wrapper of rustc has added '-C linker', for another linker was used"
            ),
            Self::NoManifest => write!(f, "has no manifest note; {REBUILD}"),
            Self::BadNote(what) => write!(f, "has a malformed note: {what}; {REBUILD}"),
            Self::OtherVersion { image } => write!(
                f,
                "was built for contract version {image}, but this husk speaks version {}; {}",
                husk_abi::VERSION,
                if image > husk_abi::VERSION { "install a newer husk" } else { REBUILD },
            ),
            Self::Interpreter => write!(f, "wants a dynamic linker, which a guest does not have; {REBUILD}"),
            Self::NoSegments => write!(f, "has nothing to load; {REBUILD}"),
            Self::WritableAndExecutable { address } => write!(
                f,
                "has a segment at {address:#x} that is both writable and executable; link it without that (no `-z execstack`, no `-N`)"
            ),
            Self::Unordered { address } => write!(f, "has its segment at {address:#x} out of order; {REBUILD}"),
            Self::Overlapping { address } => {
                write!(f, "has a segment at {address:#x} that shares a page with the one before it; {REBUILD}")
            }
            Self::WrapsAround { address } => {
                write!(f, "has a segment at {address:#x} whose end wraps around; {REBUILD}")
            }
            Self::LargerInFile { address } => {
                write!(f, "has a segment at {address:#x} that is larger in the file than in memory; {REBUILD}")
            }
            Self::SegmentOutsideFile { address } => write!(
                f,
                "is truncated: its segment at {address:#x} would lie beyond the end of the file; copy or build it again"
            ),
            Self::ReadOnlyZeros { address } => {
                write!(
                    f,
                    "has a read-only segment at {address:#x} that is larger in memory than in the file; {REBUILD}"
                )
            }
            Self::Misaligned { address } => {
                write!(f, "has a segment at {address:#x} whose file offset does not match it page by page; {REBUILD}")
            }
            Self::TooLow { address } => write!(
                f,
                "wants to be loaded at {address:#x}, below the 4 MiB that a fixed image must leave free; build it position-independent"
            ),
            Self::TooHigh { address } => {
                write!(f, "wants a segment at {address:#x}, beyond the addresses of a guest; {REBUILD}")
            }
            Self::HeadersNotLoaded => write!(f, "does not load its own program headers; {REBUILD}"),
            Self::EntryOutside(address) => {
                write!(f, "has its entry point at {address:#x}, outside its code; {REBUILD}")
            }
            Self::DispatcherOutside(address) => {
                write!(f, "has its system call entry at {address:#x}, outside its code; {REBUILD}")
            }
            Self::Relr => {
                write!(f, "uses RELR relocations, which husk does not apply; link it without `-z pack-relative-relocs`")
            }
            Self::BadRelocations(what) => write!(f, "has relocations that cannot be applied: {what}; {REBUILD}"),
            Self::NeedsLibraries => {
                write!(f, "needs shared libraries, which a guest does not have; link it statically")
            }
        }
    }
}
