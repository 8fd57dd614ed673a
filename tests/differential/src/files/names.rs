//! Calls on names.

use crate::calls::{call, digest, done, path, shown};
use crate::random::Random;
use std::ffi::CString;

const NAMES: &[&str] = &[
    "a", "b", "c", "d", "e", "d/a", "d/b", "d/e", "d/e/a", "e/a", "l", "d/l", "m", "a/x", "d/", "a/", "d/.", "d/../a",
    "n/a", ".", "..", "", "l/a",
];

/// Contents of symbolic links.
const TARGETS: &[&str] = &["a", "d", "d/a", "nothing", "l", "../w/b", "e/..", ""];

pub fn any(random: &mut Random) -> CString {
    path(random.one_of(NAMES))
}

/// Returns fields of fstat(2): kind, permissions, links, size. Directories have other sizes on each file system.
pub fn shown_status(result: i64, status: &[u64; 32]) -> String {
    if result < 0 {
        return shown(result);
    }
    let (links, mode, size) = (status[2], status[3] as u32, status[6]);
    if mode & libc::S_IFMT == libc::S_IFDIR { format!("{mode:o} {links}") } else { format!("{mode:o} {links} {size}") }
}

/// Calls with one name.
fn one(random: &mut Random) -> String {
    let path = any(random);
    let name = path.as_ptr() as usize;
    match random.below(10) {
        0 => format!("mkdir({path:?}) = {}", done(call(libc::SYS_mkdir, &[name, 0o755]))),
        1 => format!("rmdir({path:?}) = {}", done(call(libc::SYS_rmdir, &[name]))),
        2 => format!("unlink({path:?}) = {}", done(call(libc::SYS_unlink, &[name]))),
        3 => {
            let mode = random.one_of(&[0o644, 0o755, 0o4711, 0o1777]);
            format!("chmod({path:?}, {mode:o}) = {}", done(call(libc::SYS_chmod, &[name, mode])))
        }
        4 => {
            let length = random.one_of(&[0, 10, 4096, 5000]);
            format!("truncate({path:?}, {length}) = {}", done(call(libc::SYS_truncate, &[name, length])))
        }
        5 => {
            let mode = random.one_of(&[libc::F_OK, libc::R_OK, libc::W_OK, libc::X_OK, 9]);
            format!("access({path:?}, {mode}) = {}", done(call(libc::SYS_access, &[name, mode as usize])))
        }
        6 => {
            let mut buffer = [0; 64];
            let length = random.one_of(&[64, 3, 0]);
            let result = call(libc::SYS_readlink, &[name, buffer.as_mut_ptr() as usize, length]);
            let content = digest(&buffer[..result.clamp(0, 64) as usize]);
            format!("readlink({path:?}, {length}) = {} {content}", shown(result))
        }
        7 => {
            let kind = random.one_of(&[libc::S_IFIFO, libc::S_IFREG, 0, libc::S_IFDIR]);
            format!("mknod({path:?}, {kind:#o}) = {}", done(call(libc::SYS_mknod, &[name, (kind | 0o644) as usize, 0])))
        }
        8 => {
            let times = [(1000u64, 5u64), (2000, random.one_of(&[7, 1_073_741_822, 1_000_000_000]))];
            let flags = random.one_of(&[0, libc::AT_SYMLINK_NOFOLLOW]);
            let arguments = [libc::AT_FDCWD as usize, name, times.as_ptr() as usize, flags as usize];
            format!("utimensat({path:?}, {times:?}, {flags:x}) = {}", done(call(libc::SYS_utimensat, &arguments)))
        }
        _ => {
            let result = call(libc::SYS_chdir, &[name]);
            // Back, so that names stay those of the sequence's directory.
            std::env::set_current_dir(super::PLACE).expect("it stays");
            format!("chdir({path:?}) = {}", done(result))
        }
    }
}

/// Calls with two names.
fn two(random: &mut Random) -> String {
    let (from, to) = (any(random), any(random));
    let (old, new) = (from.as_ptr() as usize, to.as_ptr() as usize);
    let here = libc::AT_FDCWD as usize;
    match random.below(4) {
        0 => {
            let flags = random.one_of(&[0, 0, libc::AT_SYMLINK_FOLLOW]);
            let result = call(libc::SYS_linkat, &[here, old, here, new, flags as usize]);
            format!("link({from:?}, {to:?}, {flags:x}) = {}", done(result))
        }
        1 => {
            let target = path(random.one_of(TARGETS));
            format!("symlink({target:?}, {to:?}) = {}", done(call(libc::SYS_symlink, &[target.as_ptr() as usize, new])))
        }
        _ => {
            let flags = random.one_of(&[0, 0, libc::RENAME_NOREPLACE, libc::RENAME_EXCHANGE, 3]);
            let result = call(libc::SYS_renameat2, &[here, old, here, new, flags as usize]);
            format!("rename({from:?}, {to:?}, {flags}) = {}", done(result))
        }
    }
}

/// Names in a directory, in order, with their kinds.
fn list(random: &mut Random) -> String {
    let name = random.one_of(&[".", "d", "e", "d/e", "a"]);
    let entries = std::fs::read_dir(name).map(|entries| {
        let mut entries: Vec<String> = entries
            .map(|entry| {
                let entry = entry.expect("a name");
                format!("{:?} {:?}", entry.file_name(), entry.file_type().expect("it is there"))
            })
            .collect();
        entries.sort();
        entries
    });
    format!("list({name:?}) = {:?}", entries.map_err(|error| error.raw_os_error()))
}

fn status(random: &mut Random) -> String {
    let path = any(random);
    let mut status = [0u64; 32];
    let (call_name, number) = random.one_of(&[("stat", libc::SYS_stat), ("lstat", libc::SYS_lstat)]);
    let result = call(number, &[path.as_ptr() as usize, status.as_mut_ptr() as usize]);
    format!("{call_name}({path:?}) = {}", shown_status(result, &status))
}

pub fn step(random: &mut Random) -> String {
    match random.below(9) {
        0..4 => one(random),
        4..7 => two(random),
        7 => list(random),
        _ => status(random),
    }
}
