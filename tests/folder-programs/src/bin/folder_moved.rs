//! Renames directories that are open or worked in, and links files by the names of links: the same as a process and in a guest.

#![expect(unsafe_code, reason = "calls that std does not make")]

use std::env;
use std::ffi::CString;
use std::fs::{self, File};
use std::io;
use std::os::fd::AsRawFd;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::{Path, PathBuf};

fn main() -> io::Result<()> {
    let root = PathBuf::from(env::args().nth(1).expect("a directory"));
    renamed(&root)?;
    linked(&root)
}

fn renamed(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root.join("dd/in"))?;
    fs::create_dir_all(root.join("other/in"))?;
    let open = File::open(root.join("./dd//in"))?;
    env::set_current_dir(root.join("dd/in"))?;
    fs::rename(root.join("other/../dd"), root.join("ee"))?;
    println!("make: {:?}", make_above(&open, "first"));
    println!("made: {:?}", fs::read_to_string(root.join("ee/first")));
    let here = |what: &str| {
        let path = env::current_dir().expect("it is there");
        println!("{what}: {}", path.strip_prefix(root).expect("below").display());
    };
    here("renamed");
    fs::write("../second", "second")?;
    fs::rename(root.join("ee/in"), root.join("ee/inside"))?;
    here("renamed itself");
    exchange(&root.join("ee"), &root.join("other"))?;
    here("exchanged");
    println!("make: {:?}", make_above(&open, "third"));
    println!("{:?}", names(&root.join("other"))?);
    println!("{:?}", names(root)?);
    env::set_current_dir(root)
}

/// Makes a file in the directory above an open one.
fn make_above(open: &File, name: &str) -> Result<isize, Option<i32>> {
    let path = CString::new(format!("../{name}")).expect("no NUL");
    // SAFETY: the path is a C string.
    let made = unsafe { libc::openat(open.as_raw_fd(), path.as_ptr(), libc::O_CREAT | libc::O_WRONLY, 0o644) };
    if made < 0 {
        return Err(io::Error::last_os_error().raw_os_error());
    }
    // SAFETY: the bytes are there, and the descriptor is ours.
    let written = unsafe { libc::write(made, name.as_ptr().cast(), name.len()) };
    // SAFETY: the descriptor is ours.
    unsafe { libc::close(made) };
    Ok(written)
}

fn exchange(first: &Path, second: &Path) -> io::Result<()> {
    let [first, second] = [first, second].map(c_path);
    // SAFETY: both paths are C strings.
    let done = unsafe {
        libc::syscall(
            libc::SYS_renameat2,
            libc::AT_FDCWD,
            first.as_ptr(),
            libc::AT_FDCWD,
            second.as_ptr(),
            libc::RENAME_EXCHANGE,
        )
    };
    if done == 0 { Ok(()) } else { Err(io::Error::last_os_error()) }
}

fn linked(root: &Path) -> io::Result<()> {
    fs::create_dir_all(root.join("links/deep"))?;
    let at = |name: &str| root.join("links").join(name);
    fs::write(at("deep/file"), "file")?;
    symlink("deep/file", at("soft"))?;
    symlink("soft", at("softer"))?;
    symlink("deep/none", at("broken"))?;
    for (name, flags) in [
        ("soft", 0),
        ("soft", libc::AT_SYMLINK_FOLLOW),
        ("softer", libc::AT_SYMLINK_FOLLOW),
        ("broken", libc::AT_SYMLINK_FOLLOW),
        ("deep/file", libc::AT_SYMLINK_FOLLOW),
        ("deep", libc::AT_SYMLINK_FOLLOW),
        ("deep/file", libc::AT_REMOVEDIR),
        ("deep/file", 1),
    ] {
        let new = at("new");
        let (from, to) = (c_path(&at(name)), c_path(&new));
        // SAFETY: both paths are C strings.
        let made = unsafe { libc::linkat(libc::AT_FDCWD, from.as_ptr(), libc::AT_FDCWD, to.as_ptr(), flags) };
        let found = if made == 0 {
            let metadata = fs::symlink_metadata(&new)?;
            fs::remove_file(&new)?;
            Ok((metadata.is_symlink(), metadata.nlink()))
        } else {
            Err(io::Error::last_os_error().raw_os_error())
        };
        println!("{name} {flags:#x}: {found:?}");
    }
    Ok(())
}

fn c_path(path: &Path) -> CString {
    CString::new(path.to_str().expect("text")).expect("no NUL")
}

fn names(directory: &Path) -> io::Result<Vec<String>> {
    let names: io::Result<Vec<_>> =
        fs::read_dir(directory)?.map(|entry| Ok(entry?.file_name().display().to_string())).collect();
    let mut names = names?;
    names.sort();
    Ok(names)
}
