//! File system whose reads are answered when the test says so: what a file system of the network is when its server hangs.
//!
//! It speaks the kernel's protocol (`linux/fuse.h`) as far as a directory with one file needs it.

#![expect(unsafe_code, reason = "mount(2) has no other interface here")]

use crate::Folder;
use crate::requires;
use husk_skip::skip;
use std::ffi::CString;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::sync::{Arc, Mutex};
use std::thread;

/// Contents of the file.
const CONTENTS: &[u8] = b"contents";
/// Inode numbers.
const ROOT: u64 = 1;
const FILE: u64 = 2;
/// Operations.
const LOOKUP: u32 = 1;
const FORGET: u32 = 2;
const GETATTR: u32 = 3;
const OPEN: u32 = 14;
const READ: u32 = 15;
const STATFS: u32 = 17;
const RELEASE: u32 = 18;
const FLUSH: u32 = 25;
const INIT: u32 = 26;
const OPENDIR: u32 = 27;
const RELEASEDIR: u32 = 29;
const INTERRUPT: u32 = 36;
/// Length of the header of a request, and of an answer.
const HEADERS: (usize, usize) = (40, 16);

/// Mounted file system, with the file `file`.
#[derive(Debug)]
pub struct SlowFiles {
    folder: Folder,
    device: Arc<File>,
    /// Reads that are not answered yet; all are from the start when this is false.
    waiting: Arc<Mutex<Vec<u64>>>,
    hangs: Arc<AtomicBool>,
}

impl SlowFiles {
    /// Mounts it; skips the test where that is not possible. Its reads hang from the beginning.
    pub fn mount() -> Option<Self> {
        if !requires::root() {
            return None;
        }
        let folder = Folder::empty();
        let Ok(device) = File::options().read(true).write(true).open("/dev/fuse") else {
            skip!("a test with a file system that hangs, as there is no /dev/fuse");
            return None;
        };
        let text = |text: &str| CString::new(text).expect("no NUL");
        let options = text(&format!("fd={},rootmode=40000,user_id=0,group_id=0,allow_other", device.as_raw_fd()));
        let (path, kind) = (text(folder.path().to_str().expect("UTF-8")), text("fuse"));
        // SAFETY: all arguments are strings that outlive the call.
        let mounted = unsafe { libc::mount(kind.as_ptr(), path.as_ptr(), kind.as_ptr(), 0, options.as_ptr().cast()) };
        if mounted != 0 {
            skip!("a test with a file system that hangs: {}", std::io::Error::last_os_error());
            return None;
        }
        let (device, waiting, hangs) = (Arc::new(device), Arc::default(), Arc::new(AtomicBool::new(true)));
        let server = (Arc::clone(&device), Arc::clone(&waiting), Arc::clone(&hangs));
        thread::spawn(move || serve(&server.0, &server.1, &server.2));
        Some(Self { folder, device, waiting, hangs })
    }

    /// Path of the mount point.
    pub fn path(&self) -> PathBuf {
        self.folder.path().to_owned()
    }

    /// Flag of `husk run` that shows it at `/slow`.
    pub fn flag(&self) -> String {
        format!("--files=/slow={}", self.folder.path().display())
    }

    /// Returns true once a read hangs.
    pub fn has_waiting(&self) -> bool {
        !self.waiting.lock().expect("no panic").is_empty()
    }

    /// Answers all reads, from now on at once.
    pub fn go_on(&self) {
        self.hangs.store(false, Relaxed);
        for number in self.waiting.lock().expect("no panic").drain(..) {
            answer(&self.device, number, 0, CONTENTS);
        }
    }
}

impl Drop for SlowFiles {
    fn drop(&mut self) {
        let path = CString::new(self.folder.path().to_str().unwrap_or_default()).unwrap_or_default();
        // SAFETY: the path is a string. What hangs ends with the connection, when the thread that serves it does.
        unsafe { libc::umount2(path.as_ptr(), libc::MNT_DETACH | libc::MNT_FORCE) };
    }
}

fn serve(device: &File, waiting: &Mutex<Vec<u64>>, hangs: &AtomicBool) {
    let mut bytes = vec![0; 1 << 18];
    let mut reader = device;
    while let Ok(length) = reader.read(&mut bytes) {
        let request = &bytes[..length];
        let word = |at: usize| u32::from_ne_bytes(request[at..at + 4].try_into().expect("4 bytes"));
        let long = |at: usize| u64::from_ne_bytes(request[at..at + 8].try_into().expect("8 bytes"));
        let (operation, number, node) = (word(4), long(8), long(16));
        match operation {
            INIT => answer(device, number, 0, &init()),
            LOOKUP if request[HEADERS.0..].starts_with(b"file\0") => {
                let entry = [FILE, 0, 0, 0, 0].map(u64::to_ne_bytes).concat();
                answer(device, number, 0, &[entry, attributes(FILE)].concat());
            }
            LOOKUP => answer(device, number, libc::ENOENT, &[]),
            GETATTR => answer(device, number, 0, &[vec![0; 16], attributes(node)].concat()),
            // Without the page cache, so that each read is a request.
            OPEN | OPENDIR => answer(device, number, 0, &[0, 1].map(u64::to_ne_bytes).concat()),
            READ if hangs.load(Relaxed) => waiting.lock().expect("no panic").push(number),
            READ if u64::from_ne_bytes(request[48..56].try_into().expect("8 bytes")) > 0 => {
                answer(device, number, 0, &[]);
            }
            READ => answer(device, number, 0, CONTENTS),
            STATFS => answer(device, number, 0, &[0; 80]),
            RELEASE | RELEASEDIR | FLUSH => answer(device, number, 0, &[]),
            FORGET => {}
            // The process that waits is being killed.
            INTERRUPT => {
                let mut waiting = waiting.lock().expect("no panic");
                if let Some(at) = waiting.iter().position(|number| *number == long(HEADERS.0)) {
                    answer(device, waiting.swap_remove(at), libc::EINTR, &[]);
                }
            }
            _ => answer(device, number, libc::ENOSYS, &[]),
        }
    }
}

/// Version 7.31, without any feature.
fn init() -> Vec<u8> {
    let mut bytes = [7_u32, 31, 0, 0, 0, 1 << 16, 1].map(u32::to_ne_bytes).concat();
    bytes.resize(64, 0);
    bytes
}

/// `struct fuse_attr`.
fn attributes(node: u64) -> Vec<u8> {
    let (size, mode) = if node == ROOT { (0, 0o40755) } else { (CONTENTS.len() as u64, 0o100_644) };
    let mut bytes = [node, size, 1, 0, 0, 0].map(u64::to_ne_bytes).concat();
    bytes.extend([0, 0, 0, mode, 1, 0, 0, 0, 512, 0].map(u32::to_ne_bytes).concat());
    bytes
}

fn answer(device: &File, number: u64, error: i32, data: &[u8]) {
    let mut bytes = ((HEADERS.1 + data.len()) as u32).to_ne_bytes().to_vec();
    bytes.extend((-error).to_ne_bytes());
    bytes.extend(number.to_ne_bytes());
    bytes.extend(data);
    let mut writer = device;
    // The request may have been given up.
    let _ = writer.write(&bytes);
}
