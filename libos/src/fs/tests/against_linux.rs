//! Comparison with Linux: the same random calls on a directory of the host and on ours must have equal results and errors.
//!
//! The host's side is a tmpfs if there is one, because sizes and holes depend on the file system. Both sides work in a
//! directory so deep that no path leads out of what the test has made.

use super::*;
use crate::fs::layout::Stat;
use crate::fs::times::Change;
use proptest::collection::vec;
use proptest::prelude::*;
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::fs as host;
use std::fmt::Debug;
use std::path::Path;

/// Depth of the directory in which both sides work.
const DEPTH: usize = 6;
/// Most files that a test has open at once.
const SLOTS: usize = 4;

/// Path, and the open directory that it starts from, if that is not the test's own.
type Place = (Option<usize>, String);

#[derive(Clone, Debug)]
enum Call {
    Open(usize, Place, u32, u32),
    Close(usize),
    Duplicate(usize, usize),
    Read(usize, Option<u64>, usize),
    Write(usize, Option<u64>, usize, u8),
    Seek(usize, i64, u32),
    Truncate(usize, u64),
    Allocate(usize, u32, u64, u64),
    List(usize),
    Lock(usize, u32),
    CopyRange(usize, Option<u64>, usize, Option<u64>, usize),
    Send(usize, usize, Option<u64>, usize),
    MakeDirectory(Place, u32),
    RemoveDirectory(Place),
    Unlink(Place),
    Rename(Place, Place, u32),
    Link(Place, Place, bool),
    MakeLink(String, Place),
    ReadLink(Place),
    Status(Place, bool),
    StatusOpen(usize),
    Access(Place, u32),
    Permit(Place, u32),
    Time(Place, bool),
}

fn component(up: bool) -> impl Strategy<Value = &'static str> {
    let last = if up { ".." } else { "." };
    prop_oneof![6 => Just("a"), 6 => Just("b"), 4 => Just("c"), 1 => Just("."), 1 => Just(last)]
}

fn path(up: bool) -> impl Strategy<Value = String> {
    let slash = prop_oneof![6 => Just(""), 1 => Just("/"), 1 => Just("//")];
    let long = prop_oneof![40 => Just(false), 1 => Just(true)];
    (vec(component(up), 1..4), slash, long).prop_map(|(components, slash, long)| {
        let long = if long { "x".repeat(256) } else { String::new() };
        components.join("/") + &long + slash
    })
}

fn place() -> impl Strategy<Value = Place> {
    prop_oneof![
        4 => path(true).prop_map(|path| (None, path)),
        1 => (0..SLOTS, path(false)).prop_map(|(slot, path)| (Some(slot), path)),
        1 => Just((None, String::new())),
    ]
}

fn open_flags() -> impl Strategy<Value = u32> {
    let access = prop_oneof![1 => Just(linux::O_RDONLY), 1 => Just(linux::O_WRONLY), 3 => Just(linux::O_RDWR)];
    let others = [
        (linux::O_CREAT, 2),
        (linux::O_EXCL, 6),
        (linux::O_TRUNC, 6),
        (linux::O_APPEND, 6),
        (linux::O_DIRECTORY, 6),
        (linux::O_NOFOLLOW, 6),
        (linux::O_PATH, 9),
        (linux::O_TMPFILE, 12),
    ];
    let others = others.map(|(flag, rarity)| prop_oneof![rarity => Just(0), 1 => Just(flag)]);
    (access, others).prop_map(|(access, others)| others.into_iter().fold(access, |all, flag| all | flag))
}

fn offset() -> impl Strategy<Value = u64> {
    prop_oneof![4 => 0..100u64, 3 => 0..20_000u64, 1 => 0..2_000_000u64, 1 => Just(1 << 63), 1 => Just((1 << 63) - 1)]
}

fn length() -> impl Strategy<Value = usize> {
    prop_oneof![4 => 0..100usize, 1 => 0..20_000usize]
}

fn mode() -> impl Strategy<Value = u32> {
    prop_oneof![Just(0o755), Just(0o644), Just(0o700), Just(0o600), Just(0o400), Just(0o1755), Just(0o2755)]
}

fn call() -> impl Strategy<Value = Call> {
    let slot = || 0..SLOTS;
    let at = || prop::option::of(offset());
    let one_of = |flags: &'static [u32]| prop::sample::select(flags);
    let renames: &[u32] = &[0, 0, 0, linux::RENAME_NOREPLACE, linux::RENAME_EXCHANGE, linux::RENAME_EXCHANGE, 3];
    let locks: &[u32] = &[linux::LOCK_SH, linux::LOCK_EX, linux::LOCK_UN, 0, 3];
    let allocations: &[u32] = &[0, 1, 2, 3];
    let reads = prop_oneof![
        12 => (slot(), place(), open_flags(), mode()).prop_map(|(a, b, c, d)| Call::Open(a, b, c, d)),
        1 => slot().prop_map(Call::Close),
        1 => (slot(), slot()).prop_map(|(a, b)| Call::Duplicate(a, b)),
        3 => (slot(), at(), length()).prop_map(|(a, b, c)| Call::Read(a, b, c)),
        6 => (slot(), at(), length(), any::<u8>()).prop_map(|(a, b, c, d)| Call::Write(a, b, c, d)),
        4 => (slot(), -100..30_000i64, 0..6u32).prop_map(|(a, b, c)| Call::Seek(a, b, c)),
        2 => (slot(), offset()).prop_map(|(a, b)| Call::Truncate(a, b)),
        2 => (slot(), one_of(allocations), 0..50_000u64, 0..50_000u64).prop_map(|(a, b, c, d)| Call::Allocate(a, b, c, d)),
        2 => slot().prop_map(Call::List),
        2 => (slot(), one_of(locks)).prop_map(|(a, b)| Call::Lock(a, b)),
        2 => (slot(), at(), slot(), at(), length()).prop_map(|(a, b, c, d, e)| Call::CopyRange(a, b, c, d, e)),
        2 => (slot(), slot(), at(), length()).prop_map(|(a, b, c, d)| Call::Send(a, b, c, d)),
        2 => slot().prop_map(Call::StatusOpen),
    ];
    let names = prop_oneof![
        8 => (place(), mode()).prop_map(|(a, b)| Call::MakeDirectory(a, b)),
        2 => place().prop_map(Call::RemoveDirectory),
        2 => place().prop_map(Call::Unlink),
        6 => (place(), place(), one_of(renames)).prop_map(|(a, b, c)| Call::Rename(a, b, c)),
        3 => (place(), place(), any::<bool>()).prop_map(|(a, b, c)| Call::Link(a, b, c)),
        4 => (path(false), place()).prop_map(|(a, b)| Call::MakeLink(a, b)),
        2 => place().prop_map(Call::ReadLink),
        3 => (place(), any::<bool>()).prop_map(|(a, b)| Call::Status(a, b)),
        2 => (place(), 0..9u32).prop_map(|(a, b)| Call::Access(a, b)),
        2 => (place(), mode()).prop_map(|(a, b)| Call::Permit(a, b)),
        1 => (place(), any::<bool>()).prop_map(|(a, b)| Call::Time(a, b)),
    ];
    prop_oneof![reads, names]
}

/// Answer of one side: a value and bytes, or an error number.
type Outcome = Result<(u64, Vec<u8>), i32>;

/// Comparable parts of a status: the size of a directory depends on the file system.
fn status(mode: u32, links: u64, size: u64, blocks: u64, owner: (u32, u32)) -> Outcome {
    let blocks = if mode & linux::S_IFMT == linux::S_IFREG { blocks } else { 0 };
    let size = if mode & linux::S_IFMT == linux::S_IFDIR { 0 } else { size };
    Ok((size, format!("{mode:o} {links} {blocks} {owner:?}").into_bytes()))
}

struct Host {
    base: OwnedFd,
    slots: [Option<OwnedFd>; SLOTS],
}

impl Host {
    fn new(directory: &Path) -> Self {
        let deep = (0..DEPTH).fold(directory.to_owned(), |path, _| path.join("deep"));
        std::fs::create_dir_all(&deep).expect("a directory of our own");
        let base = host::open(&deep, host::OFlags::DIRECTORY, host::Mode::empty()).expect("just made");
        Self { base, slots: Default::default() }
    }

    fn open(&self, slot: usize) -> Result<BorrowedFd<'_>, rustix::io::Errno> {
        self.slots[slot].as_ref().map(AsFd::as_fd).ok_or(rustix::io::Errno::BADF)
    }

    fn at<'a>(&'a self, place: &'a Place) -> Result<(BorrowedFd<'a>, &'a str), rustix::io::Errno> {
        Ok((place.0.map_or(Ok(self.base.as_fd()), |slot| self.open(slot))?, &place.1))
    }

    fn call(&mut self, call: &Call) -> Outcome {
        self.answer(call).map_err(|errno| errno.raw_os_error())
    }

    fn answer(&mut self, call: &Call) -> Result<(u64, Vec<u8>), rustix::io::Errno> {
        use rustix::io;
        let number = |value: usize| Ok((value as u64, Vec::new()));
        let nothing = |()| (0, Vec::new());
        let mode = |mode: &u32| host::Mode::from_bits_retain(*mode);
        let nofollow = |follow: &bool| if *follow { host::AtFlags::empty() } else { host::AtFlags::SYMLINK_NOFOLLOW };
        let told = |stat: host::Stat| {
            let blocks = stat.st_blocks as u64;
            status(stat.st_mode, stat.st_nlink, stat.st_size as u64, blocks, (stat.st_uid, stat.st_gid))
                .map_err(rustix::io::Errno::from_raw_os_error)
        };
        match call {
            Call::Open(slot, place, flags, bits) => {
                let (directory, path) = self.at(place)?;
                let file = host::openat(directory, path, host::OFlags::from_bits_retain(*flags), mode(bits))?;
                self.slots[*slot] = Some(file);
                number(0)
            }
            Call::Close(slot) => number(self.slots[*slot].take().is_some().into()),
            Call::Duplicate(from, to) => {
                let copy = io::dup(self.open(*from)?)?;
                self.slots[*to] = Some(copy);
                number(0)
            }
            Call::Read(slot, at, length) => {
                let mut bytes = vec![0; *length];
                let count = match at {
                    Some(at) => io::pread(self.open(*slot)?, &mut bytes, *at)?,
                    None => io::read(self.open(*slot)?, &mut bytes)?,
                };
                bytes.truncate(count);
                Ok((count as u64, bytes))
            }
            Call::Write(slot, at, length, byte) => {
                let bytes = vec![*byte; *length];
                match at {
                    Some(at) => number(io::pwrite(self.open(*slot)?, &bytes, *at)?),
                    None => number(io::write(self.open(*slot)?, &bytes)?),
                }
            }
            Call::Seek(slot, offset, whence) => {
                let to = match (*whence, *offset) {
                    (0, offset) => host::SeekFrom::Start(offset as u64),
                    (1, offset) => host::SeekFrom::Current(offset),
                    (2, offset) => host::SeekFrom::End(offset),
                    (3, offset) => host::SeekFrom::Data(offset as u64),
                    (_, offset) => host::SeekFrom::Hole(offset as u64),
                };
                Ok((host::seek(self.open(*slot)?, to)?, Vec::new()))
            }
            Call::Truncate(slot, size) => host::ftruncate(self.open(*slot)?, *size).map(nothing),
            Call::Allocate(slot, mode, start, length) => {
                let mode = host::FallocateFlags::from_bits_retain(*mode);
                host::fallocate(self.open(*slot)?, mode, *start, *length).map(nothing)
            }
            Call::List(slot) => {
                host::seek(self.open(*slot)?, host::SeekFrom::Start(0))?;
                let mut room = Vec::with_capacity(4096);
                let mut list = host::RawDir::new(self.open(*slot)?, room.spare_capacity_mut());
                let mut names = Vec::new();
                while let Some(entry) = list.next() {
                    let entry = entry?;
                    names.push(entry.file_name().to_str().expect("text").to_owned());
                }
                names.sort();
                // Positions after the start depend on the file system.
                host::seek(self.open(*slot)?, host::SeekFrom::Start(0))?;
                Ok((0, names.join(" ").into_bytes()))
            }
            Call::Lock(slot, operation) => {
                use host::FlockOperation::*;
                let operation = match *operation {
                    linux::LOCK_SH => NonBlockingLockShared,
                    linux::LOCK_EX => NonBlockingLockExclusive,
                    _ => NonBlockingUnlock,
                };
                host::flock(self.open(*slot)?, operation).map(nothing)
            }
            Call::CopyRange(from, from_at, to, to_at, length) => {
                let (mut from_at, mut to_at) = (*from_at, *to_at);
                let (from, to) = (self.open(*from)?, self.open(*to)?);
                number(host::copy_file_range(from, from_at.as_mut(), to, to_at.as_mut(), *length)?)
            }
            Call::Send(to, from, at, length) => {
                let mut at = *at;
                number(host::sendfile(self.open(*to)?, self.open(*from)?, at.as_mut(), *length)?)
            }
            Call::MakeDirectory(place, bits) => {
                let (directory, path) = self.at(place)?;
                host::mkdirat(directory, path, mode(bits)).map(nothing)
            }
            Call::RemoveDirectory(place) => {
                let (directory, path) = self.at(place)?;
                host::unlinkat(directory, path, host::AtFlags::REMOVEDIR).map(nothing)
            }
            Call::Unlink(place) => {
                let (directory, path) = self.at(place)?;
                host::unlinkat(directory, path, host::AtFlags::empty()).map(nothing)
            }
            Call::Rename(from, to, flags) => {
                let (from, to) = (self.at(from)?, self.at(to)?);
                let flags = host::RenameFlags::from_bits_retain(*flags);
                host::renameat_with(from.0, from.1, to.0, to.1, flags).map(nothing)
            }
            Call::Link(from, to, follow) => {
                let (from, to) = (self.at(from)?, self.at(to)?);
                let flags = if *follow { host::AtFlags::SYMLINK_FOLLOW } else { host::AtFlags::empty() };
                host::linkat(from.0, from.1, to.0, to.1, flags).map(nothing)
            }
            Call::MakeLink(target, place) => {
                let (directory, path) = self.at(place)?;
                host::symlinkat(target.as_str(), directory, path).map(nothing)
            }
            Call::ReadLink(place) => {
                let (directory, path) = self.at(place)?;
                Ok((0, host::readlinkat(directory, path, Vec::new())?.into_bytes()))
            }
            Call::Status(place, follow) => {
                let (directory, path) = self.at(place)?;
                told(host::statat(directory, path, nofollow(follow))?)
            }
            Call::StatusOpen(slot) => told(host::fstat(self.open(*slot)?)?),
            Call::Access(place, mode) => {
                let (directory, path) = self.at(place)?;
                let access = host::Access::from_bits_retain(*mode);
                host::accessat(directory, path, access, host::AtFlags::EACCESS).map(nothing)
            }
            Call::Permit(place, bits) => {
                let (directory, path) = self.at(place)?;
                host::chmodat(directory, path, mode(bits), host::AtFlags::empty()).map(nothing)
            }
            Call::Time(place, follow) => {
                let (directory, path) = self.at(place)?;
                let time = host::Timespec { tv_sec: 1, tv_nsec: 2 };
                let times = host::Timestamps { last_access: time, last_modification: time };
                host::utimensat(directory, path, &times, nofollow(follow))?;
                let stat = host::statat(directory, path, nofollow(follow))?;
                // Linux updates the access time of a link that was followed, we do not.
                let accessed = if *follow { stat.st_atime } else { 1 };
                Ok((stat.st_mtime as u64, format!("{accessed} {}", stat.st_mtime_nsec).into_bytes()))
            }
        }
    }
}

struct Guest {
    machine: Machine,
    base: i32,
    slots: [Option<i32>; SLOTS],
}

impl Guest {
    fn new() -> Self {
        let mut machine = Machine::new();
        let mut path = String::from("/deep");
        for _ in 0..DEPTH {
            let now = machine.now();
            machine.files.make_directory(AT_FDCWD, path.as_bytes(), 0o755, now).expect("new");
            path += "/deep";
        }
        let base = machine.open(&path[..path.len() - 5], linux::O_DIRECTORY).expect("just made");
        Self { machine, base, slots: Default::default() }
    }

    fn open(&self, slot: usize) -> Result<i32, Errno> {
        self.slots[slot].ok_or(Errno::EBADF)
    }

    fn at<'a>(&self, place: &'a Place) -> Result<(i32, &'a [u8]), Errno> {
        Ok((place.0.map_or(Ok(self.base), |slot| self.open(slot))?, place.1.as_bytes()))
    }

    fn fill(&mut self, slot: usize, descriptor: i32) {
        if let Some(before) = self.slots[slot].replace(descriptor) {
            self.machine.files.close(before).expect("was open");
        }
    }

    fn call(&mut self, call: &Call) -> Outcome {
        self.answer(call).map_err(|stop| match stop {
            Stop::Errno(errno) => -errno.to_result() as i32,
            other => panic!("no call of these waits: {other:?}"),
        })
    }

    fn answer(&mut self, call: &Call) -> Result<(u64, Vec<u8>), Stop> {
        let number = |value: u64| Ok((value, Vec::new()));
        let nofollow = |follow: &bool| if *follow { 0 } else { linux::AT_SYMLINK_NOFOLLOW };
        let told = |stat: Stat| {
            let (size, blocks) = (stat.size as u64, stat.blocks as u64);
            Ok(status(stat.mode, stat.links, size, blocks, (stat.user, stat.group)).expect("comparable"))
        };
        let now = self.machine.now();
        match call {
            Call::Open(slot, place, flags, mode) => {
                let (directory, path) = self.at(place)?;
                let file = self.machine.files.open(directory, path, *flags, *mode, now)?;
                self.fill(*slot, file);
                return number(0);
            }
            Call::Close(slot) => {
                return match self.slots[*slot].take() {
                    Some(descriptor) => {
                        self.machine.files.close(descriptor)?;
                        number(1)
                    }
                    None => number(0),
                };
            }
            Call::Duplicate(from, to) => {
                let copy = self.machine.files.duplicate(self.open(*from)?, 0, false)?;
                self.fill(*to, copy);
                return number(0);
            }
            Call::Read(slot, at, length) => {
                let descriptor = self.open(*slot)?;
                let at = at.map(crate::fs::offset::checked).transpose()?;
                let bytes = self.machine.read(descriptor, at, *length)?;
                return Ok((bytes.len() as u64, bytes));
            }
            Call::Write(slot, at, length, byte) => {
                let descriptor = self.open(*slot)?;
                let at = at.map(crate::fs::offset::checked).transpose()?;
                return number(self.machine.write(descriptor, at, &vec![*byte; *length])?);
            }
            Call::List(slot) => {
                let descriptor = self.open(*slot)?;
                self.machine.files.seek(descriptor, 0, linux::SEEK_SET)?;
                let mut names = Vec::new();
                loop {
                    let some = self.machine.names(descriptor, 100)?;
                    if some.is_empty() {
                        names.sort();
                        self.machine.files.seek(descriptor, 0, linux::SEEK_SET)?;
                        return Ok((0, names.join(" ").into_bytes()));
                    }
                    names.extend(some);
                }
            }
            _ => {}
        }
        let open = |slot: &usize| self.slots[*slot].ok_or(Errno::EBADF);
        let base = self.base;
        let at = |place: &Place| -> Result<(i32, Vec<u8>), Errno> {
            Ok((place.0.map_or(Ok(base), |slot| open(&slot))?, place.1.as_bytes().to_vec()))
        };
        let Machine { files, devices, .. } = &mut self.machine;
        match call {
            Call::Seek(slot, offset, whence) => {
                return number(files.seek(open(slot)?, *offset, (*whence).min(4))?);
            }
            Call::Truncate(slot, size) => files.truncate_open(open(slot)?, *size as i64, now)?,
            Call::Allocate(slot, mode, start, length) => {
                files.allocate(devices, open(slot)?, *mode, (*start as i64, *length as i64), now)?;
            }
            Call::Lock(slot, operation) => {
                let operation = match *operation {
                    linux::LOCK_SH | linux::LOCK_EX => *operation,
                    _ => linux::LOCK_UN,
                };
                files.lock(open(slot)?, operation | linux::LOCK_NB)?;
            }
            Call::CopyRange(from, from_at, to, to_at, length) => {
                let (from, to) = ((open(from)?, *from_at), (open(to)?, *to_at));
                return number(files.copy_range(devices, from, to, *length as u64, now)?);
            }
            Call::Send(to, from, at, length) => {
                return number(files.send(devices, open(to)?, open(from)?, *at, *length as u64, now)?);
            }
            Call::MakeDirectory(place, mode) => {
                let (directory, path) = at(place)?;
                files.make_directory(directory, &path, *mode, now)?;
            }
            Call::RemoveDirectory(place) => {
                let (directory, path) = at(place)?;
                files.remove_directory(directory, &path, now)?;
            }
            Call::Unlink(place) => {
                let (directory, path) = at(place)?;
                files.unlink(directory, &path, now)?;
            }
            Call::Rename(from, to, flags) => {
                let (from, to) = (at(from)?, at(to)?);
                files.rename((from.0, &from.1), (to.0, &to.1), *flags, now)?;
            }
            Call::Link(from, to, follow) => {
                let (from, to) = (at(from)?, at(to)?);
                let flags = if *follow { linux::AT_SYMLINK_FOLLOW } else { 0 };
                files.link((from.0, &from.1), (to.0, &to.1), flags, now)?;
            }
            Call::MakeLink(target, place) => {
                let (directory, path) = at(place)?;
                files.make_link(target.as_bytes(), directory, &path, now)?;
            }
            Call::ReadLink(place) => {
                let (directory, path) = at(place)?;
                return Ok((0, files.read_link(directory, &path)?));
            }
            Call::Status(place, follow) => {
                let (directory, path) = at(place)?;
                return told(files.stat(directory, &path, nofollow(follow))?);
            }
            Call::StatusOpen(slot) => return told(files.stat(open(slot)?, b"", linux::AT_EMPTY_PATH)?),
            Call::Access(place, mode) => {
                let (directory, path) = at(place)?;
                files.check_access(directory, &path, *mode, linux::AT_EACCESS)?;
            }
            Call::Permit(place, mode) => {
                let (directory, path) = at(place)?;
                files.set_permissions(directory, &path, *mode, 0, now)?;
            }
            Call::Time(place, follow) => {
                let (directory, path) = at(place)?;
                let to = Change::To(Time { seconds: 1, nanoseconds: 2 });
                files.set_times(directory, Some(&path), to, to, nofollow(follow), now)?;
                let stat = files.stat(directory, &path, nofollow(follow))?;
                let text = format!("{} {}", stat.accessed.seconds, stat.modified.nanoseconds);
                return Ok((stat.modified.seconds as u64, text.into_bytes()));
            }
            _ => unreachable!("answered above"),
        }
        number(0)
    }
}

fn temporary() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir()).expect("a directory of our own")
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_calls_do_what_they_do_on_linux(calls in vec(call(), 1..60)) {
        let directory = temporary();
        let (mut host, mut guest) = (Host::new(directory.path()), Guest::new());
        for (at, call) in calls.iter().enumerate() {
            prop_assert_eq!(guest.call(call), host.call(call), "call {}: {:?} after {:#?}", at, call, &calls[..at]);
        }
    }
}
