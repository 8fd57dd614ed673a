//! Files in the image, as a program sees them.

use super::Machine;
use crate::errno::Errno;
use crate::fs::tree::tests::example;
use linux_raw_sys::general::{self as linux, AT_FDCWD};

fn machine() -> Machine {
    Machine::with_image(|| Ok(example()))
}

#[test]
fn what_the_image_brings_is_there() {
    let mut machine = machine();
    let stat = machine.files.stat(AT_FDCWD, b"/data/large", 0).expect("is there");
    assert_eq!((stat.size, stat.mode, stat.links, stat.blocks), (10_000, linux::S_IFREG | 0o640, 1, 24));
    assert_eq!((stat.modified.seconds, stat.modified.nanoseconds), (1_000_000_000, 5));
    let directory = machine.files.stat(AT_FDCWD, b"/data", 0).expect("is there");
    assert_eq!((directory.mode, directory.links), (linux::S_IFDIR | 0o750, 3));
    let large = machine.open("/data/large", linux::O_RDONLY).expect("can be opened");
    assert_eq!(machine.read(large, None, 20_000).expect("can be read"), [7; 10_000]);
    assert_eq!(machine.files.unchanged(large).map(<[u8]>::len), Some(10_000));
    assert_eq!(machine.files.read_link(AT_FDCWD, b"/data/link").expect("a link"), b"/etc/hosts");
    let hosts = machine.open("/data/link", linux::O_RDONLY).expect("the image's");
    assert_eq!(machine.read(hosts, None, 100).expect("can be read"), b"hosts");
}

#[test]
fn directories_are_merged() {
    let mut machine = machine();
    let root = machine.open("/", linux::O_RDONLY).expect("is there");
    let names = machine.names(root, 4096).expect("can be listed");
    for name in ["data", "etc", "tmp", "proc"] {
        assert_eq!(names.iter().filter(|found| *found == name).count(), 1, "{name} in {names:?}");
    }
    assert!(machine.open("/etc/passwd", linux::O_RDONLY).is_ok());
    machine.create("/data/new");
    let data = machine.open("/data", linux::O_RDONLY).expect("is there");
    assert_eq!(machine.names(data, 4096).expect("listed"), [".", "..", "empty", "large", "link", "new"]);
}

#[test]
fn links_are_counted_once_whenever_a_directory_is_unfolded() {
    let mut machine = machine();
    let links = |machine: &mut Machine, path: &str| machine.files.stat(AT_FDCWD, path.as_bytes(), 0).expect("is").links;
    let before = links(&mut machine, "/data");
    let data = machine.open("/data", linux::O_RDONLY).expect("is there");
    machine.names(data, 4096).expect("can be listed");
    assert_eq!((before, links(&mut machine, "/data")), (3, 3));
    let plain = links(&mut Machine::new(), "/");
    assert_eq!(links(&mut machine, "/"), plain + 1);
}

#[test]
fn writing_copies_what_is_written_to() {
    let mut machine = machine();
    let used = machine.files.quota.used;
    let large = machine.open("/data/large", linux::O_RDWR).expect("can be opened");
    machine.write(large, Some(5_000), b"new").expect("can be written");
    assert!(machine.files.quota.used - used < 4 * 4096, "one page, and inodes");
    let mut expected = vec![7; 10_000];
    expected[5_000..5_003].copy_from_slice(b"new");
    assert_eq!(machine.read(large, Some(0), 20_000).expect("read"), expected);
    assert_eq!(machine.files.unchanged(large), None);
    let now = machine.now();
    machine.files.truncate_open(large, 6_000, now).expect("truncated");
    machine.files.truncate_open(large, 9_000, now).expect("extended");
    expected.truncate(6_000);
    expected.resize(9_000, 0);
    assert_eq!(machine.read(large, Some(0), 20_000).expect("read"), expected);
    let hole = linux::FALLOC_FL_PUNCH_HOLE | linux::FALLOC_FL_KEEP_SIZE;
    let Machine { files, devices, .. } = &mut machine;
    files.allocate(devices, large, hole, (100, 5_500), now).expect("punched");
    expected[100..5_600].fill(0);
    assert_eq!(machine.read(large, Some(0), 20_000).expect("read"), expected);
}

#[test]
fn truncating_when_opening_leaves_nothing() {
    let mut machine = machine();
    let large = machine.open("/data/large", linux::O_RDWR | linux::O_TRUNC).expect("can be opened");
    machine.write(large, Some(5_000), b"x").expect("can be written");
    let bytes = machine.read(large, Some(0), 20_000).expect("read");
    assert!(bytes[..5_000].iter().all(|byte| *byte == 0) && bytes.len() == 5_001);
}

#[test]
fn what_is_removed_or_renamed_is_gone_from_its_place() {
    let mut machine = machine();
    let now = machine.now();
    let (from, to): (&[u8], &[u8]) = (b"/data/large", b"/tmp/moved");
    machine.files.rename((AT_FDCWD, from), (AT_FDCWD, to), 0, now).expect("renamed");
    assert_eq!(machine.open("/data/large", linux::O_RDONLY), Err(Errno::ENOENT));
    let moved = machine.open("/tmp/moved", linux::O_RDONLY).expect("is there");
    assert_eq!(machine.read(moved, None, 1).expect("read"), [7]);
    assert_eq!(machine.files.remove_directory(AT_FDCWD, b"/data", now), Err(Errno::ENOTEMPTY));
    machine.files.unlink(AT_FDCWD, b"/data/link", now).expect("removed");
    machine.files.remove_directory(AT_FDCWD, b"/data/empty", now).expect("removed");
    machine.files.remove_directory(AT_FDCWD, b"/data", now).expect("removed");
    assert_eq!(machine.open("/data", linux::O_RDONLY), Err(Errno::ENOENT));
}

#[test]
fn a_directory_that_nobody_looked_into_is_not_empty() {
    let mut machine = machine();
    let now = machine.now();
    assert_eq!(machine.files.remove_directory(AT_FDCWD, b"/data", now), Err(Errno::ENOTEMPTY));
    let (from, to): (&[u8], &[u8]) = (b"/data", b"/opt/data");
    machine.files.rename((AT_FDCWD, from), (AT_FDCWD, to), 0, now).expect("renamed");
    assert!(machine.open("/opt/data/large", linux::O_RDONLY).is_ok());
}
