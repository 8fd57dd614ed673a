//! Watches files by inotify(7), and prints the events of what it does to them, in the directory of its first argument; with a second
//! one, also of files with several names, and of ones that are open without a name.

#![expect(unsafe_code, reason = "inotify(7) and ioctl(2) are functions of C")]

use libc::*;
use programs::errno;
use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// Names of the bits of a mask.
const BITS: [(u32, &str); 16] = [
    (IN_ACCESS, "access"),
    (IN_MODIFY, "modify"),
    (IN_ATTRIB, "attrib"),
    (IN_CLOSE_WRITE, "close-write"),
    (IN_CLOSE_NOWRITE, "close"),
    (IN_OPEN, "open"),
    (IN_MOVED_FROM, "from"),
    (IN_MOVED_TO, "to"),
    (IN_CREATE, "create"),
    (IN_DELETE, "delete"),
    (IN_DELETE_SELF, "delete-self"),
    (IN_MOVE_SELF, "move-self"),
    (IN_Q_OVERFLOW, "overflow"),
    (IN_IGNORED, "ignored"),
    (IN_ISDIR, "dir"),
    (IN_UNMOUNT, "unmount"),
];

struct Queue {
    file: c_int,
    /// Cookies in the order of their appearance.
    cookies: Vec<u32>,
}

impl Queue {
    fn new() -> Self {
        // SAFETY: it takes a number only.
        Self { file: unsafe { inotify_init1(IN_NONBLOCK | IN_CLOEXEC) }, cookies: vec![] }
    }

    fn watch(&self, path: &Path, mask: u32) -> Result<i32, i32> {
        let path = CString::new(path.to_str().expect("UTF-8")).expect("without NUL");
        // SAFETY: the path is a string of ours.
        let watch = unsafe { inotify_add_watch(self.file, path.as_ptr(), mask) };
        if watch < 0 { Err(errno()) } else { Ok(watch) }
    }

    fn unwatch(&self, watch: i32) -> Result<(), i32> {
        // SAFETY: it takes numbers only.
        if unsafe { inotify_rm_watch(self.file, watch) } < 0 { Err(errno()) } else { Ok(()) }
    }

    fn read(&self, into: &mut [u8]) -> Result<usize, i32> {
        // SAFETY: the length is that of the buffer.
        let length = unsafe { read(self.file, into.as_mut_ptr().cast(), into.len()) };
        usize::try_from(length).map_err(|_| errno())
    }

    fn waiting(&self) -> c_int {
        let mut count = -1;
        // SAFETY: the count is a variable of ours.
        assert_eq!(unsafe { ioctl(self.file, FIONREAD, &mut count) }, 0);
        count
    }

    fn events(&mut self) -> Vec<String> {
        let mut bytes = vec![0; 1 << 20];
        let expected = self.waiting();
        let length = self.read(&mut bytes).unwrap_or(0);
        assert_eq!(length as c_int, expected, "FIONREAD is what is read");
        let mut events = vec![];
        let mut rest = &bytes[..length];
        while !rest.is_empty() {
            let word = |at: usize| u32::from_ne_bytes(rest[at..at + 4].try_into().expect("four bytes"));
            let (watch, mask, cookie, length) = (word(0) as i32, word(4), word(8), word(12) as usize);
            let name = String::from_utf8_lossy(&rest[16..16 + length]).trim_end_matches('\0').to_owned();
            let names: Vec<_> = BITS.iter().filter(|(bit, _)| mask & bit != 0).map(|(_, name)| *name).collect();
            let mut text = format!("{watch}:{}", names.join("+"));
            if cookie != 0 {
                let known = self.cookies.iter().position(|known| *known == cookie);
                let index = known.unwrap_or(self.cookies.len());
                if known.is_none() {
                    self.cookies.push(cookie);
                }
                text += &format!("#{index}");
            }
            if length > 0 {
                text += &format!(" {name}/{length}");
            }
            events.push(text);
            rest = &rest[16 + length..];
        }
        events
    }

    fn show(&mut self, what: &str) {
        println!("{what}: {}", self.events().join(", "));
    }
}

impl Drop for Queue {
    fn drop(&mut self) {
        // SAFETY: nothing uses the descriptor any more.
        unsafe { close(self.file) };
    }
}

fn directory(root: &Path) {
    let mut queue = Queue::new();
    println!("watch {:?}", queue.watch(root, IN_ALL_EVENTS));
    let (file, other) = (root.join("file"), root.join("a longer name than sixteen"));
    fs::write(&file, "four").expect("writable");
    queue.show("written");
    fs::read(&file).expect("there");
    queue.show("read");
    OpenOptions::new().append(true).open(&file).expect("there").write_all(b"!").expect("writable");
    queue.show("appended");
    File::options().write(true).open(&file).expect("there").set_len(2).expect("writable");
    queue.show("cut");
    fs::set_permissions(&file, fs::Permissions::from_mode(0o600)).expect("ours");
    queue.show("mode");
    let opened = File::options().write(true).open(&file).expect("there");
    opened.set_modified(std::time::UNIX_EPOCH).expect("ours");
    drop(opened);
    queue.show("time");
    fs::rename(&file, &other).expect("there");
    queue.show("renamed");
    fs::copy(&other, &file).expect("there");
    let mut events = queue.events();
    // Which call the copy makes, and whether a file is emptied before it is opened, is not said.
    events.retain(|event| !event.contains("access") && !event.contains("modify"));
    println!("copied: {}", events.join(", "));
    fs::rename(&file, &other).expect("there");
    queue.show("replaced");
    symlink("nowhere", root.join("link")).expect("a link");
    queue.show("link");
    fs::create_dir(root.join("sub")).expect("new");
    queue.show("directory");
    fs::write(root.join("sub/inner"), "").expect("writable");
    queue.show("below");
    println!("list {}", fs::read_dir(root.join("sub")).expect("there").count());
    queue.show("listed");
    fs::rename(root.join("sub"), root.join("moved")).expect("there");
    queue.show("moved");
    fs::remove_file(root.join("moved/inner")).expect("there");
    fs::remove_dir(root.join("moved")).expect("empty");
    for name in [&other, &root.join("link")] {
        fs::remove_file(name).expect("there");
    }
    queue.show("removed");
    println!("unwatch {:?} {:?}", queue.unwatch(1), queue.unwatch(1));
    queue.show("ignored");
}

fn itself(root: &Path) {
    let mut queue = Queue::new();
    let (file, sub, other) = (root.join("file"), root.join("sub"), root.join("other"));
    fs::write(&file, "1").expect("writable");
    fs::create_dir(&sub).expect("new");
    println!(
        "watches {:?} {:?} {:?}",
        queue.watch(&file, IN_ALL_EVENTS),
        queue.watch(&sub, IN_ALL_EVENTS),
        queue.watch(root, IN_ALL_EVENTS)
    );
    fs::write(sub.join("inner"), "1").expect("writable");
    queue.show("in both");
    OpenOptions::new().append(true).open(&file).expect("there").write_all(b"!").expect("writable");
    queue.show("file");
    fs::rename(&file, &other).expect("there");
    OpenOptions::new().append(true).open(&other).expect("there").write_all(b"!").expect("writable");
    queue.show("file renamed");
    fs::rename(&sub, root.join("bus")).expect("there");
    fs::remove_file(root.join("bus/inner")).expect("there");
    queue.show("directory renamed");
    fs::remove_dir(root.join("bus")).expect("empty");
    queue.show("directory removed");
    fs::write(&file, "2").expect("writable");
    queue.events();
    fs::rename(&file, &other).expect("there");
    queue.show("replaced");
    fs::write(&file, "2").expect("writable");
    println!("again {:?}", queue.watch(&file, IN_ALL_EVENTS));
    queue.events();
    fs::remove_file(&file).expect("there");
    fs::remove_file(&other).expect("there");
    queue.show("removed");
}

fn masks(root: &Path) {
    let mut queue = Queue::new();
    let file = root.join("file");
    println!("none {:?}", queue.watch(&file, IN_OPEN));
    fs::write(&file, "1").expect("writable");
    symlink("file", root.join("link")).expect("a link");
    println!("zero {:?}, unknown {:?}", queue.watch(&file, 0), queue.watch(&file, 0x1000));
    println!("only directories {:?}", queue.watch(&file, IN_OPEN | IN_ONLYDIR));
    println!("both {:?}", queue.watch(&file, IN_OPEN | IN_MASK_ADD | IN_MASK_CREATE));
    println!("first {:?}", queue.watch(&file, IN_OPEN | IN_MASK_CREATE));
    println!("second {:?}", queue.watch(&file, IN_OPEN | IN_MASK_CREATE));
    println!("by a link {:?}", queue.watch(&root.join("link"), IN_CLOSE | IN_MASK_ADD));
    println!("the link {:?}", queue.watch(&root.join("link"), IN_ATTRIB | IN_DELETE_SELF | IN_DONT_FOLLOW));
    fs::read(&file).expect("there");
    queue.show("open and close");
    println!("other mask {:?}", queue.watch(&file, IN_MODIFY));
    fs::read(&file).expect("there");
    queue.show("nothing");
    println!("once {:?}", queue.watch(&file, IN_OPEN | IN_ONESHOT));
    for _ in 0..2 {
        fs::read(&file).expect("there");
    }
    queue.show("once");
    println!("a new number {:?}", queue.watch(&file, IN_MODIFY));
    let mut writer = OpenOptions::new().append(true).open(&file).expect("there");
    for _ in 0..3 {
        writer.write_all(b"again").expect("writable");
    }
    queue.show("one of three");
    fs::remove_file(root.join("link")).expect("there");
    queue.show("link removed");
    writer.write_all(b"again").expect("writable");
    println!("too short {:?}, {}", queue.read(&mut [0; 15]), queue.waiting());
    println!("long enough {:?}, {}", queue.read(&mut [0; 16]), queue.waiting());
    println!("empty {:?}", queue.read(&mut [0; 16]));
    // SAFETY: the buffer is a constant.
    println!("write {} {}", unsafe { write(queue.file, b"x".as_ptr().cast(), 1) }, errno());
    // SAFETY: it takes numbers only.
    println!("seek {}", unsafe { lseek(queue.file, 0, SEEK_CUR) });
    // SAFETY: it takes numbers only.
    println!("other file {} {}", unsafe { inotify_rm_watch(writer.as_raw_fd(), 1) }, errno());
    // SAFETY: it takes a number only.
    println!("flags {} {}", unsafe { inotify_init1(0x10) }, errno());
    fs::remove_file(&file).expect("there");
}

/// Waits for events by read(2), poll(2) and epoll(7), while another thread causes them.
fn waits(root: &Path) {
    let mut queue = Queue::new();
    queue.watch(root, IN_CREATE | IN_DELETE).expect("there");
    let file = root.join("file");
    let change = |path: PathBuf, makes: bool| {
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            if makes { fs::write(path, "").expect("writable") } else { fs::remove_file(path).expect("there") }
        })
    };
    let other = change(file.clone(), true);
    let mut one = pollfd { fd: queue.file, events: POLLIN | POLLOUT, revents: 0 };
    // SAFETY: the entry is a variable of ours.
    println!("poll {} {}", unsafe { poll(&mut one, 1, 60_000) }, one.revents);
    other.join().expect("no panic");
    queue.show("polled");
    // SAFETY: it takes a number only.
    let set = unsafe { epoll_create1(0) };
    let mut event = epoll_event { events: (EPOLLIN | EPOLLET) as u32, u64: 5 };
    // SAFETY: the event is a variable of ours.
    assert_eq!(unsafe { epoll_ctl(set, EPOLL_CTL_ADD, queue.file, &mut event) }, 0);
    let other = change(file.clone(), false);
    // SAFETY: the event is a variable of ours.
    println!("epoll {} {}", unsafe { epoll_wait(set, &mut event, 1, 60_000) }, { event.u64 });
    other.join().expect("no panic");
    queue.show("found");
    // SAFETY: it takes numbers only.
    assert_eq!(unsafe { fcntl(queue.file, F_SETFL, 0) }, 0);
    let other = change(file.clone(), true);
    println!("read {:?}", queue.read(&mut [0; 100]));
    other.join().expect("no panic");
    fs::remove_file(file).expect("there");
}

/// Waits in read(2) for the end of the last watch of all.
fn ends(root: &Path) {
    let file = root.join("file");
    for (mask, end) in [(IN_DELETE_SELF, "removed"), (IN_ATTRIB | IN_ONESHOT, "mode"), (IN_ACCESS | IN_ONESHOT, "read")]
    {
        let queue = Queue::new();
        fs::write(&file, "1").expect("writable");
        queue.watch(&file, mask).expect("there");
        // SAFETY: it takes numbers only.
        assert_eq!(unsafe { fcntl(queue.file, F_SETFL, 0) }, 0);
        let path = file.clone();
        let other = thread::spawn(move || {
            thread::sleep(Duration::from_millis(20));
            match end {
                "removed" => fs::remove_file(path).expect("there"),
                "mode" => fs::set_permissions(path, fs::Permissions::from_mode(0o600)).expect("ours"),
                _ => drop(fs::read(path).expect("there")),
            }
        });
        let mut read = 0;
        while read < 32 {
            read += queue.read(&mut [0; 100]).expect("events");
        }
        other.join().expect("no panic");
        println!("{end} {read}");
        let _ = fs::remove_file(&file);
    }
}

fn overflow(root: &Path) {
    let mut queue = Queue::new();
    queue.watch(root, IN_CREATE | IN_DELETE).expect("there");
    let file = root.join("file");
    for _ in 0..10_000 {
        fs::write(&file, "").expect("writable");
        fs::remove_file(&file).expect("there");
    }
    let events = queue.events();
    // How many a queue takes, the host's administrator decides.
    println!(
        "all or an overflow {}",
        events.len() == 20_000 || events.last().is_some_and(|last| last == "-1:overflow")
    );
}

/// Files with several names, and files without one.
fn names(root: &Path) {
    let mut queue = Queue::new();
    let (file, other) = (root.join("file"), root.join("other"));
    fs::write(&file, "").expect("writable");
    println!("watches {:?} {:?}", queue.watch(root, IN_ALL_EVENTS), queue.watch(&file, IN_ALL_EVENTS));
    fs::hard_link(&file, &other).expect("new");
    queue.show("linked");
    fs::remove_file(&file).expect("there");
    queue.show("one name less");
    let mut opened = File::options().read(true).write(true).open(&other).expect("there");
    fs::remove_file(&other).expect("there");
    queue.show("no name");
    opened.write_all(b"still").expect("open");
    queue.show("written");
    println!("excluded {:?}", queue.watch(root, IN_ALL_EVENTS | IN_EXCL_UNLINK));
    opened.write_all(b"still").expect("open");
    let _ = opened.read(&mut [0; 9]).expect("open");
    queue.show("written without a name");
    drop(opened);
    queue.show("gone");
}

fn main() {
    let mut arguments = std::env::args().skip(1);
    let root = PathBuf::from(arguments.next().expect("a directory")).join("watched");
    fs::create_dir(&root).expect("new");
    for part in [directory, itself, masks, waits, ends] {
        part(&root);
    }
    if arguments.next().is_some() {
        overflow(&root);
        names(&root);
    }
    println!("left {}", fs::read_dir(&root).expect("there").count());
    fs::remove_dir(&root).expect("empty");
}
