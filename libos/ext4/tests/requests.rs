//! Requests to volumes that mkfs.ext4 has made: answers are Linux's, and e2fsck finds nothing to mend.

mod support;

use husk_abi::folder::*;
use support::*;

const ENOENT: u32 = 2;
const EEXIST: u32 = 17;
const ENOTDIR: u32 = 20;
const EISDIR: u32 = 21;
const EINVAL: u32 = 22;
const ENOTEMPTY: u32 = 39;
const ELOOP: u32 = 40;

/// Bytes that differ from one place to the next.
fn pattern(length: usize, seed: u64) -> Vec<u8> {
    (0..length as u64).map(|at| (at.wrapping_mul(seed | 1).wrapping_add(at >> 9) >> 3) as u8).collect()
}

/// Runs a test on a new file system, and checks what it leaves.
fn on(size: usize, arguments: &[&str], test: impl Fn(&mut Guest<Memory>)) {
    if !has_tools() {
        return;
    }
    for is_whole in [true, false] {
        let disk = Memory::new(make(size, arguments));
        let mut guest = Guest::mount(disk.clone());
        guest.is_whole = is_whole;
        test(&mut guest);
        guest.volume.unmount().expect("it is unmounted");
        assert_clean(&disk.bytes());
    }
}

#[test]
fn files_of_each_kind_of_file_system_are_written_and_read_again() {
    let kinds: [&[&str]; 8] = [
        &[],
        &["-b", "1024"],
        &["-b", "4096"],
        &["-O", "orphan_file,metadata_csum_seed"],
        &["-I", "128"],
        &["-O", "^metadata_csum"],
        &["-O", "^has_journal"],
        &["-O", "^64bit,^flex_bg,^huge_file"],
    ];
    for arguments in kinds {
        if !has_tools() {
            return;
        }
        println!("{arguments:?}");
        let disk = Memory::new(make(24, arguments));
        let mut guest = Guest::mount(disk.clone());
        let contents: Vec<(String, Vec<u8>)> = [0, 1, 511, 4096, 70_001, 3 * MIB + 17]
            .into_iter()
            .map(|length| (format!("d/file {length}"), pattern(length, length as u64)))
            .collect();
        guest.mkdir("d").expect("room");
        for (path, bytes) in &contents {
            guest.put(path, bytes).expect("room");
            assert!(guest.get(path).as_ref() == Ok(bytes), "{path}");
        }
        guest.volume.unmount().expect("it is unmounted");
        assert_clean(&disk.bytes());
        let mut guest = Guest::mount(disk.clone());
        for (path, bytes) in &contents {
            assert!(guest.get(path).as_ref() == Ok(bytes), "{path}");
            assert!(debugfs(&disk.bytes(), &format!("cat \"/{path}\"")) == *bytes, "{path} by debugfs");
        }
        for (path, _) in &contents {
            guest.unlink(path).expect("it is there");
        }
        assert_eq!(guest.named(REMOVE_DIRECTORY, "d", "", 0), Ok(()));
        guest.volume.unmount().expect("it is unmounted");
        assert_clean(&disk.bytes());
    }
}

#[test]
fn names_behave_as_in_linux() {
    on(8, &[], |guest| {
        guest.mkdir("a").expect("room");
        guest.mkdir("a/b").expect("room");
        assert_eq!(guest.mkdir("a"), Err(EEXIST));
        assert_eq!(guest.mkdir("x/y"), Err(ENOENT));
        guest.put("a/f", b"one").expect("room");
        assert_eq!(guest.mkdir("a/f/x"), Err(ENOTDIR));
        assert_eq!(guest.open("a/f", CREATE | EXCLUSIVE | RDWR), Err(EEXIST));
        assert_eq!(guest.open("a", RDWR), Err(EISDIR));
        assert_eq!(guest.named(REMOVE_DIRECTORY, "a", "", 0), Err(ENOTEMPTY));
        assert_eq!(guest.unlink("a/b"), Err(EISDIR));
        guest.named(SYMLINK, "a/link", "f", 0).expect("room");
        guest.named(SYMLINK, "a/long", &format!("b/../{}f", "./".repeat(80)), 0).expect("room");
        guest.named(SYMLINK, "loop", "loop", 0).expect("room");
        guest.named(SYMLINK, "out", "/etc", 0).expect("room");
        guest.named(SYMLINK, "up", "../x", 0).expect("room");
        assert_eq!(guest.get("a/link"), Ok(b"one".to_vec()));
        assert_eq!(guest.get("a/long"), Ok(b"one".to_vec()));
        assert_eq!(guest.read_link("a/link"), Ok("f".to_owned()));
        assert_eq!(guest.read_link("a/f"), Err(EINVAL));
        assert_eq!(guest.get("loop"), Err(ELOOP));
        assert_eq!(guest.get("out/passwd"), Err(OUTSIDE));
        assert_eq!(guest.get("up"), Err(OUTSIDE));
        guest.named(LINK, "a/f", "a/g", 0).expect("room");
        assert_eq!(guest.stat("a/g").map(|attributes| attributes.links), Ok(2));
        assert_eq!(guest.rename("a", "a/b/c"), Err(EINVAL));
        guest.rename("a/f", "h").expect("it is there");
        guest.put("i", b"two").expect("room");
        assert_eq!(guest.named(RENAME, "h", "i", 1), Err(EEXIST));
        guest.named(RENAME, "h", "i", 2).expect("both are there");
        assert_eq!((guest.get("h"), guest.get("i")), (Ok(b"two".to_vec()), Ok(b"one".to_vec())));
        guest.rename("h", "i").expect("both are there");
        assert_eq!((guest.get("h"), guest.get("i")), (Err(ENOENT), Ok(b"two".to_vec())));
        guest.rename("a/b", "c").expect("it is there");
        assert_eq!(guest.list("."), Ok(["a", "c", "i", "loop", "lost+found", "out", "up"].map(String::from).to_vec()));
        assert_eq!(guest.stat("c/..").map(|attributes| attributes.number), Ok(2));
        assert_eq!(guest.rename("c", "i"), Err(ENOTDIR));
        assert_eq!(guest.rename("i", "c"), Err(EISDIR));
    });
}

#[test]
fn an_open_file_without_a_name_is_there_until_it_is_closed() {
    on(8, &[], |guest| {
        let bytes = pattern(MIB, 7);
        guest.put("f", &bytes).expect("room");
        let handle = guest.open("f", RDWR).expect("it is there");
        guest.unlink("f").expect("it is there");
        assert_eq!(guest.stat("f").map(drop), Err(ENOENT));
        assert!(guest.read_at(handle, 0, MIB).expect("it is there") == bytes);
        guest.write_at(handle, MIB as u64, b"more").expect("room");
        assert_eq!(
            guest.stat_handle(handle).map(|attributes| (attributes.links, attributes.size)),
            Ok((0, MIB as u64 + 4))
        );
        guest.close(handle).expect("it is open");
        guest.mkdir("d").expect("room");
        let handle = guest.open("d", 0).expect("it is there");
        guest.named(REMOVE_DIRECTORY, "d", "", 0).expect("it is empty");
        assert_eq!(guest.list_from(handle, 0, 4096).map(drop), Err(ENOENT));
        // The rest is freed by the end.
        guest.put("g", &bytes).expect("room");
        guest.open("g", RDWR).expect("it is there");
        guest.unlink("g").expect("it is there");
    });
}

#[test]
fn sizes_and_holes_are_those_of_linux() {
    on(16, &["-b", "4096"], |guest| {
        let handle = guest.open("f", CREATE | RDWR).expect("room");
        guest.write_at(handle, 100_000, b"end").expect("room");
        assert_eq!(guest.stat_handle(handle).map(|attributes| attributes.size), Ok(100_003));
        assert!(guest.read_at(handle, 50_000, 10).expect("a hole") == [0; 10]);
        let seek = |guest: &mut Guest<Memory>, offset, flags| {
            guest.on_handle(SEEK, Request { handle, offset, flags, ..Request::default() }).map(|answer| answer.position)
        };
        assert_eq!((seek(guest, 0, 3), seek(guest, 0, 4)), (Ok(98_304), Ok(0)));
        assert_eq!((seek(guest, 98_304, 4), seek(guest, 100_003, 3)), (Ok(100_003), Err(6)));
        // What a shorter size has hidden does not come back.
        guest.write_at(handle, 0, &pattern(10_000, 3)).expect("room");
        guest.truncate("f", 5_000).expect("it is a file");
        guest.truncate("f", 9_000).expect("it is a file");
        assert!(guest.read_at(handle, 0, 10_000).expect("9,000 bytes") == [pattern(5_000, 3), vec![0; 4_000]].concat());
        let allocate = |guest: &mut Guest<Memory>, flags, offset, count| {
            guest.on_handle(ALLOCATE, Request { handle, flags, offset, count, ..Request::default() }).map(drop)
        };
        guest.write_at(handle, 0, &pattern(65_536, 5)).expect("room");
        allocate(guest, 3, 4_096, 8_192).expect("it is a file");
        allocate(guest, 0x10, 20_000, 1_000).expect("it is a file");
        let mut expected = pattern(65_536, 5);
        expected[4_096..12_288].fill(0);
        expected[20_000..21_000].fill(0);
        assert!(guest.read_at(handle, 0, 70_000).expect("contents") == expected);
        allocate(guest, 0, 65_536, 1 << 20).expect("room");
        allocate(guest, 1, 4 << 20, 1 << 20).expect("room");
        assert_eq!(guest.stat_handle(handle).map(|attributes| attributes.size), Ok(65_536 + (1 << 20)));
        assert_eq!(allocate(guest, 0, 0, 0), Err(EINVAL));
        assert!(guest.read_at(handle, 65_536, 1 << 20).expect("zeros") == vec![0; 1 << 20]);
    });
}

#[test]
fn a_directory_of_many_names_is_listed_while_names_go() {
    on(64, &["-N", "30000"], |guest| {
        guest.mkdir("d").expect("room");
        let name = |number: usize| format!("d/a name of some length {number}");
        let count = 20_000;
        (0..count).for_each(|number| guest.put(&name(number), b"").expect("room"));
        let names = guest.list("d").expect("it is there");
        assert_eq!(names.len(), count);
        let handle = guest.open("d", 0).expect("it is there");
        let (mut seen, mut cookie, mut removed) = (Vec::new(), 0, 0);
        loop {
            let some = guest.list_from(handle, cookie, 2000).expect("it is there");
            let Some((_, last)) = some.last() else { break };
            cookie = *last;
            for (name, _) in some.iter().filter(|(name, _)| !name.starts_with('.')).step_by(3) {
                guest.unlink(&format!("d/{name}")).expect("it is there");
                removed += 1;
            }
            seen.extend(some.into_iter().map(|(name, _)| name).filter(|name| !name.starts_with('.')));
        }
        seen.sort();
        assert!(seen == names, "each name once: {} of {}", seen.len(), names.len());
        guest.close(handle).expect("it is open");
        assert_eq!(guest.list("d").map(|names| names.len()), Ok(count - removed));
    });
}

#[test]
fn attributes_are_kept() {
    let time = |seconds, nanoseconds| Time { seconds, nanoseconds, reserved: 0 };
    on(8, &[], |guest| {
        guest.put("f", b"x").expect("room");
        let flags = Flags::MODE | Flags::USER | Flags::GROUP | Flags::ACCESSED | Flags::MODIFIED;
        let times = [time(1, 2), time(5_000_000_000, 999_999_999)];
        let request = Request { flags: flags.bits(), mode: 0o640, user: 70_000, group: 5, times, ..Request::default() };
        guest.set("f", request).expect("it is there");
        let attributes = guest.stat("f").expect("it is there");
        assert_eq!((attributes.mode, attributes.user, attributes.group), (0o100_640, 70_000, 5));
        assert_eq!(attributes.times[..2], times);
        // A write shows at once, and a read of what was written since the last one.
        let handle = guest.open("f", RDWR).expect("it is there");
        let before = guest.now_ns;
        guest.write_at(handle, 1, b"y").expect("room");
        let is_now = |time: Time| time.seconds as u64 * 1_000_000_000 + u64::from(time.nanoseconds) > before;
        let shown = guest.stat_handle(handle).expect("it is open").times;
        assert_eq!([shown[0], shown[1], shown[2]].map(is_now), [false, true, true]);
        guest.sync(handle, false).expect("the disk works");
        assert_eq!(guest.stat_handle(handle).expect("it is open").times, shown, "the time of the write");
        guest.read_at(handle, 0, 2).expect("it is open");
        assert!(is_now(guest.stat_handle(handle).expect("it is open").times[0]));
        guest.close(handle).expect("it is open");
        let mut space = Bytes { bytes: vec![0; size_of::<Space>()], is_whole: true };
        guest.ask(SPACE, Request { handle: ROOT, ..Request::default() }, ["", ""], &mut space).expect("it is mounted");
        assert_eq!(space.bytes[..8], 0xef53_u64.to_le_bytes());
    });
}

#[test]
fn what_does_not_fit_within_a_file_is_an_error() {
    on(8, &["-b", "1024"], |guest| {
        let block = pattern(200_000, 13);
        let holes = guest.open("holes", CREATE | RDWR).expect("room");
        guest.truncate("holes", 1_000_000).expect("no room is needed");
        guest.put("last", &block[..20_000]).expect("room");
        let mut files = 0;
        while guest.put(&format!("f{files}"), &block[..100_000]).is_ok() {
            files += 1;
        }
        let rest = guest.open("rest", CREATE | RDWR).expect("a name takes no block");
        let mut at = 0;
        while let Ok(count) = guest.write_at(rest, at, &block[..777]) {
            at += count;
        }
        guest.unlink("last").expect("it is there");
        let mut within = |offset| {
            let request = Request { handle: holes, flags: Flags::WITHIN.bits(), offset, ..Request::default() };
            let mut data = Bytes { bytes: block.clone(), is_whole: guest.is_whole };
            guest.ask(WRITE, request, ["", ""], &mut data).map(|answer| answer.count)
        };
        assert_eq!(within(0), Err(28));
        assert_eq!(within(2_000_000), Ok(0), "all of it lies behind the end");
        let other = guest.open("holes", RDWR).expect("it is there");
        assert_eq!(guest.close(other), Err(28), "which few programs look at");
        let other = guest.open("holes", RDWR).expect("it is there");
        assert_eq!(guest.sync(holes, true), Err(28), "no call has returned it");
        assert_eq!(guest.sync(holes, true), Ok(()), "once for each handle");
        let later = guest.open("holes", RDWR).expect("it is there");
        assert_eq!(guest.sync(other, true), Err(28), "opened before any call has returned it");
        assert_eq!(guest.sync(later, true), Ok(()), "none since it was opened");
        let request = Request { handle: holes, flags: Flags::WITHIN.bits(), ..Request::default() };
        let mut data = Bytes { bytes: block.clone(), is_whole: guest.is_whole };
        assert_eq!(guest.ask(WRITE, request, ["", ""], &mut data).err(), Some(28));
        for handle in [holes, other, later] {
            assert_eq!(guest.close(handle), Err(28), "each gets it");
        }
        let again = guest.open("holes", RDWR).expect("it is there");
        assert_eq!(guest.sync(again, true), Err(28), "no call had returned it when the file was closed");
        assert_eq!(guest.sync(again, true), Ok(()), "once for each handle");
        let last = guest.open("holes", RDWR).expect("it is there");
        assert_eq!(guest.sync(last, true), Ok(()), "none since it was opened");
    });
}

#[test]
fn a_full_volume_says_so_and_stays_consistent() {
    on(8, &["-b", "1024"], |guest| {
        let block = pattern(100_000, 11);
        let mut files = 0;
        while guest.put(&format!("f{files}"), &block).is_ok() {
            files += 1;
        }
        assert!(files > 40);
        for file in 0..files {
            assert!(guest.get(&format!("f{file}")).expect("it is there") == block, "f{file}");
        }
        let handle = guest.open("small", CREATE | RDWR);
        if let Ok(handle) = handle {
            let mut at = 0;
            let error = loop {
                match guest.write_at(handle, at, &block[..777]) {
                    Ok(count) => at += count,
                    Err(error) => break error,
                }
                if at > 100_000_000 {
                    break 0;
                }
            };
            assert_eq!(error, 28);
            assert_eq!(guest.sync(handle, false), Ok(()));
            assert_eq!(guest.stat_handle(handle).map(|attributes| attributes.size), Ok(at));
        }
        guest.unlink("f0").expect("it is there");
        guest.put("again", &block[..50_000]).expect("room");
    });
}

/// Fills a volume with a file, and returns when not even a name fits that needs a block.
fn fill(guest: &mut Guest<Memory>) {
    let handle = guest.open("large", CREATE | RDWR).expect("room");
    let mut at = 0;
    while let Ok(count) = guest.write_at(handle, at, &pattern(100_000, 3)) {
        at += count;
    }
    guest.close(handle).expect("it is open");
    for name in 0..20 {
        guest.mkdir(&format!("taken{name}")).err().into_iter().for_each(|error| assert_eq!(error, 28));
    }
    guest.sync(ROOT, false).expect("the disk works");
}

#[test]
fn a_name_takes_space_that_was_just_freed() {
    on(8, &["-b", "1024"], |guest| {
        // Directories of one block, which is full: the next name needs another one.
        let name = "n".repeat(200);
        for directory in ["opened", "linked", "named", "renamed"] {
            guest.mkdir(directory).expect("room");
            for number in 0..4 {
                guest.named(SYMLINK, &format!("{directory}/{number}{name}"), "target", 0).expect("room");
            }
        }
        guest.put("file", b"").expect("room");
        type Attempt = (&'static str, fn(&mut Guest<Memory>, &str) -> Result<()>);
        let attempts: [Attempt; 6] = [
            ("mkdir", |guest, _| guest.mkdir("directory")),
            ("open", |guest, name| {
                let handle = guest.open(&format!("opened/{name}"), CREATE | RDWR)?;
                guest.close(handle)
            }),
            ("link", |guest, name| guest.named(LINK, "file", &format!("linked/{name}"), 0)),
            ("symlink", |guest, name| guest.named(SYMLINK, &format!("named/{name}"), "target", 0)),
            ("a long symlink", |guest, _| guest.named(SYMLINK, "long", &"target/".repeat(20), 0)),
            ("rename", |guest, name| guest.rename("file", &format!("renamed/{name}"))),
        ];
        for (what, attempt) in attempts {
            fill(guest);
            assert_eq!(attempt(guest, &name), Err(28), "{what}");
            guest.unlink("large").expect("it is there");
            assert_eq!(attempt(guest, &name), Ok(()), "{what}");
        }
    });
}

#[test]
fn what_cannot_be_mounted_is_refused_with_the_remedy() {
    if !has_tools() {
        return;
    }
    let refused =
        |arguments: &[&str]| Guest::try_mount(Memory::new(make(16, arguments)), false).err().unwrap_or_default();
    for (arguments, remedy) in [
        (&["-O", "^extents,^64bit"][..], "mount it with `ro`"),
        (&["-O", "inline_data"], "mkfs.ext4 -O ^inline_data"),
        (&["-O", "casefold,encrypt"], "mkfs.ext4 -O ^encrypt,^casefold"),
        (&["-O", "quota"], "mkfs.ext4 -O ^quota"),
        (&["-O", "bigalloc"], "mkfs.ext4 -O ^bigalloc"),
        (&["-O", "^resize_inode,meta_bg"], "mkfs.ext4 -O ^meta_bg"),
        (&["-O", "mmp"], "tune2fs -O ^mmp"),
    ] {
        let text = refused(arguments);
        assert!(text.contains(remedy), "{arguments:?}: {text}");
    }
    let text = Guest::try_mount(Memory::new(vec![0; 4 * MIB]), false).err().unwrap_or_default();
    assert_eq!(text, "it has no ext4 file system; make one: `mkfs.ext4` or `husk disk create`");
    let mut short = make(16, &[]);
    short.truncate(8 * MIB);
    let text = Guest::try_mount(Memory::new(short), false).err().unwrap_or_default();
    assert!(text.contains("damaged") && text.contains("device_capacity"), "{text}");
    // A volume that was not unmounted is not read without the journal.
    let disk = Memory::new(make(16, &[]));
    let mut guest = Guest::mount(disk.clone());
    guest.put("f", b"x").expect("room");
    let handle = guest.open("f", RDWR).expect("it is there");
    guest.sync(handle, false).expect("the disk works");
    let text = Guest::try_mount(Memory::new(disk.bytes()), true).err().unwrap_or_default();
    assert!(text.contains("fsck.ext4 -p"), "{text}");
    guest.volume.unmount().expect("it is unmounted");
    let mut guest = Guest::try_mount(disk.clone(), true).expect("it is clean");
    let before = disk.bytes();
    assert_eq!(guest.get("f"), Ok(b"x".to_vec()));
    assert_eq!((guest.put("g", b"x"), guest.unlink("f"), guest.mkdir("d")), (Err(30), Err(30), Err(30)));
    guest.volume.unmount().expect("it is unmounted");
    assert!(disk.bytes() == before, "nothing is written to a read-only disk");
}

#[test]
fn a_file_in_many_groups_is_freed() {
    on(
        80,
        &["-b", "1024", "-g", "512", "-O", "^64bit,^resize_inode,^meta_bg", "-N", "3000", "-J", "size=1"],
        |guest| {
            let bytes = pattern(MIB, 3);
            let handle = guest.open("large", CREATE | RDWR).expect("room");
            (0..58).for_each(|at| assert_eq!(guest.write_at(handle, at * MIB as u64, &bytes), Ok(MIB as u64)));
            guest.close(handle).expect("it is open");
            guest.unlink("large").expect("it is there");
            guest.put("small", &bytes).expect("room");
            guest.truncate("small", 1000).expect("it is there");
        },
    );
}

#[test]
fn closing_a_path_releases_no_lock() {
    on(8, &[], |guest| {
        guest.put("f", b"x").expect("room");
        let open = |guest: &mut Guest<Memory>, flags| guest.open("f", flags).expect("it is there");
        let (first, second, path) = (open(guest, RDWR), open(guest, RDWR), open(guest, 0o10_000_000));
        let lock = |handle, mode| Request { handle, mode, flags: 1, ..Request::default() };
        guest.on_handle(LOCK, lock(first, PROCESS)).expect("it is free");
        guest.close(path).expect("it is open");
        assert_eq!(guest.on_handle(LOCK, lock(second, 0)).map(drop), Err(11));
        guest.close(first).expect("it is open");
        assert_eq!(guest.on_handle(LOCK, lock(second, 0)).map(drop), Ok(()));
    });
}

#[test]
fn a_gap_shows_zeros_whatever_lay_behind_the_end() {
    if !has_tools() {
        return;
    }
    let disk = Memory::new(make(8, &["-b", "4096"]));
    let mut guest = Guest::mount(disk.clone());
    let bytes = pattern(1000, 99);
    guest.put("f", &bytes).expect("room");
    guest.volume.unmount().expect("it is unmounted");
    {
        let mut disk = disk.0.lock().expect("no panic");
        let at = (0..disk.len()).step_by(4096).find(|at| disk[*at..].starts_with(&bytes)).expect("it is on the disk");
        disk[at + 1000..at + 4096].fill(0x55);
    }
    let mut guest = Guest::mount(disk.clone());
    let handle = guest.open("f", RDWR).expect("it is there");
    guest.write_at(handle, 3000, b"end").expect("room");
    assert!(guest.read_at(handle, 0, 5000).expect("it is open") == [&bytes[..], &[0; 2000], b"end"].concat());
    guest.write_at(handle, 9000, b"end").expect("room");
    assert!(guest.read_at(handle, 3003, 5997).expect("it is open") == [0; 5997]);
    guest.volume.unmount().expect("it is unmounted");
    assert_clean(&disk.bytes());
}

#[test]
fn a_file_that_is_written_anew_is_on_its_way_when_it_is_closed() {
    if !has_tools() {
        return;
    }
    let disk = Memory::new(make(8, &[]));
    let mut guest = Guest::mount(disk.clone());
    guest.put("f", b"old").expect("room");
    let other = guest.open("other", CREATE | RDWR).expect("room");
    guest.sync(other, false).expect("the disk works");
    guest.put("f", b"new").expect("room");
    guest.write_at(other, 0, b"x").expect("room");
    guest.sync(other, false).expect("the disk works");
    // What a crash leaves now.
    let mut guest = Guest::mount(Memory::new(disk.bytes()));
    assert_eq!(guest.get("f"), Ok(b"new".to_vec()));
}

#[test]
fn collected_bytes_keep_their_space() {
    on(8, &["-b", "1024"], |guest| {
        let first = guest.open("first", CREATE | RDWR).expect("room");
        guest.write_at(first, 0, &pattern(200_000, 5)).expect("room");
        let second = guest.open("second", CREATE | RDWR).expect("room");
        let (mut offset, mut count) = (0, 1 << 20);
        while count >= 1024 {
            let request = Request { handle: second, offset, count, flags: 1, ..Request::default() };
            match guest.on_handle(ALLOCATE, request) {
                Ok(_) => offset += count,
                Err(_) => count /= 2,
            }
        }
        assert_eq!(guest.sync(first, false), Ok(()));
        assert!(guest.read_at(first, 0, 200_000).expect("it is open") == pattern(200_000, 5));
    });
}

#[test]
fn a_file_in_thousands_of_pieces_is_cut_and_freed() {
    on(40, &["-b", "1024", "-N", "600"], |guest| {
        for path in ["cut", "freed"] {
            let handle = guest.open(path, CREATE | RDWR).expect("room");
            (0..2000).for_each(|at| assert_eq!(guest.write_at(handle, at * 9000, b"piece"), Ok(5)));
            guest.close(handle).expect("it is open");
        }
        guest.truncate("cut", 100).expect("it is there");
        guest.unlink("freed").expect("it is there");
        assert_eq!(guest.get("cut").map(|bytes| bytes.len()), Ok(100));
    });
}

/// Large transfers pass the cache by, in which the small ones are.
#[test]
fn large_and_small_transfers_see_each_other() {
    on(24, &[], |guest| {
        let mut expected = pattern(MIB, 3);
        guest.put("file", &expected).expect("room");
        let handle = guest.open("file", RDWR).expect("it is there");
        let writes = [(5000, 300), (100, 700_000), (1536, 200_000), (300_001, 5), (4096, 131_072), (8191, 4098)];
        for (seed, (offset, length)) in writes.into_iter().enumerate() {
            let bytes = pattern(length, seed as u64 + 5);
            assert_eq!(guest.write_at(handle, offset as u64, &bytes), Ok(length as u64));
            expected[offset..offset + length].copy_from_slice(&bytes);
            for (from, count) in
                [(0, MIB), (1, MIB - 1), (511, 300_000), (4096, 131_072), (offset, length), (4000, 70_000)]
            {
                let read = guest.read_at(handle, from as u64, count).expect("the disk works");
                assert!(read == expected[from..from + count], "{count} bytes at {from} after {length} at {offset}");
            }
        }
        guest.close(handle).expect("it is open");
    });
}
