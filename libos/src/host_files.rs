//! Files of the host that the tender offers ([`husk::abi::host_file`]), read by a call when the program looks for one.

use crate::errno::Errno;
use crate::fs::host::Contents;
use alloc::vec::Vec;
use husk::abi::call::{Number, Status};
use husk::abi::host_file::{Answer, PATH_MAXIMUM, kind};
use husk::{boot, gate};

/// Bytes read at first: more than most time zones have.
const FIRST: usize = 4096;
/// Attempts at a file that grows meanwhile.
const TRIES: usize = 3;

/// Paths that the tender offers; a directory ends in `/`.
pub fn paths() -> impl Iterator<Item = &'static [u8]> {
    boot::host_files()
}

/// Reads what lies at `path`.
pub fn read(path: &[u8]) -> Result<Contents, Errno> {
    if path.len() as u64 > PATH_MAXIMUM {
        return Err(Errno::ENOENT);
    }
    let mut bytes = Vec::new();
    let mut room = FIRST;
    for _ in 0..TRIES {
        bytes.try_reserve_exact(room).map_err(|_| Errno::ENOMEM)?;
        bytes.resize(room, 0);
        let (from, into) = (path.as_ptr() as u64, bytes.as_mut_ptr() as u64);
        let value = gate::call(Number::HostFile, from, path.len() as u64, into, room as u64).map_err(errno)?;
        let Answer { kind, length } = Answer::decode(value).ok_or(Errno::EIO)?;
        if length as usize <= room {
            bytes.truncate(length as usize);
            return contents(kind, bytes);
        }
        bytes.clear();
        room = length as usize;
    }
    Err(Errno::EIO)
}

fn contents(kind: u32, bytes: Vec<u8>) -> Result<Contents, Errno> {
    match kind {
        kind::FILE => Ok(Contents::File(bytes)),
        kind::DIRECTORY => Ok(Contents::Directory(bytes)),
        kind::LINK if !bytes.is_empty() => Ok(Contents::Link(bytes)),
        _ => Err(Errno::EIO),
    }
}

fn errno(status: Status) -> Errno {
    match status {
        Status::Invalid => Errno::ENOENT,
        Status::TooLarge => Errno::EFBIG,
        _ => Errno::EIO,
    }
}
