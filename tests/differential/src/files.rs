//! Regular files, directories, links and FIFOs of a file system in memory.

mod names;

use crate::Family;
use crate::calls::{call, digest, done, shown};
use crate::descriptors::{self, Descriptors};
use crate::random::Random;

/// Directory of a sequence, on a tmpfs natively, with a parent of its own.
const PLACE: &str = "/dev/shm/differential/w";

/// Offsets and lengths: around blocks, pages, and what is unlike any.
const SIZES: &[usize] = &[0, 1, 5, 100, 511, 512, 4095, 4096, 4097, 8192, 10_000, 65_536, 100_000];

pub struct Files {
    descriptors: Descriptors,
}

impl Files {
    pub fn new() -> Self {
        let _ = std::fs::remove_dir_all("/dev/shm/differential");
        std::fs::create_dir_all(PLACE).expect("there is memory for files");
        std::env::set_current_dir(PLACE).expect("just made");
        call(libc::SYS_umask, &[0o022]);
        Self { descriptors: Descriptors::new() }
    }

    fn open(&mut self, random: &mut Random) -> String {
        let path = names::any(random);
        let mode = random.one_of(&[libc::O_RDONLY, libc::O_WRONLY, libc::O_RDWR, libc::O_RDWR, libc::O_RDWR]);
        let rare = [libc::O_EXCL, libc::O_DIRECTORY, libc::O_NOFOLLOW, libc::O_PATH, libc::O_CLOEXEC];
        let flags = mode
            | libc::O_NONBLOCK
            | random.bits(&[libc::O_CREAT], 2)
            | random.bits(&[libc::O_TRUNC, libc::O_APPEND], 6)
            | random.bits(&rare, 12);
        let permissions = random.one_of(&[0o644, 0o600, 0o777, 0o7777]);
        let result =
            call(libc::SYS_openat, &[libc::AT_FDCWD as usize, path.as_ptr() as usize, flags as usize, permissions]);
        format!("open({path:?}, {flags:#o}, {permissions:o}) = {}", self.descriptors.shown(result))
    }

    fn read(&mut self, random: &mut Random) -> String {
        let (descriptor, length) = (self.descriptors.any(random), random.one_of(SIZES));
        let mut buffer = vec![0xee; length];
        let offset = random.one_of(SIZES) as i64 - i64::from(random.once_in(20));
        // An empty readv(2) looks at less than an empty read(2), and at more in a guest.
        let (name, result) = match random.below(if length == 0 { 2 } else { 3 }) {
            0 => ("read", call(libc::SYS_read, &[descriptor, buffer.as_mut_ptr() as usize, length])),
            1 => {
                ("pread", call(libc::SYS_pread64, &[descriptor, buffer.as_mut_ptr() as usize, length, offset as usize]))
            }
            _ => {
                let half = length / 3;
                let parts = [buffer.as_mut_ptr() as usize, half, buffer.as_mut_ptr() as usize + half, length - half];
                ("readv", call(libc::SYS_readv, &[descriptor, parts.as_ptr() as usize, 2]))
            }
        };
        let read = digest(&buffer[..result.clamp(0, length as i64) as usize]);
        format!("{name}({}, {length}, {offset}) = {} {read}", self.descriptors.name(descriptor), shown(result))
    }

    fn write(&mut self, random: &mut Random) -> String {
        let (descriptor, mut length) = (self.descriptors.any(random), random.one_of(SIZES));
        if descriptors::kind(descriptor) == libc::S_IFIFO {
            // How much a pipe takes that is nearly full depends on how its bytes lie in pages.
            length = length.min(100);
        }
        let first = random.below(250) as u8;
        let buffer: Vec<u8> = (0..length).map(|index| first.wrapping_add((index % 251) as u8)).collect();
        let offset = random.one_of(SIZES) as i64 - i64::from(random.once_in(20));
        let (name, result) = match random.below(3) {
            0 => ("write", call(libc::SYS_write, &[descriptor, buffer.as_ptr() as usize, length])),
            1 => ("pwrite", call(libc::SYS_pwrite64, &[descriptor, buffer.as_ptr() as usize, length, offset as usize])),
            _ => {
                let half = length / 3;
                let parts = [buffer.as_ptr() as usize, half, buffer.as_ptr() as usize + half, length - half];
                ("writev", call(libc::SYS_writev, &[descriptor, parts.as_ptr() as usize, 2]))
            }
        };
        format!("{name}({}, {length}, {offset}) = {}", self.descriptors.name(descriptor), shown(result))
    }

    fn seek(&mut self, random: &mut Random) -> String {
        let descriptor = self.descriptors.any(random);
        let offset = random.one_of(SIZES) as i64 - random.one_of(&[0, 0, 0, 5000]);
        let whence = random.one_of(&[libc::SEEK_SET, libc::SEEK_CUR, libc::SEEK_END, 9]);
        let result = call(libc::SYS_lseek, &[descriptor, offset as usize, whence as usize]);
        format!("lseek({}, {offset}, {whence}) = {}", self.descriptors.name(descriptor), shown(result))
    }

    /// Calls on a descriptor that change a file's size.
    fn resize(&mut self, random: &mut Random) -> String {
        let (descriptor, length) = (self.descriptors.any(random), random.one_of(SIZES));
        let name = self.descriptors.name(descriptor);
        if random.once_in(2) {
            let result = call(libc::SYS_ftruncate, &[descriptor, length]);
            return format!("ftruncate({name}, {length}) = {}", shown(result));
        }
        let mode =
            random.one_of(&[0, libc::FALLOC_FL_KEEP_SIZE, libc::FALLOC_FL_PUNCH_HOLE | libc::FALLOC_FL_KEEP_SIZE]);
        let offset = random.one_of(SIZES);
        let result = call(libc::SYS_fallocate, &[descriptor, mode as usize, offset, length]);
        format!("fallocate({name}, {mode}, {offset}, {length}) = {}", shown(result))
    }

    /// Calls that copy from one descriptor to another.
    fn copy(&mut self, random: &mut Random) -> String {
        let (from, to) = (self.descriptors.any(random), self.descriptors.any(random));
        let (length, start) = (random.one_of(SIZES), random.one_of(SIZES) as i64);
        let names = format!("{} to {}", self.descriptors.name(from), self.descriptors.name(to));
        let mut offset = start;
        let place = if random.once_in(2) { 0 } else { &raw mut offset as usize };
        let (name, result) = match random.below(2) {
            0 => ("sendfile", call(libc::SYS_sendfile, &[to, from, place, length])),
            _ => ("copy_file_range", call(libc::SYS_copy_file_range, &[from, place, to, 0, length, 0])),
        };
        format!("{name}({names}, {}, {start}, {length}) = {} {offset}", place == 0, shown(result))
    }

    /// Calls about descriptors themselves.
    fn descriptor(&mut self, random: &mut Random) -> String {
        let (one, other) = (self.descriptors.any(random), self.descriptors.any(random));
        let name = self.descriptors.name(one);
        match random.below(8) {
            0..3 => format!("close({name}) = {}", shown(call(libc::SYS_close, &[one]))),
            3 => format!("dup({name}) = {}", self.descriptors.shown(call(libc::SYS_dup, &[one]))),
            4 => {
                let flags = random.one_of(&[0, libc::O_CLOEXEC, libc::O_APPEND]);
                let result = call(libc::SYS_dup3, &[one, other, flags as usize]);
                format!(
                    "dup3({name}, {}, {flags:#o}) = {}",
                    self.descriptors.name(other),
                    self.descriptors.shown(result)
                )
            }
            5 => {
                let command = random.one_of(&[libc::F_GETFD, libc::F_GETFL]);
                format!("fcntl({name}, {command}) = {}", shown(call(libc::SYS_fcntl, &[one, command as usize])))
            }
            6 => {
                let flags = random.one_of(&[0, libc::O_APPEND, libc::O_NONBLOCK, libc::O_APPEND | libc::O_NONBLOCK]);
                let result = call(libc::SYS_fcntl, &[one, libc::F_SETFL as usize, flags as usize]);
                format!("fcntl({name}, F_SETFL, {flags:#o}) = {}", shown(result))
            }
            _ => {
                let lock = random.one_of(&[libc::LOCK_SH, libc::LOCK_EX, libc::LOCK_UN]) | libc::LOCK_NB;
                format!("flock({name}, {lock}) = {}", shown(call(libc::SYS_flock, &[one, lock as usize])))
            }
        }
    }

    fn status(&mut self, random: &mut Random) -> String {
        let descriptor = self.descriptors.any(random);
        let mut status = [0u64; 32];
        let result = call(libc::SYS_fstat, &[descriptor, status.as_mut_ptr() as usize]);
        format!("fstat({}) = {}", self.descriptors.name(descriptor), names::shown_status(result, &status))
    }

    fn synchronise(&mut self, random: &mut Random) -> String {
        let descriptor = self.descriptors.any(random);
        let name = self.descriptors.name(descriptor);
        match random.below(3) {
            0 => format!("fsync({name}) = {}", done(call(libc::SYS_fsync, &[descriptor]))),
            1 => format!("fdatasync({name}) = {}", done(call(libc::SYS_fdatasync, &[descriptor]))),
            _ => {
                let mode = random.one_of(&[0o600, 0o4755, 0o1777]);
                format!("fchmod({name}, {mode:o}) = {}", done(call(libc::SYS_fchmod, &[descriptor, mode])))
            }
        }
    }
}

impl Family for Files {
    fn step(&mut self, random: &mut Random) -> String {
        match random.below(32) {
            0..7 => self.open(random),
            7..10 => self.read(random),
            10..13 => self.write(random),
            13..15 => self.seek(random),
            15..17 => self.resize(random),
            17 => self.copy(random),
            18..20 => self.descriptor(random),
            20..22 => self.status(random),
            22 => self.synchronise(random),
            _ => names::step(random),
        }
    }
}
