//! A folder of the host whose files a guest may read. It is opened before the process is confined; Landlock then lets the process
//! read below it, and nothing else of the file system (`confine::files`).

#![expect(unsafe_code, reason = "system calls without a wrapper")]

use crate::host::place;
use husk_abi::call::Status;
use husk_abi::host_file::{LENGTH_MAXIMUM, kind};
use std::ffi::CString;
use std::fs::File;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::FileExt;
use std::path::Path;

/// Bytes read at a time.
const PART: usize = 16 << 10;

/// Attempts to open a file while others are renamed.
const ATTEMPTS: u32 = 16;

/// An open folder.
#[derive(Debug)]
pub struct Folder(File);

impl Folder {
    /// Opens the folder at `path`, for lookups alone.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = place::open(path)?;
        let is_directory = file.metadata()?.is_dir();
        if is_directory { Ok(Self(file)) } else { Err(io::ErrorKind::NotADirectory.into()) }
    }

    /// Returns what lies at `path` below the folder, which is empty for the folder itself: its kind and contents.
    pub fn read(&self, path: &[u8]) -> Result<(u32, Vec<u8>), Status> {
        let file = self.open_below(if path.is_empty() { b"." } else { path })?;
        match read(&file) {
            Ok(bytes) => Ok((kind::FILE, bytes)),
            Err(Failed::Directory) => list(&file).map(|records| (kind::DIRECTORY, records)),
            Err(Failed::Otherwise(status)) => Err(status),
        }
    }

    /// Opens a file or folder; links may not lead out.
    fn open_below(&self, path: &[u8]) -> Result<File, Status> {
        let path = CString::new(path).map_err(|_| Status::Invalid)?;
        let flags = libc::O_RDONLY | libc::O_NONBLOCK | libc::O_NOCTTY;
        let resolve = libc::RESOLVE_BENEATH | libc::RESOLVE_NO_MAGICLINKS;
        let opened = place::open_beneath(self.0.as_raw_fd(), &path, (flags, 0), resolve, ATTEMPTS);
        opened.map(File::from).map_err(|error| refusal(error.raw_os_error()))
    }
}

/// Status for a path that could not be opened: `Invalid` if there is nothing for the guest, `InputOutput` if the host failed.
fn refusal(errno: Option<i32>) -> Status {
    match errno {
        Some(libc::ENOENT | libc::ENOTDIR | libc::EXDEV | libc::ELOOP | libc::ENAMETOOLONG) => Status::Invalid,
        _ => Status::InputOutput,
    }
}

impl AsFd for Folder {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Folder {
    fn as_raw_fd(&self) -> i32 {
        self.0.as_raw_fd()
    }
}

/// Reason why a file cannot be read.
#[derive(Debug)]
pub enum Failed {
    /// The file is a directory.
    Directory,
    /// The status that the guest gets.
    Otherwise(Status),
}

/// Reads a whole file, from its start, by pread(2) alone.
pub fn read(file: &File) -> Result<Vec<u8>, Failed> {
    let mut bytes = vec![];
    loop {
        let start = bytes.len();
        bytes.resize(start + PART, 0);
        let count = match file.read_at(&mut bytes[start..], start as u64) {
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {
                bytes.truncate(start);
                continue;
            }
            Err(error) if error.raw_os_error() == Some(libc::EISDIR) => return Err(Failed::Directory),
            Err(_) => return Err(Failed::Otherwise(Status::InputOutput)),
        };
        bytes.truncate(start + count);
        if count == 0 {
            return Ok(bytes);
        }
        if bytes.len() as u64 > LENGTH_MAXIMUM {
            return Err(Failed::Otherwise(Status::TooLarge));
        }
    }
}

/// Bytes of a record of getdents64(2) before the name: number, offset, length, kind.
const HEADER: usize = 8 + 8 + 2 + 1;

/// Lists a directory, as a record for each entry ([`kind::DIRECTORY`]).
fn list(directory: &File) -> Result<Vec<u8>, Status> {
    let mut records = vec![];
    let mut part = [0_u8; PART];
    loop {
        // SAFETY: the buffer is a local variable of the length that is passed.
        let count =
            unsafe { libc::syscall(libc::SYS_getdents64, directory.as_raw_fd(), part.as_mut_ptr(), part.len()) };
        let count = usize::try_from(count).map_err(|_| Status::InputOutput)?;
        if count == 0 {
            return Ok(records);
        }
        append(&mut records, &part[..count]).ok_or(Status::InputOutput)?;
        if records.len() as u64 > LENGTH_MAXIMUM {
            return Err(Status::TooLarge);
        }
    }
}

/// Appends what getdents64(2) has returned.
fn append(records: &mut Vec<u8>, mut listed: &[u8]) -> Option<()> {
    while !listed.is_empty() {
        let length = usize::from(u16::from_ne_bytes([*listed.get(16)?, *listed.get(17)?]));
        let (record, rest) = listed.split_at_checked(length.max(HEADER))?;
        let name = record[HEADER..].split(|byte| *byte == 0).next()?;
        let is_directory = record[HEADER - 1] == libc::DT_DIR;
        if !matches!(name, b"" | b"." | b"..") {
            records.push(if is_directory { kind::DIRECTORY } else { kind::FILE } as u8);
            records.extend_from_slice(name);
            records.push(0);
        }
        listed = rest;
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::symlink;

    #[test]
    fn what_is_below_is_read_and_nothing_else() {
        let outer = tempfile::tempdir().expect("a folder");
        let path = outer.path().join("zones");
        fs::create_dir_all(path.join("Europe")).expect("a folder");
        fs::write(outer.path().join("secret"), "s").expect("a file");
        fs::write(path.join("Europe/Paris"), vec![b'p'; 40_000]).expect("a file");
        for (target, name) in
            [("Europe/Paris", "Paris"), ("../secret", "out"), ("/etc/passwd", "absolute"), ("/proc/self/root", "magic")]
        {
            symlink(target, path.join(name)).expect("a link");
        }
        let folder = Folder::open(&path).expect("it is there");
        for inside in [&b"Europe/Paris"[..], b"Paris", b"Europe/../Europe/Paris"] {
            assert_eq!(folder.read(inside), Ok((kind::FILE, vec![b'p'; 40_000])));
        }
        assert_eq!(folder.read(b"Europe"), Ok((kind::DIRECTORY, b"\x01Paris\0".to_vec())));
        let (_, records) = folder.read(b"").expect("it is a directory");
        let mut names: Vec<_> = records.split(|byte| *byte == 0).filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        assert_eq!(names, [&b"\x01Paris"[..], b"\x01absolute", b"\x01magic", b"\x01out", b"\x02Europe"]);
        for outside in [&b"out"[..], b"absolute", b"magic/etc", b"../secret", b"/etc/passwd", b"none", b"a\0b"] {
            assert_eq!(folder.read(outside), Err(Status::Invalid), "{}", outside.escape_ascii());
        }
    }

    #[test]
    fn a_file_has_a_limit() {
        let file = tempfile::tempfile().expect("a file");
        file.set_len(LENGTH_MAXIMUM).expect("room");
        assert_eq!(read(&file).expect("it is short enough").len() as u64, LENGTH_MAXIMUM);
        file.set_len(LENGTH_MAXIMUM + 1).expect("room");
        assert!(matches!(read(&file), Err(Failed::Otherwise(Status::TooLarge))));
        assert!(matches!(read(&File::open("/").expect("it is there")), Err(Failed::Directory)));
    }
}
