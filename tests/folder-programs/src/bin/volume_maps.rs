//! Maps files of the directory of its argument with MAP_SHARED, changes them by stores and by calls, and prints what each shows.

#![expect(unsafe_code, reason = "std maps no files")]

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::{env, ptr, slice, thread};

/// A shared mapping.
struct Map(*mut u8, usize);

impl Map {
    fn try_new(file: &File, offset: usize, length: usize, rights: i32) -> io::Result<Self> {
        let (descriptor, flags) = (file.as_raw_fd(), libc::MAP_SHARED);
        // SAFETY: any arguments are a valid request for an address of the kernel's choice.
        let start = unsafe { libc::mmap(ptr::null_mut(), length, rights, flags, descriptor, offset as i64) };
        if start == libc::MAP_FAILED { Err(io::Error::last_os_error()) } else { Ok(Self(start.cast(), length)) }
    }

    fn new(file: &File, length: usize) -> Self {
        Self::try_new(file, 0, length, libc::PROT_READ | libc::PROT_WRITE).expect("mapped")
    }

    fn get(&self, at: usize, length: usize) -> String {
        assert!(at + length <= self.1);
        // SAFETY: the bytes are mapped; they are copied at once.
        let bytes = unsafe { slice::from_raw_parts(self.0.add(at), length) };
        bytes.escape_ascii().to_string()
    }

    fn set(&self, at: usize, bytes: &[u8]) {
        assert!(at + bytes.len() <= self.1);
        // SAFETY: the bytes are mapped to be written.
        let to = unsafe { self.0.add(at) };
        // SAFETY: as above, and `bytes` lies elsewhere.
        unsafe { to.copy_from(bytes.as_ptr(), bytes.len()) };
    }

    fn sync(&self) -> i32 {
        // SAFETY: the call has no effect on memory.
        unsafe { libc::msync(self.0.cast(), self.1, libc::MS_SYNC) }
    }

    /// Sum of the first bytes.
    fn sum(&self, length: usize) -> u64 {
        assert!(length <= self.1);
        // SAFETY: the bytes are mapped, and read at once.
        let bytes = unsafe { slice::from_raw_parts(self.0, length) };
        bytes.iter().map(|byte| u64::from(*byte)).sum()
    }
}

impl Drop for Map {
    fn drop(&mut self) {
        // SAFETY: nothing uses the mapping any more.
        unsafe { libc::munmap(self.0.cast(), self.1) };
    }
}

// SAFETY: the memory may be used by any thread.
unsafe impl Sync for Map {}

fn open(path: &Path) -> File {
    File::options().read(true).write(true).create(true).truncate(false).open(path).expect("opened")
}

fn at(file: &File, offset: u64, length: usize) -> String {
    let mut bytes = vec![b'?'; length];
    let count = file.read_at(&mut bytes, offset).expect("read");
    bytes[..count].escape_ascii().to_string()
}

/// Both ways, through two descriptors and a thread.
fn both_ways(path: &Path) {
    let mut file = open(path);
    file.write_all(&[b'a'; 10_000]).expect("written");
    let other = File::open(path).expect("opened");
    let map = Map::new(&file, 10_000);
    let reader = Map::try_new(&other, 4096, 5904, libc::PROT_READ).expect("mapped");
    map.set(4094, b"store");
    println!("{} {} {}", at(&file, 4092, 8), at(&other, 4095, 4), reader.get(0, 4));
    other.write_at(b"x", 0).expect_err("not open for writing");
    file.write_at(b"write", 4093).expect("written");
    println!("{} {}", map.get(4090, 12), reader.get(0, 4));
    println!("{:?}", Map::try_new(&other, 0, 4096, libc::PROT_WRITE).map(drop).map_err(|error| error.raw_os_error()));
    println!("{}", map.sync());
    file.seek(SeekFrom::Start(9_998)).expect("moved");
    let mut end = String::new();
    file.read_to_string(&mut end).expect("read");
    println!("{end}");
    thread::scope(|scope| {
        scope.spawn(|| (0..2000).for_each(|at| drop(file.write_at(&[b'0' + (at % 10) as u8], at))));
        scope.spawn(|| (2000..4000).for_each(|at| map.set(at, &[b'0' + (at % 10) as u8])));
    });
    println!("{} {} {}", map.get(1995, 10), at(&other, 1995, 10), map.sum(10_000));
}

/// Sizes that change below mappings.
fn sizes(path: &Path) {
    let file = open(path);
    file.write_all_at(&[b'b'; 5000], 0).expect("written");
    let map = Map::new(&file, 16 * 4096);
    map.set(4990, b"0123456789");
    // Behind the end, but in its page: not kept.
    map.set(5000, b"lost");
    file.set_len(9000).expect("longer");
    println!("{} {}", map.get(4995, 10), map.get(8990, 10));
    map.set(8990, b"kept");
    let mut appender = OpenOptions::new().append(true).open(path).expect("opened");
    appender.write_all(b"appended").expect("written");
    println!("{} {}", map.get(8988, 20), at(&file, 8988, 100));
    file.write_at(b"far", 20_000).expect("written");
    println!("{} {}", map.get(9005, 6), map.get(19_998, 5));
    file.set_len(4992).expect("shorter");
    file.set_len(21_000).expect("longer");
    println!("{} {}", map.get(4988, 10), map.get(19_998, 5));
    map.set(20_000, b"again");
    map.set(0, b"first");
    println!("{} {} {}", map.sync(), at(&file, 19_998, 8), fs::metadata(path).expect("there").len());
    // SAFETY: a call without memory.
    let punched = unsafe { libc::fallocate(file.as_raw_fd(), 3, 4096, 8192) };
    println!("{punched} {} {}", map.get(4090, 10), map.sum(21_000));
    drop(File::options().write(true).truncate(true).open(path).expect("opened"));
    file.set_len(3).expect("longer");
    println!("{} {}", map.get(0, 3), map.sum(4096));
    map.set(0, b"end");
}

/// A file with holes, and a page that is stored to in one.
fn holes(path: &Path) {
    let file = open(path);
    file.set_len(32 << 20).expect("longer");
    file.write_at(b"early", 1 << 20).expect("written");
    file.write_at(b"late", (30 << 20) + 4094).expect("written");
    let map = Map::new(&file, 32 << 20);
    println!("{} {} {}", map.get((1 << 20) - 2, 8), map.get((30 << 20) + 4092, 8), map.sum(32 << 20));
    map.set(16 << 20, b"hole");
    // SAFETY: a call without memory.
    let data = unsafe { libc::lseek(file.as_raw_fd(), 4 << 20, libc::SEEK_DATA) };
    println!("{data} {}", at(&file, (16 << 20) - 1, 6));
    let part = Map::try_new(&file, 16 << 20, 8192, libc::PROT_READ).expect("mapped");
    println!("{}", part.get(0, 5));
}

/// Mappings that are made while other threads write, and one that shrinks.
fn made_meanwhile(path: &Path) {
    let file = open(path);
    file.write_all_at(&vec![b'.'; 1 << 20], 0).expect("written");
    let others: Vec<_> = (0..20).map(|number| path.with_extension(number.to_string())).collect();
    thread::scope(|scope| {
        scope.spawn(|| {
            for at in 0..200 {
                file.write_all_at(b"written", at * 5000).expect("written");
                // Requests of other threads are waiting meanwhile.
                if at % 5 == 0 {
                    file.sync_all().expect("synced");
                }
            }
        });
        scope.spawn(|| {
            for other in &others {
                let other = open(other);
                other.write_all_at(&[b'o'; 9000], 0).expect("written");
                assert_eq!(Map::new(&other, 9000).sum(9000), 9000 * u64::from(b'o'));
            }
        });
        for _ in 0..20 {
            let map = Map::new(&file, 1 << 20);
            assert!(map.get((1 << 20) - 8, 8) == "........");
        }
    });
    let map = Map::new(&file, 1 << 20);
    println!("{} {} {}", map.get(0, 9), map.get(995_000, 9), map.sum(1 << 20));
    map.set(1_000_000, b"cut off");
    // SAFETY: nothing uses the end of the mapping any more.
    let start = unsafe { libc::mremap(map.0.cast(), 1 << 20, 4096, 0) };
    println!("{} {}", start == map.0.cast(), at(&file, 999_999, 9));
    others.iter().for_each(|other| fs::remove_file(other).expect("removed"));
}

/// Pages that threads store to and punch, while others make all durable.
fn punched_meanwhile(path: &Path) {
    const PAGES: usize = 400;
    let file = open(path);
    file.set_len(PAGES as u64 * 4096).expect("longer");
    let map = Map::new(&file, PAGES * 4096);
    let is_over = AtomicBool::new(false);
    let punch = &|first: usize| {
        for page in (first..PAGES).step_by(4) {
            map.set(page * 4096, b"stored");
            // SAFETY: a call without memory.
            let punched = unsafe { libc::fallocate(file.as_raw_fd(), 3, page as i64 * 4096, 4096) };
            assert_eq!(punched, 0);
        }
    };
    thread::scope(|scope| {
        for turns in 0..3 {
            let (is_over, file) = (&is_over, &file);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    // While the volume is busy for one of them, requests of threads that punch are waiting.
                    (0..turns).for_each(|_| thread::yield_now());
                    file.sync_data().expect("synced");
                }
            });
        }
        thread::scope(|scope| (0..4).for_each(|first| drop(scope.spawn(move || punch(first)))));
        is_over.store(true, Ordering::Relaxed);
    });
    drop(map);
    let mut bytes = vec![1; PAGES * 4096];
    file.read_exact_at(&mut bytes, 0).expect("read");
    println!("{}", bytes.iter().filter(|byte| **byte != 0).count());
}

/// Stores that become durable although other threads change the same pages all the time.
fn synced_meanwhile(path: &Path) {
    let file = File::options().read(true).write(true).create_new(true).custom_flags(libc::O_DSYNC).open(path);
    let file = file.expect("made");
    file.set_len(1 << 20).expect("longer");
    let map = Map::new(&file, 1 << 20);
    let is_over = AtomicBool::new(false);
    thread::scope(|scope| {
        for writer in 0..2 {
            let (is_over, file) = (&is_over, &file);
            scope.spawn(move || {
                while !is_over.load(Ordering::Relaxed) {
                    file.write_all_at(&[b'w'; 64], writer * 4096).expect("written");
                }
            });
        }
        for time in 0..20 {
            map.set(100 * 4096, &[b'0' + time]);
            file.sync_all().expect("synced");
        }
        is_over.store(true, Ordering::Relaxed);
    });
    println!("{} {}", map.get(4095, 3), at(&file, 100 * 4096, 1));
}

/// A file that is removed while it is mapped, and one that is mapped no more when its end comes.
fn ends(folder: &Path) {
    let (gone, left) = (folder.join("gone"), folder.join("left"));
    let file = open(&gone);
    file.set_len(8192).expect("longer");
    let map = Map::new(&file, 8192);
    drop(file);
    fs::remove_file(&gone).expect("removed");
    map.set(5000, b"still there");
    println!("{} {}", map.get(4999, 12), map.sync());
    let file = File::options().read(true).write(true).create_new(true).custom_flags(libc::O_SYNC).open(&left);
    let file = file.expect("made");
    file.write_at(b"0123456789", 4090).expect("written");
    let map = Map::new(&file, 4100);
    map.set(0, b"stored");
    map.set(4092, b"stored");
    drop(map);
    println!("{} {}", at(&file, 0, 8), at(&file, 4088, 100));
    let map = Map::new(&file, 4100);
    println!("{}", map.get(4090, 10));
    map.set(4099, b"!");
    std::mem::forget(map);
}

fn main() {
    let folder = env::args().nth(1).expect("a directory");
    let folder = Path::new(&folder);
    both_ways(&folder.join("both"));
    sizes(&folder.join("sizes"));
    holes(&folder.join("holes"));
    made_meanwhile(&folder.join("meanwhile"));
    punched_meanwhile(&folder.join("punched"));
    synced_meanwhile(&folder.join("synced"));
    ends(folder);
}
