//! Trees of files with all that a file system can say of a file, and what the host's tools find on a disk.

use husk_tests::{Outcome, run_briefly, skip};
use rustix::fs::{AtFlags, CWD, Dev, FileType, Mode, Timespec, Timestamps, XattrFlags};
use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, Metadata};
use std::io::{Seek, SeekFrom, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Name that is no text.
pub const BYTES: &[u8] = b"\xff\xfe a name\n";
/// Length of a value that does not fit into an inode.
pub const LONG_VALUE: usize = 1500;

/// Makes a tree. What takes root is in it for root only, extended attributes where the host's file system has them.
pub fn make(folder: &Path, is_root: bool) {
    fs::create_dir_all(folder.join("a/b/c")).expect("a folder");
    fs::write(folder.join("a/file"), "contents\n").expect("a file");
    fs::hard_link(folder.join("a/file"), folder.join("a/b/same")).expect("a link");
    fs::write(folder.join("empty"), "").expect("a file");
    fs::write(folder.join(OsStr::from_bytes(BYTES)), "bytes").expect("a file");
    fs::write(folder.join("long-".to_owned() + &"n".repeat(250)), "long").expect("a file");
    let large: Vec<u8> = (0..3_000_001_u32).map(|number| (number.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
    fs::write(folder.join("large"), large).expect("a file");
    fs::create_dir(folder.join("many")).expect("a folder");
    for number in 0..600 {
        File::create(folder.join(format!("many/entry-{number:05}"))).expect("a file");
    }

    let mut sparse = File::create(folder.join("sparse")).expect("a file");
    for (at, bytes) in [(5 << 20, &[b'x'; 5000][..]), (50 << 20, b"yy"), (51 << 20, &[0; 20_000])] {
        sparse.seek(SeekFrom::Start(at)).and_then(|_| sparse.write_all(bytes)).expect("a file");
    }
    sparse.set_len(60 << 20).expect("a file");

    symlink("file", folder.join("a/link")).expect("a link");
    symlink("x".repeat(200), folder.join("a/long-link")).expect("a link");
    symlink("/etc", folder.join("outside")).expect("a link");
    let node = |name: &str, kind, device| {
        rustix::fs::mknodat(CWD, folder.join(name), kind, Mode::from_raw_mode(0o640), device).expect("a node");
    };
    node("a/fifo", FileType::Fifo, 0);
    UnixListener::bind(folder.join("a/socket")).expect("a socket");
    if is_root {
        node("a/null", FileType::CharacterDevice, rustix::fs::makedev(1, 3));
        node("a/block", FileType::BlockDevice, rustix::fs::makedev(259, 70_000) as Dev);
        std::os::unix::fs::chown(folder.join("large"), Some(1000), Some(100_000)).expect("root");
        std::os::unix::fs::lchown(folder.join("a/link"), Some(7), Some(8)).expect("root");
    }
    set_attributes(folder);
    for (name, mode) in [("large", 0o4750), ("a/b", 0o1777), ("empty", 0o000), ("a/file", 0o654)] {
        // Without root, nothing can be copied that cannot be read.
        let mode = if is_root { mode } else { mode | 0o444 };
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(mode)).expect("ours");
    }
    // Before 1970, after 2038, of a link, of a directory.
    for (name, seconds, rest) in [
        ("large", 1_222_222_222, 987_654_321),
        ("a/b", -5, 1),
        ("a/link", 7, 8),
        ("a/file", 5_000_000_000, 999_999_999),
    ] {
        let time = Timespec { tv_sec: seconds, tv_nsec: rest };
        let times = Timestamps { last_access: time, last_modification: time };
        rustix::fs::utimensat(CWD, folder.join(name), &times, AtFlags::SYMLINK_NOFOLLOW).expect("ours");
    }
}

fn set_attributes(folder: &Path) {
    let set =
        |name: &str, key: &str, value: &[u8]| rustix::fs::setxattr(folder.join(name), key, value, XattrFlags::empty());
    if let Err(error) = set("a/file", "user.one", b"1") {
        return skip!("extended attributes of files on disks, which the temporary folder does not have: {error}");
    }
    set("a/file", "user.long", &[b'v'; LONG_VALUE]).expect("there is room");
    set("a", "user.of.a.folder", b"yes").expect("there is room");
}

/// What is compared: kind and permissions, size, time of change, contents or target.
type Entry = (u32, u64, u32, Vec<u8>);

/// Reads a tree, but for what rdump of debugfs(8) leaves out: owners, special bits of permissions, parts of times, and what is neither
/// file, directory nor link.
pub fn read(folder: &Path) -> BTreeMap<PathBuf, Entry> {
    let mut tree = BTreeMap::new();
    let mut folders = vec![folder.to_owned()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(&next).expect("a folder") {
            let path = entry.expect("a folder").path();
            let metadata = fs::symlink_metadata(&path).expect("it is there");
            let name = path.strip_prefix(folder).expect("it is below").to_owned();
            if name == Path::new("lost+found") || is_special(&metadata) {
                continue;
            }
            let is_folder = metadata.is_dir();
            let contents = match () {
                () if is_folder => vec![],
                () if metadata.is_symlink() => fs::read_link(&path).expect("a link").as_os_str().as_bytes().to_vec(),
                () => fs::read(&path).unwrap_or_default(),
            };
            // rdump makes links anew, without times, and a file of several names several times.
            let time = if metadata.is_symlink() { 0 } else { metadata.mtime() };
            let size = if is_folder { 0 } else { metadata.size() };
            tree.insert(name, (metadata.mode() & !0o7000, size, time as u32, contents));
            folders.extend(is_folder.then_some(path));
        }
    }
    tree
}

fn is_special(metadata: &Metadata) -> bool {
    let kind = metadata.file_type();
    kind.is_fifo() || kind.is_socket() || kind.is_char_device() || kind.is_block_device()
}

/// Fails unless both trees are the same.
#[track_caller]
pub fn expect_same(one: &Path, other: &Path) {
    let (one, other) = (read(one), read(other));
    let names = |tree: &BTreeMap<PathBuf, Entry>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&one), names(&other));
    for (name, entry) in &one {
        assert!(
            other[name] == *entry,
            "{}: {:?}",
            name.display(),
            [entry, &other[name]].map(|entry| (entry.0, entry.1, entry.2))
        );
    }
}

/// Runs a tool of the host.
pub fn tool(name: &str, words: &[&OsStr]) -> Outcome {
    run_briefly(Command::new(name).args(words))
}

/// Fails unless fsck(8) finds nothing to mend.
#[track_caller]
pub fn expect_sound(disk: &Path) {
    tool("fsck.ext4", &["-fn".as_ref(), disk.as_os_str()]).expect_success();
}

/// Returns what debugfs(8) answers.
#[track_caller]
pub fn ask(disk: &Path, question: &str) -> String {
    let outcome = tool("debugfs", &["-R".as_ref(), question.as_ref(), disk.as_os_str()]);
    outcome.expect_success();
    outcome.stdout()
}
