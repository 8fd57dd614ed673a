//! Requests of hostile guests, against files of this host.

use super::Served;
use super::options::Options;
use super::service::Service;
use super::tree::Tree;
use crate::devices::device::Device;
use crate::devices::{copy, table};
use crate::fuzz::sample::{self, Numbers};
use crate::image::Kind;
use crate::memory::Claim;
use husk_abi::folder::*;
use husk_abi::memory::Rights;
use husk_abi::ring::{Descriptor, ENTRIES, PRODUCER};
use libc::{
    EACCES, EBADF, EBUSY, EEXIST, EINVAL, ELOOP, EMFILE, ENAMETOOLONG, ENOENT, ENOTDIR, ENXIO, EPERM, EROFS, ESTALE,
};
use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use zerocopy::IntoBytes;

/// Directory of a test, with `inside`, which a guest is given, beside `secret`, which it is not.
struct Rig {
    path: PathBuf,
    service: Service,
}

impl Rig {
    fn new(read_only: bool) -> Self {
        static NUMBER: AtomicU32 = AtomicU32::new(0);
        let number = NUMBER.fetch_add(1, Relaxed);
        let path = std::env::temp_dir().join(format!("husk-folder-{}-{number}", std::process::id()));
        let inside = path.join("inside");
        fs::create_dir_all(inside.join("deep/er")).expect("a directory");
        fs::write(path.join("secret"), "secret").expect("a file");
        fs::write(inside.join("file"), "contents").expect("a file");
        let links = [("../secret", "up"), ("/etc/passwd", "away"), ("file", "near"), ("deep/er/../../near", "far")];
        links.iter().for_each(|(target, name)| symlink(target, inside.join(name)).expect("a link"));
        symlink("loop", inside.join("loop")).expect("a link");
        let service = Service::new(tree(&inside, read_only).expect("a directory"));
        Self { path, service }
    }

    fn inside(&self) -> PathBuf {
        self.path.join("inside")
    }

    fn ask(&mut self, operation: u16, request: Request, names: [&str; 2], data: &mut [u8]) -> Answer {
        let request = Request { names: names.map(|name| name.len() as u32), ..request };
        let part = libc::iovec { iov_base: data.as_mut_ptr().cast(), iov_len: data.len() };
        let parts = if data.is_empty() { &[][..] } else { &[part] };
        // SAFETY: the part is the slice, which nothing else uses meanwhile.
        #[expect(unsafe_code, reason = "memory is named by address")]
        unsafe {
            self.service.answer(operation, &request, names.concat().as_bytes(), parts)
        }
    }

    /// Makes a request about a path; returns its error.
    fn at(&mut self, operation: u16, path: &str, flags: i32) -> u32 {
        let request = Request { handle: ROOT, flags: flags as u32, mode: 0o644, ..Request::default() };
        self.ask(operation, request, [path, ""], &mut [0; 64]).error
    }

    fn open(&mut self, path: &str, flags: i32) -> Result<u32, i32> {
        let request = Request { handle: ROOT, flags: flags as u32, mode: 0o644, ..Request::default() };
        let answer = self.ask(OPEN, request, [path, ""], &mut []);
        if answer.error == 0 { Ok(answer.handle) } else { Err(answer.error as i32) }
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.path);
    }
}

fn tree(host: &Path, read_only: bool) -> Result<Tree, String> {
    Tree::open(&Options { guest: "/data".to_owned(), host: host.to_owned(), read_only, never_cached: false })
}

#[test]
fn files_are_read_and_written() {
    let mut rig = Rig::new(false);
    let handle = rig.open("far", libc::O_RDWR).expect("a link to a link to a file");
    let mut bytes = [0; 16];
    let answer = rig.ask(READ, Request { handle, offset: 3, ..Request::default() }, ["", ""], &mut bytes);
    assert_eq!((answer.error, answer.count, &bytes[..5]), (0, 5, &b"tents"[..]));
    let request = Request { handle, flags: Flags::APPEND.bits(), ..Request::default() };
    let answer = rig.ask(WRITE, request, ["", ""], &mut b"!".to_vec());
    assert_eq!((answer.error, answer.count, answer.position), (0, 1, 9));
    let answer = rig.ask(WRITE, Request { handle, ..Request::default() }, ["", ""], &mut b"C".to_vec());
    assert_eq!((answer.error, answer.position), (0, 1));
    assert_eq!(fs::read(rig.inside().join("file")).expect("a file"), b"Contents!");
    let answer = rig.ask(STAT, Request { handle, ..Request::default() }, ["", ""], &mut []);
    assert_eq!((answer.attributes.size, answer.attributes.mode & libc::S_IFMT), (9, libc::S_IFREG));
    assert_eq!(rig.ask(CLOSE, Request { handle, ..Request::default() }, ["", ""], &mut []).error, 0);
    assert_eq!(rig.ask(CLOSE, Request { handle, ..Request::default() }, ["", ""], &mut []).error, EBADF as u32);
}

#[test]
fn names_are_made_and_removed() {
    let mut rig = Rig::new(false);
    assert_eq!((rig.at(MAKE_DIRECTORY, "new/", 0), rig.at(MAKE_DIRECTORY, "new", 0)), (0, EEXIST as u32));
    assert_eq!(rig.at(MAKE_DIRECTORY, "", 0), EEXIST as u32);
    let both = |rig: &mut Rig, operation, from: &str, to: &str, flags: u32| {
        let request = Request { handle: ROOT, to: ROOT, flags, ..Request::default() };
        rig.ask(operation, request, [from, to], &mut []).error
    };
    assert_eq!(both(&mut rig, LINK, "file", "new/link", 0), 0);
    assert_eq!(both(&mut rig, RENAME, "new/link", "near", libc::RENAME_NOREPLACE), EEXIST as u32);
    assert_eq!(both(&mut rig, RENAME, "new/link", "deep/er/here", 0), 0);
    assert_eq!(both(&mut rig, SYMLINK, "new/soft", "/nowhere", 0), 0);
    assert_eq!(fs::read_link(rig.inside().join("new/soft")).expect("a link"), Path::new("/nowhere"));
    assert_eq!(rig.at(REMOVE_DIRECTORY, "new", 0), libc::ENOTEMPTY as u32);
    assert_eq!((rig.at(UNLINK, "new/soft", 0), rig.at(REMOVE_DIRECTORY, "new", 0)), (0, 0));
    assert_eq!((rig.at(REMOVE_DIRECTORY, "", 0), rig.at(UNLINK, "new", 0)), (EBUSY as u32, ENOENT as u32));
    assert_eq!(fs::read(rig.inside().join("deep/er/here")).expect("a file"), b"contents");
}

#[test]
fn no_path_leads_out() {
    let mut rig = Rig::new(false);
    for path in ["..", "../secret", "up", "away", "/etc/passwd", "deep/../../secret", "/", "/x"] {
        assert_eq!(rig.at(STAT, path, 0), OUTSIDE, "{path}");
        assert_eq!(rig.open(path, libc::O_RDONLY), Err(OUTSIDE as i32), "{path}");
        assert_eq!(rig.open(path, libc::O_RDWR | libc::O_CREAT), Err(OUTSIDE as i32), "{path}");
    }
    for path in ["../x", "/x", "deep/../../x"] {
        for operation in [MAKE_DIRECTORY, UNLINK, REMOVE_DIRECTORY, SYMLINK] {
            assert_eq!(rig.at(operation, path, 0), OUTSIDE, "{operation} {path}");
        }
    }
    for operation in [UNLINK, REMOVE_DIRECTORY, MAKE_DIRECTORY] {
        assert_ne!(rig.at(operation, "..", 0), 0, "{operation}");
    }
    let to = Request { handle: ROOT, to: ROOT, ..Request::default() };
    assert_eq!(rig.ask(RENAME, to, ["file", "../file"], &mut []).error, OUTSIDE);
    assert_eq!(rig.ask(LINK, to, ["../secret", "mine"], &mut []).error, OUTSIDE);
    for (path, flags) in [("up", 0), ("away", 0)] {
        assert_eq!(rig.at(SET, path, flags | Flags::MODE.bits() as i32), OUTSIDE, "{path}");
    }
    assert_eq!(rig.at(STAT, "loop", 0), ELOOP as u32);
    let handle = rig.open("deep/er", libc::O_PATH).expect("a directory");
    let from_below = Request { handle, ..Request::default() };
    assert_eq!(rig.ask(STAT, from_below, ["../er", ""], &mut []).error, OUTSIDE);
    assert_eq!(fs::read(rig.path.join("secret")).expect("a file"), b"secret");
}

/// The guest would write to this process by `/proc/self/mem`.
#[test]
fn what_is_mounted_below_is_not_of_the_folder() {
    for below in ["proc", "proc/self/mem", "proc/self/root/etc", "sys/kernel"] {
        let mut rig = Rig::new(false);
        rig.service = Service::new(tree(Path::new("/"), false).expect("a directory"));
        assert_eq!(rig.at(STAT, below, 0), OUTSIDE, "{below}");
        for flags in [libc::O_RDONLY, libc::O_RDWR, libc::O_PATH, libc::O_DIRECTORY] {
            assert_eq!(rig.open(below, flags), Err(OUTSIDE as i32), "{below} {flags:o}");
        }
        assert_eq!(rig.at(SET, below, Flags::MODE.bits() as i32), OUTSIDE, "{below}");
    }
    for kernels in ["/proc", "/proc/self", "/proc/self/mem", "/proc/version", "/sys", "/sys/kernel"] {
        assert!(tree(Path::new(kernels), true).expect_err(kernels).contains("the kernel's own files"), "{kernels}");
    }
}

#[test]
fn what_is_neither_directory_nor_file_is_refused_at_once() {
    let rig = Rig::new(false);
    let pipe = rig.inside().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("coreutils").success());
    for path in [pipe.as_path(), Path::new("/dev/null")] {
        assert!(tree(path, false).expect_err("refused").contains("neither a directory nor a regular file"));
    }
}

/// linkat(2) follows a name with a slash behind it, and its errors would say what is where.
#[test]
fn a_link_with_a_slash_behind_it_is_not_followed() {
    let mut rig = Rig::new(false);
    for (target, name) in [("/etc/passwd", "one"), ("/etc", "two"), ("/none", "three")] {
        symlink(target, rig.inside().join(name)).expect("a link");
    }
    let to = Request { handle: ROOT, to: ROOT, ..Request::default() };
    for name in ["one/", "two/", "three///", "file/"] {
        assert_eq!(rig.ask(LINK, to, [name, "mine"], &mut []).error, ENOTDIR as u32, "{name}");
    }
    assert_eq!(rig.ask(LINK, to, ["deep/", "mine"], &mut []).error, EPERM as u32);
    assert_eq!(rig.ask(LINK, to, ["none/", "mine"], &mut []).error, ENOENT as u32);
}

#[test]
fn a_folder_to_read_only_is_not_changed() {
    let mut rig = Rig::new(true);
    let changes = [WRITE, SET, MAKE_DIRECTORY, UNLINK, REMOVE_DIRECTORY, RENAME, LINK, SYMLINK, ALLOCATE];
    for operation in changes {
        assert_eq!(rig.at(operation, "file", 0), EROFS as u32, "{operation}");
    }
    for flags in [libc::O_WRONLY, libc::O_RDWR, libc::O_TRUNC, libc::O_TMPFILE, libc::O_TMPFILE | libc::O_RDWR] {
        assert_eq!(rig.open("file", flags), Err(EROFS), "{flags:o}");
    }
    assert_eq!(rig.open("new", libc::O_CREAT), Err(EROFS));
    assert_eq!(rig.open("file", libc::O_CREAT | libc::O_EXCL), Err(EEXIST));
    assert!(rig.open("file", libc::O_CREAT).is_ok());
    assert!(!rig.inside().join("new").exists());
}

#[test]
fn what_is_no_file_is_not_opened() {
    let mut rig = Rig::new(false);
    let pipe = rig.inside().join("pipe");
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("coreutils").success());
    let _socket = std::os::unix::net::UnixListener::bind(rig.inside().join("socket")).expect("a socket");
    for name in ["pipe", "socket"] {
        for flags in [libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR, libc::O_CREAT | libc::O_RDWR] {
            assert_eq!(rig.open(name, flags), Err(ENXIO), "{name} {flags:o}");
        }
        assert_eq!(rig.at(STAT, name, 0), 0);
    }
    let devices = Service::new(tree(Path::new("/dev"), false).expect("a directory"));
    let mut rig = Rig { service: devices, path: rig.path.join("unused") };
    assert_eq!(rig.open("null", libc::O_RDWR), Err(ENXIO));
}

#[test]
fn one_file_is_that_file_and_no_other() {
    let mut rig = Rig::new(false);
    let file = rig.inside().join("file");
    rig.service = Service::new(tree(&rig.inside().join("near"), false).expect("a file"));
    assert_eq!((rig.at(STAT, "", 0), rig.at(STAT, "deep", 0)), (0, ENOTDIR as u32));
    assert_eq!(rig.at(UNLINK, "", 0), EBUSY as u32);
    assert_eq!((rig.at(UNLINK, "deep", 0), rig.at(MAKE_DIRECTORY, "../x", 0)), (ENOTDIR as u32, ENOTDIR as u32));
    let handle = rig.open("", libc::O_RDWR).expect("the file");
    let request = Request { handle, ..Request::default() };
    assert_eq!(rig.ask(READ, request, ["", ""], &mut [0; 4]).count, 4);
    assert_eq!(rig.ask(STAT, request, ["..", ""], &mut []).error, ENOTDIR as u32);
    assert_eq!(rig.open("", libc::O_CREAT | libc::O_EXCL), Err(EEXIST));
    for access in [libc::O_WRONLY | libc::O_CREAT, libc::O_RDWR, libc::O_RDONLY] {
        fs::write(&file, "contents").expect("a file");
        assert!(rig.open("", access | libc::O_TRUNC).is_ok(), "{access:o}");
        assert_eq!(fs::read(&file).expect("a file"), b"");
    }
    let other = rig.inside().join("other");
    fs::write(&other, "another").expect("a file");
    let replace: [&dyn Fn() -> std::io::Result<()>; 3] =
        [&|| fs::hard_link(&other, &file), &|| symlink("other", &file), &|| Ok(())];
    for replaced in replace {
        fs::remove_file(&file).and_then(|()| replaced()).expect("replaced");
        for flags in [libc::O_RDWR, libc::O_PATH, libc::O_RDWR | libc::O_CREAT, libc::O_WRONLY | libc::O_TRUNC] {
            assert_eq!(rig.open("", flags), Err(ESTALE), "{flags:o}");
        }
        assert_eq!(fs::read(&other).expect("a file"), b"another");
    }
}

#[test]
fn malformed_requests_are_refused() {
    let mut rig = Rig::new(false);
    let long = "x".repeat(NAME_MAXIMUM as usize + 1);
    assert_eq!(rig.at(STAT, &long, 0), ENAMETOOLONG as u32);
    assert_eq!(rig.at(STAT, "a\0b", 0), EINVAL as u32);
    assert_eq!((rig.at(STAT, "file", 0x4000), rig.at(OPEN, "file", 0o40000)), (EINVAL as u32, EINVAL as u32));
    assert_eq!(rig.at(READ, "", 0), EBADF as u32);
    let handle = rig.open("file", libc::O_RDWR).expect("a file");
    let request = Request { handle, offset: u64::MAX, count: u64::MAX, ..Request::default() };
    for operation in [READ, WRITE, LIST, LOCK, ALLOCATE, SEEK] {
        assert_ne!(rig.ask(operation, request, ["", ""], &mut [0; 8]).error, 0, "{operation}");
    }
    let opened = (0..HANDLES_MAXIMUM).map(|_| rig.open("deep", libc::O_PATH)).find(Result::is_err);
    assert_eq!(opened, Some(Err(EMFILE)));
}

#[test]
fn a_directory_that_becomes_a_link_meanwhile_leads_nowhere() {
    let mut rig = Rig::new(false);
    let (place, aside, link) = (rig.inside().join("swap"), rig.inside().join("aside"), rig.inside().join("link"));
    fs::create_dir(&place).expect("a directory");
    symlink("..", &link).expect("a link");
    let is_over = std::sync::atomic::AtomicBool::new(false);
    #[expect(clippy::disallowed_methods, reason = "a thread of the test's")]
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !is_over.load(Relaxed) {
                let _ = fs::rename(&place, &aside).and_then(|()| fs::rename(&link, &place));
                let _ = fs::rename(&place, &link).and_then(|()| fs::rename(&aside, &place));
            }
        });
        for round in 0..4000 {
            let error = rig.open(&format!("swap/{round}"), libc::O_CREAT | libc::O_RDWR).map(|handle| {
                rig.ask(CLOSE, Request { handle, ..Request::default() }, ["", ""], &mut []);
            });
            let known = [Ok(()), Err(OUTSIDE as i32), Err(ENOENT), Err(libc::EAGAIN), Err(EACCES)];
            assert!(known.contains(&error), "{error:?}");
            assert_eq!(
                rig.ask(READ, Request { handle: 1, ..Request::default() }, ["", ""], &mut [0; 8]).error,
                EBADF as u32
            );
        }
        is_over.store(true, Relaxed);
    });
    assert_eq!(fs::read_dir(&rig.path).expect("a directory").count(), 2, "secret and inside");
}

#[test]
fn whatever_is_in_its_ring_a_guest_gets_an_answer_or_ends() {
    let rig = Rig::new(false);
    let memory = std::sync::Arc::new(sample::memory());
    let layout = *memory.layout();
    let place = table::queues(layout.rings.start, 0, Kind::Folder)[0];
    copy::prepare();
    let (mut answered, mut broken) = (0, 0);
    for seed in 1..=3000_u64 {
        let numbers = &mut Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        let mut below = |limit: u64| numbers.random() % limit;
        let clear = memory.ring(place.submission, layout.rings.length);
        // SAFETY: the rings have this length, and only this test uses them.
        #[expect(unsafe_code, reason = "guest memory is written by pointer, as a guest does")]
        unsafe {
            clear.write_bytes(0, layout.rings.length as usize);
        }
        let tree = tree(&rig.inside(), false).expect("a directory");
        let mut served = Served::new(tree, &memory, place);
        let names = ["deep/../file", "up", "x", "near"][below(4) as usize];
        let (first, message_at) = (names.len() as u64, layout.heap.start);
        let message = Message {
            request: Request { handle: ROOT, names: [first as u32, below(2) as u32], ..Request::default() },
            ..Message::default()
        };
        let bytes = [message.as_bytes(), names.as_bytes()].concat();
        let at = memory.check(Claim { address: message_at, length: bytes.len() as u64 }, Rights::READ | Rights::WRITE);
        let at = at.expect("it is the guest's");
        // SAFETY: the memory has just been found to be the guest's, and only this test uses it.
        #[expect(unsafe_code, reason = "guest memory is written by pointer, as a guest does")]
        unsafe {
            at.as_ptr().copy_from(bytes.as_ptr(), bytes.len());
        }
        let size = size_of::<Message>() as u64;
        let parts = [
            (message_at, [size, size, size, size - 1, below(1 << 40)][below(5) as usize]),
            (message_at + size, [first, first, first, 1, below(1 << 33)][below(5) as usize]),
            ([layout.heap.start + 4096, layout.heap.end() - 8, 4096][below(3) as usize], 1 + below(64)),
        ];
        let count = 1 + below(3) as usize;
        let operation = below(23) as u16;
        for (index, (address, length)) in parts.into_iter().take(count).enumerate() {
            let flags = u16::from(index + 1 < count || below(20) == 0);
            let descriptor = Descriptor { address, length: length as u32, flags, operation, ..Descriptor::default() };
            let at = place.submission + ENTRIES + index as u64 * size_of::<Descriptor>() as u64;
            // SAFETY: `at` is the address of an entry of the ring.
            #[expect(unsafe_code, reason = "guest memory is written by pointer, as a guest does")]
            unsafe {
                memory.ring(at, size_of::<Descriptor>() as u64).cast::<Descriptor>().write_volatile(descriptor);
            }
        }
        let producer = memory.ring(place.submission + PRODUCER, 4).cast::<u32>();
        // SAFETY: the address is that of a word of the ring.
        #[expect(unsafe_code, reason = "guest memory is written by pointer, as a guest does")]
        unsafe {
            producer.write_volatile(count as u32);
        }
        match served.serve() {
            Ok(_) => answered += 1,
            Err(_) => broken += 1,
        }
    }
    assert!(answered > 300 && broken > 300, "both occur: {answered} answered, {broken} broken");
    assert_eq!(fs::read(rig.path.join("secret")).expect("a file"), b"secret");
}

#[test]
fn what_a_request_opens_for_itself_does_not_release_locks() {
    let mut rig = Rig::new(false);
    let other = fs::File::options().read(true).write(true).open(rig.inside().join("file")).expect("a file");
    let handle = rig.open("file", libc::O_RDWR).expect("a file");
    let take = |kind: i32| Request { handle, flags: kind as u32, mode: PROCESS, count: 5, ..Request::default() };
    let is_locked = || is_locked(&other);
    assert_eq!(rig.ask(LOCK, take(libc::F_WRLCK), ["", ""], &mut []).error, 0);
    for count in [3, 4, 5] {
        let size = Request { handle: ROOT, flags: Flags::SIZE.bits(), count, ..Request::default() };
        assert_eq!(rig.ask(SET, size, ["near", ""], &mut []).error, 0);
        assert_eq!(fs::metadata(rig.inside().join("file")).expect("a file").len(), count);
        assert!(is_locked());
    }
    assert_eq!(rig.at(SET, "file", Flags::MODE.bits() as i32), 0);
    assert!(is_locked());
    assert_eq!(rig.ask(LOCK, take(libc::F_UNLCK), ["", ""], &mut []).error, 0);
    assert!(!is_locked());
    assert_eq!(rig.ask(LOCK, take(libc::F_WRLCK), ["", ""], &mut []).error, 0);
    // Nor does one that is open by its path only.
    let path = rig.open("near", libc::O_PATH).expect("a file");
    assert_eq!(rig.ask(CLOSE, Request { handle: path, ..Request::default() }, ["", ""], &mut []).error, 0);
    assert!(is_locked());
    assert_eq!(rig.at(SET, "file", Flags::MODE.bits() as i32), 0);
    assert!(is_locked());
    // As on Linux, closing any descriptor of the file does.
    let second = rig.open("near", libc::O_RDONLY).expect("a file");
    assert_eq!(rig.ask(CLOSE, Request { handle: second, ..Request::default() }, ["", ""], &mut []).error, 0);
    assert!(!is_locked());
}

#[test]
fn a_file_that_may_not_be_made_is_not_opened_to_see_that_it_is_there() {
    let mut rig = Rig::new(true);
    let other = fs::File::options().read(true).write(true).open(rig.inside().join("file")).expect("a file");
    let handle = rig.open("file", libc::O_RDONLY).expect("a file");
    let take = Request { handle, flags: libc::F_RDLCK as u32, mode: PROCESS, count: 5, ..Request::default() };
    assert_eq!(rig.ask(LOCK, take, ["", ""], &mut []).error, 0);
    assert_eq!(rig.open("file", libc::O_CREAT | libc::O_EXCL), Err(libc::EEXIST));
    assert_eq!(rig.open("none", libc::O_CREAT | libc::O_EXCL), Err(libc::EROFS));
    assert_eq!(rig.open("none", libc::O_CREAT), Err(libc::EROFS));
    assert!(is_locked(&other));
    rig.open("file", libc::O_CREAT).expect("it is there");
    assert!(is_locked(&other));
}

/// Returns true if this process has a lock on the file: to another open file, it is one of another.
fn is_locked(other: &fs::File) -> bool {
    // SAFETY: all zeros are a valid structure.
    #[expect(unsafe_code, reason = "a structure of C")]
    let mut lock: libc::flock = unsafe { std::mem::zeroed() };
    lock.l_type = libc::F_WRLCK as i16;
    let file = std::os::fd::AsRawFd::as_raw_fd(other);
    super::system::lock(file, libc::F_OFD_GETLK, &mut lock).expect("the kernel knows these locks");
    i32::from(lock.l_type) != libc::F_UNLCK
}
