//! Fuzz target for requests to a folder: see [`crate::fuzz`].
//!
//! A guest makes any requests about a directory that lies beside a file which the guest does not have. That file must not change,
//! nothing may be made beside the directory, no file outside of it may be open, and none in it gets a set-ID bit; a folder to read only
//! must not change at all.

use super::options::Options;
use super::service::Service;
use super::tree::Tree;
use crate::fuzz::Arguments;
use husk_abi::folder::*;
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

/// Pieces of paths; a byte beyond them is a name by itself.
const PIECES: [&str; 15] =
    ["..", ".", "file", "near", "up", "away", "deep", "er", "loop", "pipe", "", "/", "far", "inside", SECRET];
/// Name and contents of the file that the guest does not have.
pub(crate) const SECRET: &str = "secret";
/// Most bytes that are allocated.
const ALLOCATED: u64 = 1 << 20;
/// Permissions by which a program runs as its file's owner or group.
const SET_ID: u32 = 0o6000;

/// Directory of one run: `inside`, which the guest has, and `secret`, which it has not.
pub(crate) struct Place(PathBuf);

impl Place {
    /// Makes a directory.
    pub fn new() -> std::io::Result<Self> {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let memory = Path::new("/dev/shm");
        let parent = if memory.is_dir() { memory.to_owned() } else { std::env::temp_dir() };
        let number = NUMBER.fetch_add(1, Relaxed);
        let place = Self(parent.join(format!("husk-fuzz-{}-{number}", std::process::id())));
        let inside = place.0.join("inside");
        fs::create_dir_all(inside.join("deep/er"))?;
        fs::write(place.0.join(SECRET), SECRET)?;
        fs::write(inside.join("file"), "contents")?;
        let links = [("../secret", "up"), ("/etc/passwd", "away"), ("file", "near"), ("deep/er/../../near", "far")];
        links.iter().try_for_each(|(target, name)| symlink(target, inside.join(name)))?;
        symlink("loop", inside.join("loop"))?;
        let _socket = std::os::unix::net::UnixListener::bind(inside.join("pipe"));
        Ok(place)
    }

    /// Path of the directory that the guest has.
    pub fn inside(&self) -> PathBuf {
        self.0.join("inside")
    }

    /// Attributes of everything below, or of the secret alone.
    fn state(&self, whole: bool) -> Vec<(PathBuf, [u64; 2], [i64; 2])> {
        let mut found = vec![];
        let mut paths = vec![self.0.join(SECRET)];
        paths.extend(whole.then(|| self.inside()));
        while let Some(path) = paths.pop() {
            let Ok(metadata) = path.symlink_metadata() else { continue };
            let changed = [metadata.ctime(), metadata.ctime_nsec()];
            found.push((path.clone(), [metadata.ino(), metadata.size()], changed));
            if metadata.is_dir() {
                paths.extend(fs::read_dir(path).into_iter().flatten().flatten().map(|entry| entry.path()));
            }
        }
        found.sort();
        found
    }

    fn has_set_id(&self) -> bool {
        self.state(true).iter().any(|(path, ..)| {
            path.symlink_metadata().is_ok_and(|metadata| metadata.is_file() && metadata.mode() & SET_ID != 0)
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// Makes the requests of a guest.
pub fn folders(bytes: &[u8]) {
    let mut arguments = Arguments(bytes);
    let Some(kind) = arguments.byte() else { return };
    let Ok(place) = Place::new() else { return };
    let read_only = kind & 1 != 0;
    let host = if kind & 2 != 0 { place.inside().join("file") } else { place.inside() };
    let Ok(tree) = Tree::open(&Options { guest: "/data".to_owned(), host, read_only, never_cached: false }) else {
        return;
    };
    let before = place.state(read_only);
    let mut service = Service::new(tree);
    while ask(&mut service, &mut arguments).is_some() {}
    let check = |file| {
        let path = fs::read_link(format!("/proc/self/fd/{file}")).expect("it is open");
        assert!(path.starts_with(place.inside()), "{} is open", path.display());
    };
    service.handles.each(check);
    service.ways.each(check);
    assert_eq!(place.state(read_only), before);
    assert_eq!(fs::read_dir(&place.0).expect("it is there").count(), 2, "secret and inside");
    assert!(!place.has_set_id());
}

/// Makes one request; `None` if no bytes are left.
fn ask(service: &mut Service, arguments: &mut Arguments<'_>) -> Option<()> {
    let operation = u16::from(arguments.byte()? % 24);
    let names = [path(arguments)?, path(arguments)?];
    let handle = |byte| if byte < 128 { ROOT } else { u32::from(byte % 8) };
    let count = number(arguments)?;
    let request = Request {
        handle: handle(arguments.byte()?),
        to: handle(arguments.byte()?),
        flags: number(arguments)? as u32,
        mode: number(arguments)? as u32,
        names: names.each_ref().map(|name| name.len() as u32),
        user: u32::MAX,
        group: u32::MAX,
        offset: number(arguments)?,
        count: if operation == ALLOCATE { count % ALLOCATED } else { count },
        ..Request::default()
    };
    let mut data = vec![7; usize::from(arguments.byte()?)];
    let part = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
    let parts = if data.is_empty() { &[][..] } else { &[part] };
    // SAFETY: the part is the vector, which nothing else uses meanwhile.
    #[expect(unsafe_code, reason = "memory is named by address")]
    unsafe {
        service.answer(operation, &request, &names.concat(), parts);
    }
    Some(())
}

/// Takes a path of some pieces.
pub(crate) fn path(arguments: &mut Arguments<'_>) -> Option<Vec<u8>> {
    let mut path = vec![];
    for _ in 0..arguments.byte()? % 4 {
        if !path.is_empty() {
            path.push(b'/');
        }
        match arguments.byte()? {
            0xff => path.extend([b'x'; NAME_MAXIMUM as usize]),
            piece if usize::from(piece) < PIECES.len() => path.extend(PIECES[usize::from(piece)].as_bytes()),
            name => path.push(name),
        }
    }
    Some(path)
}

/// Takes a number: small ones, flags, or any.
fn number(arguments: &mut Arguments<'_>) -> Option<u64> {
    Some(match arguments.byte()? {
        0 => 0,
        1 => u64::MAX,
        2 => (libc::O_CREAT | libc::O_RDWR) as u64,
        3 => u64::from(arguments.byte()?),
        4 => 1 << (arguments.byte()? % 64),
        5 => u64::from(arguments.byte()?) << (arguments.byte()? % 64),
        small => u64::from(small),
    })
}
