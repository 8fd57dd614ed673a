//! Makes each call on names with each kind of file, and prints the errors, as pjdfstest does: the same as a process and in a guest. The
//! directory of its argument has a FIFO `fifo` and a socket `socket` already.

#![expect(unsafe_code, reason = "calls by their numbers, because std has not all of them")]

use std::ffi::{CStr, CString};
use std::fs::{self, File};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::{env, ptr};

/// Kinds of file, by the names under which [`make`] makes them.
const KINDS: [&str; 11] =
    ["file", "other", "empty", "full", "link", "dangling", "loop", "todir", "missing", "file/below", "missing/below"];
/// Kinds that are there before, and cannot be made in a guest.
const GIVEN: [&str; 2] = ["fifo", "socket"];

/// Makes a file of each kind anew.
fn make(root: &Path) -> io::Result<PathBuf> {
    let place = root.join("place");
    let _ = fs::remove_dir_all(&place);
    fs::create_dir_all(place.join("full/inner"))?;
    fs::create_dir(place.join("empty"))?;
    for name in ["file", "other"] {
        fs::write(place.join(name), name)?;
    }
    for (target, name) in [("file", "link"), ("nowhere", "dangling"), ("loop", "loop"), ("full", "todir")] {
        symlink(target, place.join(name))?;
    }
    Ok(place)
}

fn string(path: &Path) -> CString {
    CString::new(path.as_os_str().as_bytes()).expect("no NUL")
}

/// The error of a call, or its kind of success.
fn outcome(result: i64) -> String {
    match result {
        0.. => "ok".to_owned(),
        _ => format!("{}", io::Error::last_os_error().raw_os_error().unwrap_or(0)),
    }
}

/// Makes a call with a path and two numbers.
fn call(number: i64, path: &CStr, rest: [i64; 2]) -> i64 {
    // SAFETY: the callers pass calls whose first argument is a path, and whose others are numbers.
    unsafe { libc::syscall(number, path.as_ptr(), rest[0], rest[1]) }
}

/// Opens a path, and closes it.
fn open(path: &CStr, flags: i32) -> i64 {
    let opened = call(libc::SYS_open, path, [flags.into(), 0o644]);
    if opened >= 0 {
        // SAFETY: the descriptor is this function's own.
        unsafe { libc::close(opened as i32) };
    }
    opened
}

/// A call, with its name.
type Call = (&'static str, Box<dyn Fn() -> i64>);

/// Calls with one path.
fn one(path: &CStr) -> [Call; 15] {
    let path = || path.to_owned();
    let opens = |flags: i32| -> Box<dyn Fn() -> i64> {
        let path = path();
        Box::new(move || open(&path, flags))
    };
    let calls = |number: i64, rest: [i64; 2]| -> Box<dyn Fn() -> i64> {
        let path = path();
        Box::new(move || call(number, &path, rest))
    };
    [
        ("open", opens(libc::O_RDONLY | libc::O_NONBLOCK)),
        ("open to write", opens(libc::O_RDWR | libc::O_NONBLOCK)),
        ("open no link", opens(libc::O_RDONLY | libc::O_NOFOLLOW | libc::O_NONBLOCK)),
        ("open directory", opens(libc::O_RDONLY | libc::O_DIRECTORY | libc::O_NONBLOCK)),
        ("create", opens(libc::O_RDWR | libc::O_CREAT | libc::O_NONBLOCK)),
        ("create new", opens(libc::O_RDWR | libc::O_CREAT | libc::O_EXCL)),
        ("truncate at open", opens(libc::O_WRONLY | libc::O_TRUNC | libc::O_NONBLOCK)),
        ("chmod", calls(libc::SYS_chmod, [0o700, 0])),
        ("mkdir", calls(libc::SYS_mkdir, [0o755, 0])),
        ("rmdir", calls(libc::SYS_rmdir, [0, 0])),
        ("unlink", calls(libc::SYS_unlink, [0, 0])),
        ("truncate", calls(libc::SYS_truncate, [3, 0])),
        ("truncate below 0", calls(libc::SYS_truncate, [-1, 0])),
        ("access", calls(libc::SYS_access, [libc::R_OK.into(), 0])),
        ("chdir", calls(libc::SYS_chdir, [0, 0])),
    ]
}

fn paths(root: &Path) -> io::Result<()> {
    let long = "n".repeat(256);
    let longest = "n".repeat(255);
    let names = KINDS.iter().map(|name| (*name).to_owned()).chain([long, longest, ".".to_owned(), "..".to_owned()]);
    let names = names.flat_map(|name| [format!("{name}/"), format!("{name}/."), name]).chain([String::new()]);
    for name in names {
        let count = one(c"").len();
        for number in 0..count {
            let place = make(root)?;
            std::env::set_current_dir(&place)?;
            let path = CString::new(name.clone()).expect("no NUL");
            let (what, call) = &one(&path)[number];
            let shown = if name.len() > 100 { &name[..3] } else { &name };
            println!("{what} {shown:?} of {}: {}", name.len(), outcome(call()));
        }
    }
    Ok(())
}

fn pairs(root: &Path) -> io::Result<()> {
    for from in KINDS {
        for to in KINDS.into_iter().chain(["full/inner/new", "file/", "empty/", "missing/"]) {
            for (what, number, flags) in [
                ("rename", libc::SYS_renameat2, 0),
                ("rename to new", libc::SYS_renameat2, libc::RENAME_NOREPLACE),
                ("exchange", libc::SYS_renameat2, libc::RENAME_EXCHANGE),
                ("link", libc::SYS_linkat, 0),
                ("link followed", libc::SYS_linkat, libc::AT_SYMLINK_FOLLOW as u32),
            ] {
                let place = make(root)?;
                let (from_path, to_path) = (string(&place.join(from)), string(&place.join(to)));
                let here = libc::AT_FDCWD;
                // SAFETY: both calls take two directories with a path each, and flags.
                let result = unsafe { libc::syscall(number, here, from_path.as_ptr(), here, to_path.as_ptr(), flags) };
                println!("{what} {from} {to}: {}", outcome(result));
            }
        }
    }
    for to in KINDS {
        let place = make(root)?;
        println!("symlink {to}: {:?}", symlink("target", place.join(to)).map_err(|error| error.raw_os_error()));
        let target = fs::read_link(place.join(to)).map_err(|error| error.raw_os_error());
        println!("readlink {to}: {target:?}");
    }
    Ok(())
}

/// What is no file that can be opened behaves as a name, which can be removed.
fn given(root: &Path) -> io::Result<()> {
    for name in GIVEN {
        let path = root.join(name);
        println!("{name}: {:?}", fs::symlink_metadata(&path).map(|found| found.is_file()));
        println!("rmdir: {:?}", fs::remove_dir(&path).map_err(|error| error.raw_os_error()));
        println!("mkdir: {:?}", fs::create_dir(&path).map_err(|error| error.raw_os_error()));
        println!("create: {:?}", File::create_new(&path).map(drop).map_err(|error| error.raw_os_error()));
        println!("below: {:?}", fs::metadata(path.join("x")).map(drop).map_err(|error| error.raw_os_error()));
        println!("truncate: {}", outcome(call(libc::SYS_truncate, &string(&path), [0, 0])));
        println!("readlink: {:?}", fs::read_link(&path).map_err(|error| error.raw_os_error()));
        println!("unlink: {:?}", fs::remove_file(&path).map_err(|error| error.raw_os_error()));
    }
    Ok(())
}

/// Calls on descriptors that do not allow them.
fn descriptors(root: &Path) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let place = make(root)?;
    let (file, other) = (place.join("file"), place.join("other"));
    let open = |path: &Path, flags: i32| {
        use std::os::unix::fs::OpenOptionsExt;
        File::options()
            .read(flags & libc::O_ACCMODE == libc::O_RDONLY)
            .write(flags & libc::O_ACCMODE != libc::O_RDONLY)
            .custom_flags(flags & !libc::O_ACCMODE)
            .open(path)
    };
    let (to_read, to_write, directory) = (open(&file, 0)?, open(&other, libc::O_WRONLY)?, open(&place, 0)?);
    for (name, file) in [("to read", &to_read), ("to write", &to_write), ("directory", &directory)] {
        let number = file.as_raw_fd();
        let mut byte = [0_u8];
        let at = byte.as_mut_ptr().cast::<libc::c_void>();
        // SAFETY: each call takes the descriptor and numbers, or the byte, which is this function's own.
        let results = unsafe {
            [
                ("read", libc::read(number, at, 1) as i64),
                ("write", libc::write(number, at, 1) as i64),
                ("pread below 0", libc::pread(number, at, 1, -1) as i64),
                ("ftruncate", libc::ftruncate(number, 1).into()),
                ("ftruncate below 0", libc::ftruncate(number, -1).into()),
                ("fallocate", libc::fallocate(number, 0, 0, 10).into()),
                ("fallocate nothing", libc::fallocate(number, 0, 0, 0).into()),
                ("fsync", libc::fsync(number).into()),
                ("fchmod", libc::fchmod(number, 0o700).into()),
                ("fchdir", libc::fchdir(number).into()),
                ("getdents", libc::syscall(libc::SYS_getdents64, number, ptr::null_mut::<u8>(), 0)),
                ("lseek", libc::lseek(number, -1, libc::SEEK_SET)),
                ("lseek to data", libc::lseek(number, 1 << 40, libc::SEEK_DATA)),
            ]
            .map(|(what, result)| (what, outcome(result)))
        };
        results.iter().for_each(|(what, outcome)| println!("{what} {name}: {outcome}"));
    }
    Ok(())
}

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::args().nth(1).expect("a directory"));
    paths(&root)?;
    pairs(&root)?;
    descriptors(&root)?;
    given(&root)?;
    std::env::set_current_dir("/")?;
    fs::remove_dir_all(root.join("place"))
}
