//! Files of the host's folders ([`husk::abi::folder`]): what the files know of them, and requests about them.
//!
//! A folder is a directory, or a file, that the tree has at its path as a mount point ([`Mounted`]). What is below, the host
//! knows: [`super::place`] finds the folder that a path leads into, and the rest of the path is the host's to walk. Attributes
//! are kept for a moment ([`crate::folders`]); neither names nor contents are.

use super::buffers::Buffers;
use crate::errno::Errno;
use crate::user::Slice;
use alloc::boxed::Box;
use alloc::vec::Vec;
use husk::abi::folder::{Answer, DATA_MAXIMUM, READ, Request, WRITE};

/// Minor number of the file system of the first device, if that is a folder; the others follow.
pub const FIRST_FOLDER: u32 = 16;

/// A folder that is shown in the tree.
#[derive(Debug)]
pub struct Folder {
    /// Number among all devices.
    pub number: u32,
    /// True if nothing can be changed.
    pub read_only: bool,
    /// True if the folder is one file.
    pub is_file: bool,
    /// Absolute path.
    pub path: Vec<u8>,
    /// Name of the disk whose file system it is; `None` for a folder of the host.
    pub disk: Option<Vec<u8>>,
}

impl Folder {
    /// The flag that gives the folder its place.
    pub const fn flag(&self) -> &'static str {
        if self.disk.is_some() { "--mount" } else { "--files" }
    }
}

/// Mount point of a folder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mounted {
    /// Number of the folder among all devices.
    pub number: u32,
    /// True if it is one file.
    pub is_file: bool,
}

/// File that the host has open for the program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FolderFile {
    /// Number of the folder among all devices.
    pub folder: u32,
    /// Handle of the file.
    pub handle: u32,
    /// Inode number.
    pub number: u64,
    /// Kind of the file: bits of its mode.
    pub format: u32,
    /// True if the file can be changed by this handle.
    pub changes: bool,
}

/// An open file of a folder.
#[derive(Debug)]
pub struct Opened {
    /// The file.
    pub file: FolderFile,
    /// Path from the root of the folder at which it was opened.
    pub path: Box<[u8]>,
}

/// A path of the host.
#[derive(Debug)]
pub struct Place {
    /// Number of the folder among all devices.
    pub folder: u32,
    /// Handle of the directory at which the path begins, or [`husk::abi::folder::ROOT`].
    pub base: u32,
    /// Path of that directory from the root of the folder.
    pub prefix: Vec<u8>,
    /// The path.
    pub path: Vec<u8>,
}

impl Place {
    /// The path from the root of the folder.
    pub fn whole(&self) -> Result<Vec<u8>, Errno> {
        joined(&self.prefix, &self.path)
    }
}

/// Returns both paths with a slash between, if neither is empty.
pub fn joined(first: &[u8], second: &[u8]) -> Result<Vec<u8>, Errno> {
    let mut path = Vec::new();
    path.try_reserve_exact(first.len() + second.len() + 1).map_err(|_| Errno::ENOMEM)?;
    path.extend_from_slice(first);
    if !first.is_empty() && !second.is_empty() {
        path.push(b'/');
    }
    path.extend_from_slice(second);
    Ok(path)
}

/// Request to a folder.
#[derive(Debug)]
pub struct Ask<'a> {
    /// Operation.
    pub operation: u16,
    /// Fields of the request; the lengths of the names are filled in.
    pub request: Request,
    /// Inode number of the file that the request is about, if it is an open one.
    pub number: Option<u64>,
    /// Names.
    pub names: [&'a [u8]; 2],
    /// Data.
    pub data: Memory,
}

/// Data of a request.
#[derive(Debug)]
pub enum Memory {
    /// Memory of the program, all of it for devices.
    Program(Vec<Slice>),
    /// Memory of the libos.
    Own(Vec<u8>),
    /// Memory in which a mapping shows the file ([`super::mirror`]).
    Window(Slice),
}

/// Nothing.
pub const NO_DATA: Memory = Memory::Own(Vec::new());

/// Most parts of data in one request.
pub const PARTS_MAXIMUM: usize = husk::abi::ring::PARTS_MAXIMUM - 2;
/// Most bytes that go through memory of the libos, because a device cannot use that of the program.
const BOUNCE_MAXIMUM: u64 = 1 << 20;

impl Memory {
    /// Returns memory of the libos, zeroed.
    pub fn own(length: usize) -> Result<Self, Errno> {
        let mut bytes = Vec::new();
        bytes.try_reserve_exact(length).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(length, 0);
        Ok(Self::Own(bytes))
    }

    /// Returns memory for the first bytes of `buffers`, as many as one request moves; for [`WRITE`], with these bytes.
    fn of(operation: u16, buffers: Buffers<'_>, is_for_devices: fn(Slice) -> bool) -> Result<Self, Errno> {
        let (mut parts, mut left) = (Vec::new(), u64::from(DATA_MAXIMUM));
        for slice in buffers.to_slices()? {
            let part = slice.first(left);
            if part.is_empty() || parts.len() == PARTS_MAXIMUM || !is_for_devices(part) {
                break;
            }
            part.check()?;
            parts.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            parts.push(part);
            left -= part.length;
        }
        if !parts.is_empty() {
            return Ok(Self::Program(parts));
        }
        let mut own = Self::own(buffers.length().min(BOUNCE_MAXIMUM) as usize)?;
        if let Self::Own(bytes) = &mut own
            && operation == WRITE
        {
            buffers.fill(0, bytes)?;
        }
        Ok(own)
    }

    /// Bytes of the libos.
    pub fn bytes(&self) -> &[u8] {
        match self {
            Self::Program(_) | Self::Window(_) => &[],
            Self::Own(bytes) => bytes,
        }
    }

    /// Number of bytes.
    pub fn length(&self) -> u64 {
        match self {
            Self::Program(slices) => slices.iter().map(|slice| slice.length).sum(),
            Self::Own(bytes) => bytes.len() as u64,
            Self::Window(slice) => slice.length,
        }
    }
}

/// Answer to a request, with its data.
#[derive(Debug)]
pub struct Reply {
    /// The answer.
    pub answer: Answer,
    /// Data in memory of the libos.
    pub data: Memory,
}

impl Reply {
    /// The reply, unless it is an error.
    pub fn check(self) -> Result<Self, Errno> {
        match self.answer.error {
            0 => Ok(self),
            error => Err(Errno::from_number(error.into()).unwrap_or(Errno::EXDEV)),
        }
    }

    /// Bytes of the data that the answer counts.
    pub fn counted(&self) -> &[u8] {
        let bytes = self.data.bytes();
        bytes.get(..self.answer.count as usize).unwrap_or(bytes)
    }
}

impl FolderFile {
    /// Request about the open file.
    pub fn ask(self, operation: u16, request: Request) -> Ask<'static> {
        let request = Request { handle: self.handle, ..request };
        Ask { operation, request, number: Some(self.number), names: [b"", b""], data: NO_DATA }
    }

    /// Request that moves bytes between the file at `offset` and the program.
    pub fn transfer(
        self,
        operation: u16,
        offset: u64,
        flags: u32,
        buffers: Buffers<'_>,
        is_for_devices: fn(Slice) -> bool,
    ) -> Result<Ask<'static>, Errno> {
        debug_assert!(matches!(operation, READ | WRITE), "{operation}");
        let data = Memory::of(operation, buffers, is_for_devices)?;
        Ok(Ask { data, ..self.ask(operation, Request { offset, flags, ..Request::default() }) })
    }
}
