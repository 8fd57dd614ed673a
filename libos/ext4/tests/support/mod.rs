//! Disks in memory, made and checked by e2fsprogs, and a guest that makes requests.

#![allow(dead_code, reason = "each test uses a part")]

pub mod model;
pub mod random;
pub mod recorder;

use husk_abi::folder::*;
use husk_ext4::{Data, Disk, Failed, Options, Volume};
use std::cell::RefCell;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Command, Output};
use std::sync::{Arc, Mutex};

pub const MIB: usize = 1 << 20;
/// A time in 2024, in nanoseconds.
pub const NOW_NS: u64 = 1_700_000_000_000_000_000;

/// Directory for files of disks: in memory where there is one.
pub fn scratch() -> tempfile::TempDir {
    let memory = Path::new("/dev/shm");
    if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() }.expect("a directory")
}

/// Runs a program of e2fsprogs, which Debian keeps in /sbin.
pub fn tool(program: &str, arguments: &[&str]) -> Output {
    let there = ["/usr/sbin", "/sbin"].into_iter().map(|directory| Path::new(directory).join(program));
    let path = there.into_iter().find(|path| path.exists()).unwrap_or(program.into());
    let output = Command::new(path).env("LC_ALL", "C").args(arguments).output();
    output.unwrap_or_else(|error| panic!("{program}: {error}"))
}

/// Returns true if e2fsprogs is there; says so if not.
pub fn has_tools() -> bool {
    let is_there = ["/usr/sbin", "/sbin"].iter().any(|directory| Path::new(directory).join("mkfs.ext4").exists());
    if !is_there {
        husk_skip::skip!("e2fsprogs is not installed");
    }
    is_there
}

/// An empty file system of that many MiB.
pub fn make(size: usize, arguments: &[&str]) -> Vec<u8> {
    let directory = scratch();
    let path = directory.path().join("disk");
    let file = std::fs::File::create(&path).expect("a file");
    file.set_len((size * MIB) as u64).expect("room");
    let all: Vec<&str> = ["-q", "-F"].iter().chain(arguments).copied().chain([path.to_str().expect("UTF-8")]).collect();
    let output = tool("mkfs.ext4", &all);
    assert!(output.status.success(), "mkfs.ext4 {all:?}: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(&path).expect("the disk")
}

/// A disk with another feature, which tune2fs adds.
pub fn tuned(disk: &[u8], feature: &str) -> Vec<u8> {
    let directory = scratch();
    let path = directory.path().join("disk");
    std::fs::write(&path, disk).expect("room");
    let output = tool("tune2fs", &["-O", feature, path.to_str().expect("UTF-8")]);
    assert!(output.status.success(), "tune2fs: {}", String::from_utf8_lossy(&output.stderr));
    std::fs::read(&path).expect("the disk")
}

thread_local! {
    /// A file for copies of disks, and what it has: one copy is written over another where they differ.
    static COPY: RefCell<Option<(tempfile::TempDir, Vec<u8>)>> = const { RefCell::new(None) };
}

/// Runs e2fsck on a copy of a disk. Returns its status, what it says, and the disk after it if that was changed.
pub fn check(disk: &[u8], arguments: &[&str]) -> (i32, String, Option<Vec<u8>>) {
    const PIECE: usize = 1 << 16;
    COPY.with_borrow_mut(|copy| {
        let (directory, before) = copy.get_or_insert_with(|| (scratch(), Vec::new()));
        let path = directory.path().join("disk");
        let file = std::fs::OpenOptions::new().write(true).create(true).truncate(false).open(&path).expect("a file");
        if before.len() != disk.len() {
            file.set_len(0).and_then(|()| file.set_len(disk.len() as u64)).expect("room");
            *before = vec![0; disk.len()];
        }
        for (number, (piece, before)) in disk.chunks(PIECE).zip(before.chunks_mut(PIECE)).enumerate() {
            if piece != before {
                file.write_all_at(piece, (number * PIECE) as u64).expect("room");
                before.copy_from_slice(piece);
            }
        }
        let all: Vec<&str> = arguments.iter().copied().chain([path.to_str().expect("UTF-8")]).collect();
        let output = tool("e2fsck", &all);
        let text = String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        let after = (!arguments.contains(&"-n")).then(|| std::fs::read(&path).expect("the disk"));
        after.iter().for_each(|after| before.copy_from_slice(after));
        (output.status.code().unwrap_or(-1), text, after)
    })
}

/// Fails unless a file system that is not mounted is without a fault.
pub fn assert_clean(disk: &[u8]) {
    let (status, text, _) = check(disk, &["-f", "-n"]);
    assert_eq!(status, 0, "e2fsck -fn: {text}");
}

/// Output of debugfs(8) for a command.
pub fn debugfs(disk: &[u8], command: &str) -> Vec<u8> {
    let directory = scratch();
    let path = directory.path().join("disk");
    std::fs::write(&path, disk).expect("room");
    tool("debugfs", &["-R", command, path.to_str().expect("UTF-8")]).stdout
}

/// A disk in memory, with its bytes in sight while it is mounted.
#[derive(Clone)]
pub struct Memory(pub Arc<Mutex<Vec<u8>>>);

impl Memory {
    pub fn new(bytes: Vec<u8>) -> Self {
        Self(Arc::new(Mutex::new(bytes)))
    }

    pub fn bytes(&self) -> Vec<u8> {
        self.0.lock().expect("no panic").clone()
    }
}

impl Disk for Memory {
    fn size(&self) -> u64 {
        self.0.lock().expect("no panic").len() as u64
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Failed> {
        let bytes = self.0.lock().expect("no panic");
        into.copy_from_slice(bytes.get(offset as usize..offset as usize + into.len()).ok_or(Failed)?);
        Ok(())
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> Result<(), Failed> {
        let mut bytes = self.0.lock().expect("no panic");
        let place = bytes.get_mut(offset as usize..offset as usize + from.len()).ok_or(Failed)?;
        place.copy_from_slice(from);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failed> {
        Ok(())
    }
}

/// Memory of a request.
pub struct Bytes {
    pub bytes: Vec<u8>,
    /// The volume may use it in one piece.
    pub is_whole: bool,
}

impl Data for Bytes {
    fn length(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn write(&mut self, at: u64, bytes: &[u8]) {
        self.bytes[at as usize..at as usize + bytes.len()].copy_from_slice(bytes);
    }

    fn read(&self, at: u64, into: &mut [u8]) {
        into.copy_from_slice(&self.bytes[at as usize..at as usize + into.len()]);
    }

    fn place(&mut self, at: u64, length: usize) -> Option<&mut [u8]> {
        if self.is_whole { self.bytes.get_mut(at as usize..at as usize + length) } else { None }
    }

    fn view(&self, at: u64, length: usize) -> Option<&[u8]> {
        if self.is_whole { self.bytes.get(at as usize..at as usize + length) } else { None }
    }
}

/// Answer, or an errno.
pub type Result<T, E = u32> = std::result::Result<T, E>;

pub const RDONLY: u32 = 0;
pub const RDWR: u32 = 2;
pub const CREATE: u32 = 0o100;
pub const EXCLUSIVE: u32 = 0o200;
pub const TRUNCATE: u32 = 0o1000;

/// A mounted volume, and requests to it.
pub struct Guest<D: Disk> {
    pub volume: Volume<D>,
    pub now_ns: u64,
    pub is_whole: bool,
}

impl<D: Disk> Guest<D> {
    pub fn mount(disk: D) -> Self {
        Self::try_mount(disk, false).expect("it is mounted")
    }

    pub fn try_mount(disk: D, read_only: bool) -> Result<Self, String> {
        let options = Options { read_only, cache_bytes: 4 * MIB, now_ns: NOW_NS };
        let volume = Volume::mount(disk, options).map_err(|error| error.to_string())?;
        Ok(Self { volume, now_ns: NOW_NS, is_whole: true })
    }

    pub fn ask(&mut self, operation: u16, request: Request, names: [&str; 2], data: &mut Bytes) -> Result<Answer> {
        self.now_ns += 1_000_000;
        let names = names.map(str::as_bytes);
        let request = Request { names: names.map(|name| name.len() as u32), ..request };
        let answer = self.volume.answer(operation, &request, names, data, self.now_ns);
        if answer.error == 0 { Ok(answer) } else { Err(answer.error) }
    }

    fn plain(&mut self, operation: u16, request: Request, names: [&str; 2]) -> Result<Answer> {
        self.ask(operation, request, names, &mut Bytes { bytes: Vec::new(), is_whole: true })
    }

    pub fn open(&mut self, path: &str, flags: u32) -> Result<u32> {
        let request = Request { handle: ROOT, flags, mode: 0o644, ..Request::default() };
        self.plain(OPEN, request, [path, ""]).map(|answer| answer.handle)
    }

    pub fn close(&mut self, handle: u32) -> Result<()> {
        self.plain(CLOSE, Request { handle, ..Request::default() }, ["", ""]).map(drop)
    }

    pub fn stat(&mut self, path: &str) -> Result<Attributes> {
        let request = Request { handle: ROOT, flags: Flags::NO_FOLLOW.bits(), ..Request::default() };
        self.plain(STAT, request, [path, ""]).map(|answer| answer.attributes)
    }

    pub fn stat_handle(&mut self, handle: u32) -> Result<Attributes> {
        self.plain(STAT, Request { handle, ..Request::default() }, ["", ""]).map(|answer| answer.attributes)
    }

    pub fn write_at(&mut self, handle: u32, offset: u64, bytes: &[u8]) -> Result<u64> {
        let mut data = Bytes { bytes: bytes.into(), is_whole: self.is_whole };
        self.ask(WRITE, Request { handle, offset, ..Request::default() }, ["", ""], &mut data)
            .map(|answer| answer.count)
    }

    pub fn read_at(&mut self, handle: u32, offset: u64, length: usize) -> Result<Vec<u8>> {
        let mut data = Bytes { bytes: vec![0xee; length], is_whole: self.is_whole };
        let answer = self.ask(READ, Request { handle, offset, ..Request::default() }, ["", ""], &mut data)?;
        data.bytes.truncate(answer.count as usize);
        Ok(data.bytes)
    }

    pub fn sync(&mut self, handle: u32, data_only: bool) -> Result<()> {
        let flags = if data_only { Flags::DATA_ONLY.bits() } else { 0 };
        self.plain(SYNC, Request { handle, flags, ..Request::default() }, ["", ""]).map(drop)
    }

    pub fn truncate(&mut self, path: &str, size: u64) -> Result<()> {
        let request = Request { handle: ROOT, flags: Flags::SIZE.bits(), count: size, ..Request::default() };
        self.plain(SET, request, [path, ""]).map(drop)
    }

    pub fn set(&mut self, path: &str, request: Request) -> Result<()> {
        self.plain(SET, Request { handle: ROOT, ..request }, [path, ""]).map(drop)
    }

    pub fn mkdir(&mut self, path: &str) -> Result<()> {
        self.plain(MAKE_DIRECTORY, Request { handle: ROOT, mode: 0o755, ..Request::default() }, [path, ""]).map(drop)
    }

    pub fn named(&mut self, operation: u16, path: &str, second: &str, flags: u32) -> Result<()> {
        let request = Request { handle: ROOT, to: ROOT, flags, ..Request::default() };
        self.plain(operation, request, [path, second]).map(drop)
    }

    pub fn unlink(&mut self, path: &str) -> Result<()> {
        self.named(UNLINK, path, "", 0)
    }

    pub fn rename(&mut self, path: &str, new: &str) -> Result<()> {
        self.named(RENAME, path, new, 0)
    }

    pub fn on_handle(&mut self, operation: u16, request: Request) -> Result<Answer> {
        self.plain(operation, request, ["", ""])
    }

    pub fn read_link(&mut self, path: &str) -> Result<String> {
        let mut data = Bytes { bytes: vec![0; 4096], is_whole: true };
        let answer = self.ask(READ_LINK, Request { handle: ROOT, ..Request::default() }, [path, ""], &mut data)?;
        Ok(String::from_utf8_lossy(&data.bytes[..answer.count as usize]).into_owned())
    }

    /// Makes a file with these contents.
    pub fn put(&mut self, path: &str, bytes: &[u8]) -> Result<()> {
        let handle = self.open(path, CREATE | TRUNCATE | RDWR)?;
        let written = self
            .write_at(handle, 0, bytes)
            .and_then(|count| if count == bytes.len() as u64 { Ok(()) } else { Err(28) });
        self.close(handle).and(written)
    }

    /// Contents of a file.
    pub fn get(&mut self, path: &str) -> Result<Vec<u8>> {
        let handle = self.open(path, RDONLY)?;
        let size = self.stat_handle(handle)?.size as usize;
        let mut bytes = Vec::new();
        while bytes.len() < size {
            let part = self.read_at(handle, bytes.len() as u64, (size - bytes.len()).min(MIB));
            match part {
                Ok(part) if !part.is_empty() => bytes.extend(part),
                other => return self.close(handle).and(other),
            }
        }
        self.close(handle).map(|()| bytes)
    }

    /// Returns records of a directory from a cookie on: names with their cookies.
    pub fn list_from(&mut self, handle: u32, offset: u64, length: usize) -> Result<Vec<(String, u64)>> {
        let mut data = Bytes { bytes: vec![0; length], is_whole: true };
        let answer = self.ask(LIST, Request { handle, offset, ..Request::default() }, ["", ""], &mut data)?;
        let mut names = Vec::new();
        let mut rest = &data.bytes[..answer.count as usize];
        while !rest.is_empty() {
            let length = u16::from_ne_bytes([rest[16], rest[17]]) as usize;
            let name = rest[19..length].split(|byte| *byte == 0).next().unwrap_or_default();
            names.push((
                String::from_utf8_lossy(name).into_owned(),
                u64::from_ne_bytes(rest[8..16].try_into().expect("8")),
            ));
            rest = &rest[length..];
        }
        Ok(names)
    }

    /// Names in a directory, sorted, without those of itself and its parent.
    pub fn list(&mut self, path: &str) -> Result<Vec<String>> {
        let handle = self.open(path, 0o200_000)?;
        let (mut names, mut cookie) = (Vec::new(), 0);
        loop {
            let some = self.list_from(handle, cookie, 4096);
            match some {
                Ok(some) if some.is_empty() => break,
                Ok(some) => {
                    cookie = some.last().map_or(0, |(_, cookie)| *cookie);
                    names.extend(some.into_iter().map(|(name, _)| name).filter(|name| name != "." && name != ".."));
                }
                Err(error) => return self.close(handle).and(Err(error)),
            }
        }
        names.sort();
        self.close(handle).map(|()| names)
    }
}
