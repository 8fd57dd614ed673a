//! Shared mappings: what Linux shows of a file and its mappings, and what is refused.

use super::*;
use crate::fs::mapping::Wish;
use crate::fs::quota::Quota;
use husk::abi::memory::{PAGE, Rights};
use std::ops::Range;

const READ_WRITE: Rights = Rights::READ.union(Rights::WRITE);
const RDWR: u32 = linux::O_CREAT | linux::O_RDWR;

impl Machine {
    fn map(&mut self, file: i32, bytes: Range<u64>, rights: Rights) -> Result<u64, Errno> {
        let now = self.now();
        self.files.map(file, bytes, None, rights, Wish::Anywhere, now)
    }

    fn unmap(&mut self, address: u64, length: u64) {
        let now = self.now();
        self.files.unmap(address, length, now).expect("memory");
    }

    fn remap(&mut self, address: u64, lengths: (u64, u64), may_move: bool) -> Option<Result<u64, Errno>> {
        let now = self.now();
        self.files.remap(address, lengths, may_move, now)
    }
}

fn peek(address: u64, length: usize) -> Vec<u8> {
    let mut bytes = vec![0; length];
    Slice::new(address, length as u64).copy_out(&mut bytes).expect("mapped");
    bytes
}

fn poke(address: u64, bytes: &[u8]) {
    Slice::new(address, bytes.len() as u64).copy_in(bytes).expect("mapped");
}

#[test]
fn one_page_serves_all_mappings_and_calls() {
    let mut machine = Machine::new();
    let file = machine.create("/file");
    machine.write(file, None, &[b'a'; 8192]).expect("space");
    let first = machine.map(file, 0..8192, Rights::READ).expect("room");
    assert_eq!(peek(first, 8192), [b'a'; 8192]);
    machine.write(file, Some(0), b"NEW").expect("space");
    assert_eq!(peek(first, 4), b"NEWa");
    let second = machine.map(file, 4096..8192, READ_WRITE).expect("room");
    poke(second, b"Z");
    assert_eq!(peek(first + 4096, 2), b"Za");
    assert_eq!(machine.read(file, Some(4095), 3).as_deref(), Ok(&b"aZa"[..]));
    machine.write(file, Some(20_000), b"far").expect("space");
    assert_eq!(machine.read(file, Some(19_999), 9).as_deref(), Ok(&b"\0far"[..]));
}

#[test]
fn a_mapping_keeps_the_file_and_goes_with_it() {
    let mut machine = Machine::new();
    let before = machine.files.quota.used;
    let file = machine.create("/file");
    machine.write(file, None, &[7; 10_000]).expect("space");
    let address = machine.map(file, 0..12_288, READ_WRITE).expect("room");
    let now = machine.now();
    machine.files.unlink(AT_FDCWD, b"/file", now).expect("there");
    machine.files.close(file).expect("open");
    assert_eq!(peek(address + 9_999, 2), [7, 0]);
    machine.unmap(address, 4096);
    assert_eq!(machine.files.mappings.contains(address, 4096), Some(false));
    assert_eq!(machine.files.mappings.contains(address + 4096, 8192), Some(true));
    machine.unmap(0, u64::MAX);
    assert!(machine.files.mappings.is_empty());
    assert_eq!(machine.files.quota.used, before);
}

#[test]
fn each_munmap_ends_one_mapping_of_a_page() {
    let mut machine = Machine::new();
    let file = machine.create("/file");
    machine.write(file, None, &[1; 4096]).expect("space");
    let [first, second] = [(); 2].map(|()| machine.map(file, 0..4096, READ_WRITE).expect("room"));
    machine.unmap(first, 4096);
    assert_eq!((peek(second, 1), machine.files.mappings.contains(second, 4096)), (vec![1], Some(true)));
    machine.unmap(second, 4096);
    assert_eq!(machine.files.mappings.contains(second, 4096), None);
}

#[test]
fn a_file_grows_below_its_mapping() {
    let mut machine = Machine::new();
    let file = machine.create("/file");
    let address = machine.map(file, 0..1 << 20, READ_WRITE).expect("room for a file without contents");
    machine.write(file, Some(0), b"begin").expect("space");
    // Behind the end, where Linux would stop the program; it must not become contents.
    poke(address + 5, b"stray");
    poke(address + 50_000, b"stray");
    let now = machine.now();
    machine.files.truncate_open(file, 60_000, now).expect("space");
    assert_eq!(peek(address, 8), b"begin\0\0\0");
    assert_eq!(peek(address + 50_000, 5), [0; 5]);
    poke(address + 59_999, b"e");
    machine.write(file, Some(60_000), b"nd").expect("space");
    assert_eq!(machine.read(file, Some(59_998), 9).as_deref(), Ok(&b"\0end"[..]));
    machine.files.truncate_open(file, 3, now).expect("space");
    machine.files.truncate_open(file, 100, now).expect("space");
    assert_eq!(peek(address, 5), b"beg\0\0");
}

#[test]
fn rights_of_the_descriptor_bind_its_mappings() {
    let mut machine = Machine::new();
    machine.create("/file");
    let reader = machine.open("/file", linux::O_RDONLY).expect("there");
    let writer = machine.open("/file", linux::O_WRONLY).expect("there");
    assert_eq!(machine.map(writer, 0..4096, READ_WRITE), Err(Errno::EACCES));
    assert_eq!(machine.map(reader, 0..4096, READ_WRITE), Err(Errno::EACCES));
    let address = machine.map(reader, 0..4096, Rights::READ).expect("room");
    assert_eq!(machine.files.protect(address, 4096, READ_WRITE), Some(Err(Errno::EACCES)));
    assert_eq!(machine.files.protect(address, 8192, Rights::READ), Some(Err(Errno::ENOMEM)));
    assert_eq!(machine.files.protect(address, 4096, Rights::empty()), Some(Ok(())));
    assert_eq!(machine.files.protect(8192, 4096, Rights::empty()), None);
}

#[test]
fn a_mapping_has_the_one_address_that_its_file_has() {
    let mut machine = Machine::new();
    let file = machine.create("/file");
    let now = machine.now();
    let mut at = |bytes, wish| machine.files.map(file, bytes, None, READ_WRITE, wish, now);
    assert_eq!(at(0..4096, Wish::At(1 << 30)), Err(Errno::EINVAL));
    let address = at(0..4096, Wish::Anywhere).expect("room");
    assert_eq!(at(4096..8192, Wish::Anywhere), Ok(address + 4096));
    assert_eq!(at(4096..8192, Wish::AtFree(address + 4096)), Err(Errno::EEXIST));
    assert_eq!(at(8192..9000, Wish::AtFree(address + 8192)), Ok(address + 8192));
    assert_eq!(at(4096..8192, Wish::At(address)), Err(Errno::EINVAL));
    assert_eq!(at(0..4096, Wish::At(address)), Ok(address));
    machine.unmap(address, 3 * PAGE);
    assert!(machine.files.mappings.is_empty(), "the last mapping replaced another");
}

#[test]
fn a_mapping_that_is_alone_moves_where_it_has_room() {
    let mut machine = Machine::new();
    let file = machine.create("/file");
    machine.write(file, None, b"contents").expect("space");
    let address = machine.map(file, 0..4096, READ_WRITE).expect("room");
    assert_eq!(machine.remap(address, (4096, 16_384), false), Some(Ok(address)));
    assert_eq!(machine.remap(address, (16_384, 64 << 20), false), Some(Err(Errno::ENOMEM)));
    let other = machine.map(file, 0..4096, READ_WRITE).expect("room");
    assert_eq!(machine.remap(address, (16_384, 64 << 20), true), Some(Err(Errno::ENOMEM)));
    assert_eq!(machine.map(file, 0..64 << 20, READ_WRITE), Err(Errno::ENOMEM));
    machine.unmap(other, 4096);
    let moved = machine.remap(address, (16_384, 64 << 20), true).expect("a file's").expect("alone");
    assert_ne!(moved, address);
    poke(moved, b"C");
    assert_eq!(machine.read(file, Some(0), 9).as_deref(), Ok(&b"Contents"[..]));
    assert_eq!(machine.remap(moved, (64 << 20, 4096), false), Some(Ok(moved)));
    assert_eq!(machine.files.mappings.contains(moved, 8192), Some(false));
    assert_eq!(machine.remap(0x1000, (4096, 8192), true), None);
}

#[test]
fn a_mapping_that_cannot_grow_stays_where_it_was() {
    let mut machine = Machine::with_image(|| Ok(crate::fs::tree::tests::example()));
    let file = machine.open("/data/large", linux::O_RDWR).expect("the image's");
    let address = machine.map(file, 0..4096, READ_WRITE).expect("room");
    // The other pages of the file would have to move with it.
    let limit = std::mem::replace(&mut machine.files.quota.limit, machine.files.quota.used);
    assert_eq!(machine.remap(address, (4096, 64 << 20), true), Some(Err(Errno::ENOMEM)));
    poke(address, b"still");
    assert_eq!(machine.read(file, Some(0), 6).as_deref(), Ok(&b"still\x07"[..]));
    assert_eq!(machine.files.mappings.contains(address, 4096), Some(true));
    assert_eq!(machine.files.mappings.contains(address, 8192), Some(false));
    machine.files.quota.limit = limit;
    let moved = machine.remap(address, (4096, 64 << 20), true).expect("a file's").expect("memory");
    assert_ne!(moved, address);
    assert_eq!((peek(moved, 6), peek(moved + 9_999, 2)), (b"still\x07".to_vec(), vec![7, 0]));
}

#[test]
fn what_does_not_fit_is_refused_and_leaves_the_file_as_it_was() {
    let mut machine = Machine::new();
    let file = machine.create("/file");
    machine.write(file, None, &[5; 8192]).expect("space");
    assert_eq!(machine.map(file, 0..1 << 40, READ_WRITE), Err(Errno::ENOMEM));
    let address = machine.map(file, 0..16_384, READ_WRITE).expect("room");
    let Quota { used, .. } = machine.files.quota;
    machine.files.quota.limit = used + PAGE;
    assert_eq!(machine.write(file, None, &[6; 8192]), Ok(4096));
    assert_eq!(machine.write(file, None, &[6; 8192]), Err(Errno::ENOSPC.into()));
    assert_eq!(machine.read(file, Some(8191), 9_000).map(|bytes| bytes.len()), Ok(4097));
    assert_eq!(peek(address + 8191, 2), [5, 6]);
}

#[test]
fn only_regular_files_are_mapped() {
    let mut machine = Machine::new();
    for path in ["/dev/null", "/proc/self/exe", "/tmp"] {
        let file = machine.open(path, linux::O_RDONLY).expect("there");
        assert_eq!(machine.map(file, 0..4096, Rights::READ), Err(Errno::ENODEV), "{path}");
    }
}

#[cfg(not(miri))]
mod against_linux {
    #![expect(unsafe_code, reason = "Linux maps files for the comparison")]

    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use rustix::fs as host;
    use rustix::mm::{MapFlags, ProtFlags, mmap, munmap};
    use std::os::fd::{AsFd, OwnedFd};

    const PAGES: u64 = 12;

    #[derive(Clone, Debug)]
    enum Call {
        Map(u64, u64),
        Unmap(usize),
        Poke(usize, u64, usize, u8),
        Read(u64, usize),
        Write(u64, usize, u8),
        Truncate(u64),
        Allocate(u64, u64),
        Punch(u64, u64),
        Shrink(usize),
    }

    fn call() -> impl Strategy<Value = Call> {
        let at = || 0..PAGES * PAGE;
        let some = || prop_oneof![0..100usize, 0..20_000usize];
        prop_oneof![
            (0..PAGES, 1..PAGES).prop_map(|(a, b)| Call::Map(a, b)),
            (0..4usize).prop_map(Call::Unmap),
            (0..4usize, at(), some(), any::<u8>()).prop_map(|(a, b, c, d)| Call::Poke(a, b, c, d)),
            (at(), some()).prop_map(|(a, b)| Call::Read(a, b)),
            (at(), some(), any::<u8>()).prop_map(|(a, b, c)| Call::Write(a, b, c)),
            at().prop_map(Call::Truncate),
            (at(), 1..30_000u64).prop_map(|(a, b)| Call::Allocate(a, b)),
            (at(), 1..30_000u64).prop_map(|(a, b)| Call::Punch(a, b)),
            (0..4usize).prop_map(Call::Shrink),
        ]
    }

    /// A file on both sides; of each mapping the addresses here and on the host, its first page and their number.
    struct Both {
        machine: Machine,
        file: i32,
        host: OwnedFd,
        mapped: Vec<(u64, u64, u64, u64)>,
    }

    impl Both {
        fn new() -> Self {
            let mut machine = Machine::new();
            let file = machine.open("/file", RDWR).expect("can be made");
            let host = host::memfd_create(c"file", host::MemfdFlags::empty()).expect("a file of our own");
            Self { machine, file, host, mapped: Vec::new() }
        }

        fn size(&self) -> u64 {
            host::fstat(&self.host).expect("open").st_size as u64
        }

        /// Makes a call on both sides, and compares what they answer.
        fn call(&mut self, call: Call) {
            let (file, now) = (self.file, self.machine.now());
            let own = |result: SyscallResult| result.expect("possible");
            match call {
                Call::Map(page, count) => {
                    let bytes = page * PAGE..(page + count) * PAGE;
                    let here = self.machine.map(file, bytes.clone(), READ_WRITE).expect("room");
                    let (rights, flags) = (ProtFlags::READ | ProtFlags::WRITE, MapFlags::SHARED);
                    let length = (count * PAGE) as usize;
                    // SAFETY: a new mapping changes nothing.
                    let there =
                        unsafe { mmap(core::ptr::null_mut(), length, rights, flags, self.host.as_fd(), bytes.start) };
                    self.mapped.push((here, there.expect("room") as u64, page, count));
                }
                Call::Unmap(index) if index < self.mapped.len() => {
                    let (here, there, _, count) = self.mapped.swap_remove(index);
                    self.machine.unmap(here, count * PAGE);
                    // SAFETY: the mapping is ours, and unused from here on.
                    unsafe { munmap(there as *mut _, (count * PAGE) as usize) }.expect("mapped");
                }
                Call::Shrink(index) if self.mapped.get(index).is_some_and(|mapping| mapping.3 > 1) => {
                    let (here, there, _, count) = self.mapped[index];
                    let last = (count - 1) * PAGE;
                    assert_eq!(self.machine.remap(here, (count * PAGE, last), false), Some(Ok(here)));
                    // SAFETY: the page is ours, and unused from here on.
                    unsafe { munmap((there + last) as *mut _, PAGE as usize) }.expect("mapped");
                    self.mapped[index].3 -= 1;
                }
                Call::Poke(index, at, count, byte) if index < self.mapped.len() => {
                    let (here, there, page, pages) = self.mapped[index];
                    let room = (pages * PAGE).min(self.size().saturating_sub(page * PAGE));
                    let count = count.min(room.saturating_sub(at) as usize);
                    poke(here + at, &vec![byte; count]);
                    poke(there + at, &vec![byte; count]);
                }
                Call::Unmap(_) | Call::Poke(..) | Call::Shrink(_) => {}
                Call::Read(at, count) => {
                    let mut bytes = vec![0; count];
                    let read = rustix::io::pread(&self.host, &mut bytes, at).expect("open");
                    assert_eq!(self.machine.read(file, Some(at), count).as_deref(), Ok(&bytes[..read]));
                }
                Call::Write(at, count, byte) => {
                    let bytes = vec![byte; count];
                    let written = rustix::io::pwrite(&self.host, &bytes, at).expect("space");
                    assert_eq!(own(self.machine.write(file, Some(at), &bytes)), written as u64);
                }
                Call::Truncate(size) => {
                    host::ftruncate(&self.host, size).expect("open");
                    self.machine.files.truncate_open(file, size as i64, now).expect("open");
                }
                Call::Allocate(at, count) | Call::Punch(at, count) => {
                    let punch = matches!(call, Call::Punch(..));
                    let mode = if punch { linux::FALLOC_FL_PUNCH_HOLE | linux::FALLOC_FL_KEEP_SIZE } else { 0 };
                    host::fallocate(&self.host, host::FallocateFlags::from_bits_retain(mode), at, count).expect("open");
                    let Machine { files, devices, .. } = &mut self.machine;
                    own(files.allocate(devices, file, mode, (at as i64, count as i64), now));
                }
            }
        }

        /// All mappings and the file show the same on both sides.
        fn compare(&mut self) {
            let size = self.size();
            let mut bytes = vec![0; size as usize + 1];
            let read = rustix::io::pread(&self.host, &mut bytes, 0).expect("open");
            assert_eq!(self.machine.read(self.file, Some(0), bytes.len()).as_deref(), Ok(&bytes[..read]));
            for &(here, there, page, pages) in &self.mapped {
                let length = (pages * PAGE).min(size.saturating_sub(page * PAGE)) as usize;
                assert!(peek(here, length) == peek(there, length), "mapping of {pages} pages from {page} on");
            }
        }
    }

    impl Drop for Both {
        fn drop(&mut self) {
            while !self.mapped.is_empty() {
                self.call(Call::Unmap(0));
            }
        }
    }

    proptest! {
        #[test]
        fn files_and_mappings_show_what_they_show_on_linux(calls in vec(call(), 0..60)) {
            let mut both = Both::new();
            for call in calls {
                both.call(call);
                both.compare();
            }
            let Both { machine, file, .. } = &mut both;
            machine.files.close(*file).expect("open");
        }
    }
}
