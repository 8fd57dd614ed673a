//! Damaged disks: whatever they hold, a volume answers with an error, in a bounded time and memory, and does not panic.
//!
//! `HUSK_DAMAGES` sets the number of disks (600), `HUSK_SEED` the first seed.

#![expect(unsafe_code, reason = "an allocator that counts")]

mod support;

use husk_abi::folder::*;
use husk_ext4::{Disk, Failed};
use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::panic::{AssertUnwindSafe, catch_unwind};
use support::random::Random;
use support::*;

/// Most bytes that a volume has allocated at a time, and most requests to the disk, in one run.
const MEMORY_MAXIMUM: usize = 48 * MIB;
const REQUESTS_MAXIMUM: usize = 200_000;

/// Counts what a thread has allocated.
struct Counting;

thread_local! {
    static ALLOCATED: Cell<(usize, usize)> = const { Cell::new((0, 0)) };
}

// SAFETY: all calls are the system's.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        let _ = ALLOCATED.try_with(|allocated| {
            let now = allocated.get().0 + layout.size();
            allocated.set((now, allocated.get().1.max(now)));
        });
        // SAFETY: the caller's conditions are the system's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, at: *mut u8, layout: Layout) {
        let _ = ALLOCATED.try_with(|allocated| {
            allocated.set((allocated.get().0.saturating_sub(layout.size()), allocated.get().1));
        });
        // SAFETY: the caller's conditions are the system's.
        unsafe { System.dealloc(at, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A disk that counts requests.
struct Counted {
    bytes: Vec<u8>,
    requests: usize,
}

impl Counted {
    fn count(&mut self, offset: u64, length: usize) -> std::ops::Range<usize> {
        self.requests += 1;
        assert!(self.requests < REQUESTS_MAXIMUM, "too many requests: a loop");
        offset as usize..offset as usize + length
    }
}

impl Disk for Counted {
    fn size(&self) -> u64 {
        self.bytes.len() as u64
    }

    fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Failed> {
        let range = self.count(offset, into.len());
        into.copy_from_slice(self.bytes.get(range).expect("a read within the disk"));
        Ok(())
    }

    fn write(&mut self, offset: u64, from: &[u8]) -> Result<(), Failed> {
        let range = self.count(offset, from.len());
        self.bytes.get_mut(range).expect("a write within the disk").copy_from_slice(from);
        Ok(())
    }

    fn flush(&mut self) -> Result<(), Failed> {
        Ok(())
    }
}

/// A disk with directories and files that have block maps: they are older than its feature `extent`.
fn with_block_maps(arguments: &[&str]) -> Vec<u8> {
    let directory = scratch();
    let from = directory.path().join("from");
    std::fs::create_dir_all(from.join("many/deep")).expect("a directory");
    for number in 0..500 {
        std::fs::write(from.join(format!("many/a name that is rather long {number}")), b"").expect("room");
    }
    std::fs::write(from.join("large"), vec![1; 400_000]).expect("room");
    std::fs::write(from.join("pieces"), vec![2; 20_000]).expect("room");
    std::fs::write(from.join("many/deep/file"), vec![3; 5000]).expect("room");
    std::fs::hard_link(from.join("large"), from.join("other")).expect("one file system");
    std::os::unix::fs::symlink("./".repeat(200), from.join("long")).expect("room");
    let all: Vec<&str> = arguments.iter().copied().chain(["-d", from.to_str().expect("UTF-8")]).collect();
    tuned(&make(8, &all), "extent")
}

/// A disk with something of everything, which was not unmounted if `is_dirty`.
fn filled(empty: Vec<u8>, is_dirty: bool) -> Vec<u8> {
    let disk = Memory::new(empty);
    let mut guest = Guest::mount(disk.clone());
    guest.mkdir("many").expect("room");
    (0..600).for_each(|number| guest.put(&format!("many/a name that is rather long {number}"), b"").expect("room"));
    guest.put("large", &[1; 300_000]).expect("room");
    let pieces = guest.open("pieces", CREATE | RDWR).expect("room");
    for at in 0..150 {
        guest.write_at(pieces, at * 10_000, &[2; 1000]).expect("room");
        guest.sync(pieces, true).expect("the disk works");
    }
    guest.named(SYMLINK, "link", "large", 0).expect("room");
    guest.named(SYMLINK, "long", &"./".repeat(200), 0).expect("room");
    guest.mkdir("many/deep").expect("room");
    guest.put("many/deep/file", &[3; 5000]).expect("room");
    let gone = guest.open("large", RDWR).expect("it is there");
    guest.named(LINK, "large", "other", 0).expect("room");
    guest.put("gone", &[4; 100_000]).expect("room");
    let open = guest.open("gone", RDWR).expect("it is there");
    guest.unlink("gone").expect("it is there");
    if is_dirty {
        guest.sync(gone, false).and(guest.sync(open, false)).expect("the disk works");
        return disk.bytes();
    }
    guest.volume.unmount().expect("it is unmounted");
    disk.bytes()
}

/// Blocks that hold anything, and are likely to be metadata: those whose bytes are not all one.
fn interesting(disk: &[u8]) -> Vec<usize> {
    let differs = |block: &&[u8]| block.iter().any(|byte| *byte != block[0]);
    let blocks = disk.chunks(1024).enumerate().filter(|(_, block)| differs(block));
    blocks.map(|(number, _)| number * 1024).collect()
}

/// Damages a disk in some places.
fn damage(disk: &mut [u8], places: &[usize], random: &mut Random) {
    for _ in 0..1 + random.below(6) {
        // The superblock, what follows it, or any block.
        let start = match random.below(6) {
            0 => 1024,
            1 => 2048 + random.below(8) * 1024,
            _ => places[random.below(places.len())],
        };
        let at = start + random.below(256) * 4;
        let number = match random.below(6) {
            0 => 0,
            1 => u32::MAX,
            2 => 1 << random.below(32),
            3 => random.next() as u32,
            4 => random.below(9000) as u32,
            _ => u32::from_le_bytes(disk[at..at + 4].try_into().expect("4")) ^ (1 << random.below(32)),
        };
        let width = [1, 2, 4, 4][random.below(4)];
        disk[at..at + width].copy_from_slice(&number.to_le_bytes()[..width]);
    }
}

/// Reads and changes what is there.
fn work(disk: Vec<u8>, random: &mut Random) {
    let Ok(mut guest) = Guest::try_mount(Counted { bytes: disk, requests: 0 }, random.below(5) == 0) else { return };
    let _ = guest.list(".");
    let _ = guest.list("many");
    let mut paths: Vec<String> =
        ["large", "pieces", "link/", "long", "other", "many/deep/file", "many/deep", "many", "gone"]
            .iter()
            .map(|path| (*path).to_owned())
            .collect();
    paths.extend((0..20).map(|number| format!("many/a name that is rather long {}", number * 30)));
    random.shuffle(&mut paths);
    for path in &paths {
        let _ = guest.stat(path);
        if let Ok(handle) = guest.open(path, RDONLY) {
            let size = guest.stat_handle(handle).map_or(0, |attributes| attributes.size);
            for at in [0, 5000, size / 2, size.saturating_sub(2000)] {
                let _ = guest.read_at(handle, at, 60_000);
            }
            let _ = guest.close(handle);
        }
        let _ = guest.read_link(path);
        if let Ok(handle) = guest.open(path, RDWR) {
            let _ = guest.write_at(handle, random.below(400_000) as u64, &[9; 3000]);
            let _ = guest.sync(handle, false);
            let allocate = Request { handle, flags: 3, offset: 5000, count: 60_000, ..Request::default() };
            let _ = guest.on_handle(ALLOCATE, allocate);
            let _ = guest.on_handle(SEEK, Request { handle, flags: 3, ..Request::default() });
            let _ = guest.close(handle);
        }
        match random.below(5) {
            0 => drop(guest.unlink(path)),
            1 => drop(guest.truncate(path, random.below(100_000) as u64)),
            2 => drop(guest.rename(path, &format!("many/deep/{}", random.below(5)))),
            3 => drop(guest.named(REMOVE_DIRECTORY, path, "", 0)),
            _ => drop(guest.put(&format!("new{}", random.below(9)), &[5; 20_000])),
        }
    }
    guest.now_ns += 10_000_000_000;
    guest.volume.write_back(guest.now_ns);
    let _ = guest.volume.unmount();
}

#[test]
fn damaged_disks_are_answered_by_errors() {
    if !has_tools() {
        return;
    }
    let number = |name: &str| std::env::var(name).ok().and_then(|value| value.parse::<u64>().ok());
    let (count, first) = (number("HUSK_DAMAGES").unwrap_or(600), number("HUSK_SEED").unwrap_or(1));
    let small = ["-b", "1024", "-N", "800", "-J", "size=1", "-O"];
    let with = |feature| small.iter().copied().chain([feature]).collect::<Vec<_>>();
    let disks = [
        filled(make(8, &with("^metadata_csum,^64bit")), false),
        filled(make(8, &with("^metadata_csum")), true),
        filled(make(8, &with("metadata_csum")), true),
        filled(make(8, &with("^has_journal,^metadata_csum")), false),
        with_block_maps(&with("^extent,^metadata_csum,^64bit")),
    ];
    let places = disks.each_ref().map(|disk| interesting(disk));
    let mut threads = Vec::new();
    for thread in 0..2 {
        let (disks, places) = (disks.clone(), places.clone());
        threads.push(std::thread::spawn(move || {
            for seed in (first..first + count).filter(|seed| seed % 2 == thread) {
                let mut random = Random::new(seed);
                let kind = random.below(disks.len());
                let mut disk = disks[kind].clone();
                damage(&mut disk, &places[kind], &mut random);
                let before = ALLOCATED.get().0;
                ALLOCATED.set((before, before));
                let result = catch_unwind(AssertUnwindSafe(|| work(disk, &mut random)));
                assert!(result.is_ok(), "HUSK_SEED={seed} HUSK_DAMAGES=1, disk {kind}");
                let peak = ALLOCATED.get().1 - before;
                assert!(peak < MEMORY_MAXIMUM, "HUSK_SEED={seed}, disk {kind}: {peak} bytes at a time");
            }
        }));
    }
    let results: Vec<_> = threads.into_iter().map(|thread| thread.join()).collect();
    assert!(results.iter().all(Result::is_ok), "see above");
}
