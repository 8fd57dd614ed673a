//! Tests of one property each, named as a sentence.

use super::*;
use crate::fs::lock::{Mode, WHOLE};
use crate::fs::pipe::CAPACITY;
use crate::fs::ready::Ready;

#[test]
fn the_console_is_open_from_the_start() {
    let mut machine = Machine::new();
    machine.devices.input = b"typed".to_vec();
    assert_eq!(machine.read(0, None, 3).as_deref(), Ok(&b"typ"[..]));
    assert_eq!(machine.write(1, None, b"out"), Ok(3));
    assert_eq!(machine.write(2, None, b"error"), Ok(5));
    assert_eq!(machine.devices.written, [vec![], b"out".to_vec(), b"error".to_vec()]);
    assert_eq!(machine.write(0, None, b"x"), Err(Errno::EBADF.into()));
    assert_eq!(machine.files.seek(1, 0, linux::SEEK_CUR), Err(Errno::ESPIPE));
    let again = machine.open("/dev/stderr", linux::O_WRONLY).expect("standard error");
    assert_eq!(machine.write(again, None, b"!"), Ok(1));
    assert_eq!(machine.devices.written[2], b"error!");
}

#[test]
fn the_lowest_free_descriptor_is_given_out() {
    let mut machine = Machine::new();
    let [a, b, c] = ["/a", "/b", "/c"].map(|path| machine.create(path));
    assert_eq!([a, b, c], [3, 4, 5]);
    machine.files.close(a).expect("open");
    machine.files.close(b).expect("open");
    assert_eq!(machine.files.duplicate(c, 4, false), Ok(4));
    assert_eq!(machine.create("/d"), 3);
    assert_eq!(machine.create("/e"), 6);
    assert_eq!(machine.files.duplicate_to(c, 9, true), Ok(9));
    assert_eq!(machine.files.close_on_exec(9), Ok(true));
    machine.files.close_range(4, 8, false).expect("in order");
    assert_eq!([machine.create("/f"), machine.create("/g")], [4, 5]);
    assert_eq!(machine.files.close(77), Err(Errno::EBADF));
    machine.files.descriptors.limit = 6;
    assert_eq!(machine.open("/h", linux::O_CREAT), Err(Errno::EMFILE));
}

#[test]
fn duplicates_share_their_offset() {
    let mut machine = Machine::new();
    let file = machine.create("/file");
    let copy = machine.files.duplicate(file, 0, false).expect("free");
    let other = machine.open("/file", linux::O_RDONLY).expect("there");
    machine.write(file, None, b"abcdef").expect("space");
    assert_eq!(machine.files.seek(copy, -4, linux::SEEK_CUR), Ok(2));
    assert_eq!(machine.read(file, None, 2).as_deref(), Ok(&b"cd"[..]));
    assert_eq!(machine.read(other, None, 2).as_deref(), Ok(&b"ab"[..]));
}

#[test]
fn an_unlinked_file_lives_while_it_is_open() {
    let mut machine = Machine::new();
    let before = machine.files.quota.used;
    let file = machine.create("/file");
    let used = size_of::<crate::fs::inode::Inode>() as u64;
    machine.write(file, None, &[7; 10_000]).expect("space");
    let now = machine.now();
    machine.files.unlink(AT_FDCWD, b"/file", now).expect("there");
    assert_eq!(machine.read(file, Some(9_999), 9).as_deref(), Ok(&[7][..]));
    assert_eq!(machine.files.stat(file, b"", linux::AT_EMPTY_PATH).map(|stat| stat.links), Ok(0));
    assert_eq!(machine.files.quota.used, before + used + 3 * 4096);
    machine.files.close(file).expect("open");
    assert_eq!(machine.files.quota.used, before);
}

#[test]
fn nothing_is_left_of_a_removed_tree() {
    let mut machine = Machine::new();
    let before = (machine.files.nodes.len(), machine.files.quota.used);
    let now = machine.now();
    for path in ["/a", "/a/b", "/a/b/c", "/d"] {
        machine.files.make_directory(AT_FDCWD, path.as_bytes(), 0o777, now).expect("new");
    }
    machine.files.rename((AT_FDCWD, b"/a/b/c"), (AT_FDCWD, b"/d/e"), 0, now).expect("allowed");
    machine.files.change_directory(b"/a/b").expect("there");
    let file = machine.create("file");
    machine.files.unlink(AT_FDCWD, b"file", now).expect("there");
    for path in ["/d/e", "/d", "/a/b", "/a"] {
        machine.files.remove_directory(AT_FDCWD, path.as_bytes(), now).expect("empty");
    }
    assert_eq!(machine.files.working_directory(), Err(Errno::ENOENT));
    assert_eq!(machine.open("new", linux::O_CREAT), Err(Errno::ENOENT));
    machine.files.change_directory(b"..").expect("its parent is kept with it");
    machine.files.change_directory(b"/").expect("there");
    machine.files.close(file).expect("open");
    assert_eq!((machine.files.nodes.len(), machine.files.quota.used), before);
}

#[test]
fn a_listing_is_complete_while_its_entries_are_removed() {
    let mut machine = Machine::new();
    let now = machine.now();
    machine.files.make_directory(AT_FDCWD, b"/many", 0o777, now).expect("new");
    for number in 0..500 {
        let file = machine.create(&format!("/many/file {number}"));
        machine.files.close(file).expect("open");
    }
    let directory = machine.open("/many", linux::O_RDONLY | linux::O_DIRECTORY).expect("there");
    assert_eq!(machine.names(directory, 10), Err(Errno::EINVAL));
    let mut seen = 0;
    loop {
        let names = machine.names(directory, 300).expect("room");
        if names.is_empty() {
            break;
        }
        for name in names.iter().filter(|name| !name.starts_with('.')) {
            machine.files.unlink(directory, name.as_bytes(), now).expect("listed");
            seen += 1;
        }
    }
    assert_eq!(seen, 500);
    machine.files.remove_directory(AT_FDCWD, b"/many", now).expect("empty");
    assert_eq!(machine.names(directory, 300), Err(Errno::ENOENT));
}

#[test]
fn a_lock_may_reach_to_the_last_byte_that_a_file_can_have() {
    let mut machine = Machine::new();
    let file = machine.create("/file");
    let range = |start, length| machine.files.lock_range(file, linux::SEEK_SET as i16, start, length);
    assert_eq!(range(1, i64::MAX), Ok((1, WHOLE)));
    assert_eq!(range(2, i64::MAX), Err(Errno::EOVERFLOW));
    assert_eq!(range(7, 0), Ok((7, WHOLE)));
    assert_eq!((range(10, -10), range(10, -11)), (Ok((0, 10)), Err(Errno::EINVAL)));
}

#[test]
fn an_exclusive_lock_is_for_one_description_only() {
    let mut machine = Machine::new();
    let first = machine.create("/file");
    let second = machine.create("/file");
    let try_exclusive = linux::LOCK_EX | linux::LOCK_NB;
    assert_eq!(machine.files.lock(first, linux::LOCK_EX), Ok(()));
    assert!(matches!(machine.files.lock(second, linux::LOCK_SH), Err(Stop::Block(_))));
    assert_eq!(machine.files.lock(second, try_exclusive), Err(Errno::EAGAIN.into()));
    assert_eq!(machine.files.lock(first, linux::LOCK_SH), Ok(()));
    assert_eq!(machine.files.lock(second, linux::LOCK_SH), Ok(()));
    assert_eq!(machine.files.lock(second, try_exclusive), Err(Errno::EAGAIN.into()));
    while machine.files.ready_list.take().is_some() {}
    machine.files.close(first).expect("open");
    assert!(!machine.files.ready_list.is_empty(), "who waits for the lock is woken");
    assert_eq!(machine.files.lock(second, try_exclusive), Ok(()));
}

#[test]
fn record_locks_conflict_where_they_overlap() {
    let mut machine = Machine::new();
    let first = machine.create("/file");
    let second = machine.create("/file");
    let (shared, exclusive) = (Some(Mode::Shared), Some(Mode::Exclusive));
    assert_eq!(machine.files.lock_record(first, exclusive, (0, 100), false), Ok(()));
    assert_eq!(machine.files.lock_record(second, shared, (99, 101), false), Err(Errno::EAGAIN.into()));
    assert_eq!(machine.files.lock_record(second, shared, (100, 101), true), Ok(()));
    assert_eq!(machine.files.lock_record(first, None, (40, 60), false), Ok(()));
    assert_eq!(machine.files.lock_record(second, exclusive, (40, 60), false), Ok(()));
    let found = machine.files.record_in_the_way(second, Mode::Shared, (0, 100)).expect("open");
    assert_eq!(found.map(|record| (record.start, record.end)), Some((0, 40)));
}

#[test]
fn a_pipe_carries_bytes_and_ends_with_its_writers() {
    let mut machine = Machine::new();
    let now = machine.now();
    let (reader, writer) = machine.files.pipe(0, now).expect("free");
    assert!(matches!(machine.read(reader, None, 5), Err(Stop::Block(_))));
    assert_eq!(machine.ready(writer), Ready::OUT);
    let bytes: Vec<u8> = (0..CAPACITY + 10).map(|number| number as u8).collect();
    assert_eq!(machine.write(writer, None, &bytes), Ok(CAPACITY as u64));
    assert!(matches!(machine.write(writer, None, b"x"), Err(Stop::Block(_))));
    assert_eq!(machine.read(reader, None, 70).as_deref(), Ok(&bytes[..70]));
    assert_eq!(machine.write(writer, None, &bytes[CAPACITY..]), Ok(10));
    assert_eq!(machine.read(reader, None, 1 << 20).as_deref(), Ok(&bytes[70..]));
    machine.files.close(writer).expect("open");
    assert_eq!(machine.read(reader, None, 5).as_deref(), Ok(&b""[..]));
    assert_eq!(machine.ready(reader), Ready::HANG_UP);
    let (reader, writer) = machine.files.pipe(linux::O_NONBLOCK, now).expect("free");
    assert_eq!(machine.read(reader, None, 5), Err(Errno::EAGAIN.into()));
    machine.files.close(reader).expect("open");
    assert_eq!(machine.write(writer, None, b"x"), Err(Errno::EPIPE.into()));
}

#[test]
fn an_event_counter_adds_up_and_is_emptied_by_a_read() {
    let mut machine = Machine::new();
    let now = machine.now();
    let event = machine.files.event(2, linux::EFD_NONBLOCK, now).expect("free");
    assert_eq!(machine.write(event, None, &3u64.to_ne_bytes()), Ok(8));
    assert_eq!(machine.ready(event), Ready::IN | Ready::OUT);
    assert_eq!(machine.read(event, None, 8).as_deref(), Ok(&5u64.to_ne_bytes()[..]));
    assert_eq!(machine.read(event, None, 8), Err(Errno::EAGAIN.into()));
    assert_eq!(machine.read(event, None, 7), Err(Errno::EINVAL.into()));
    assert_eq!(machine.write(event, None, &u64::MAX.to_ne_bytes()), Err(Errno::EINVAL.into()));
    let semaphore = machine.files.event(2, linux::EFD_SEMAPHORE, now).expect("free");
    assert_eq!(machine.read(semaphore, None, 8).as_deref(), Ok(&1u64.to_ne_bytes()[..]));
}

#[test]
fn a_nameless_file_gets_a_name_through_its_descriptor() {
    let mut machine = Machine::new();
    let file = machine.open("/tmp", linux::O_TMPFILE | linux::O_RDWR).expect("can be made");
    machine.write(file, None, b"text").expect("space");
    let now = machine.now();
    let path = format!("/proc/self/fd/{file}");
    let follow = linux::AT_SYMLINK_FOLLOW;
    machine.files.link((AT_FDCWD, path.as_bytes()), (AT_FDCWD, b"/tmp/named"), follow, now).expect("linkable");
    let again = machine.open("/tmp/named", linux::O_RDONLY).expect("there");
    assert_eq!(machine.read(again, None, 9).as_deref(), Ok(&b"text"[..]));
    assert_eq!(machine.files.read_link(AT_FDCWD, path.as_bytes()).as_deref(), Ok(&b"/tmp/named"[..]));
    let fixed = machine.open("/tmp", linux::O_TMPFILE | linux::O_RDWR | linux::O_EXCL).expect("can be made");
    let result = machine.files.link((fixed, b""), (AT_FDCWD, b"/tmp/other"), linux::AT_EMPTY_PATH, now);
    assert_eq!(result, Err(Errno::ENOENT));
}

#[test]
fn the_seeded_files_are_there() {
    let mut machine = Machine::new();
    let null = machine.open("/dev/null", linux::O_RDWR).expect("there");
    assert_eq!(machine.write(null, None, b"gone"), Ok(4));
    assert_eq!(machine.read(null, None, 4).as_deref(), Ok(&b""[..]));
    let zero = machine.open("/dev/zero", linux::O_RDONLY).expect("there");
    assert_eq!(machine.read(zero, None, 3).as_deref(), Ok(&[0; 3][..]));
    let full = machine.open("/dev/full", linux::O_WRONLY).expect("there");
    assert_eq!(machine.write(full, None, b"x"), Err(Errno::ENOSPC.into()));
    let random = machine.open("/dev/urandom", linux::O_RDONLY).expect("there");
    assert_eq!(machine.read(random, None, 300).as_deref(), Ok(&[4; 300][..]));
    assert_eq!(machine.open("/dev/tty", linux::O_RDWR), Err(Errno::ENXIO));
    assert_eq!(machine.files.read_link(AT_FDCWD, b"/proc/self/exe").as_deref(), Ok(&b"/app/program"[..]));
    assert_eq!(machine.files.stat(AT_FDCWD, b"/tmp", 0).map(|stat| stat.mode), Ok(linux::S_IFDIR | 0o1777));
    let passwd = machine.open("/etc/passwd", linux::O_RDONLY).expect("there");
    assert!(machine.read(passwd, None, 100).expect("text").starts_with(b"root:x:0:0:"));
    assert_eq!(machine.open("/proc/new", linux::O_CREAT), Err(Errno::EPERM));
    let descriptors = machine.open("/dev/fd", linux::O_RDONLY).expect("there");
    let names = machine.names(descriptors, 4096).expect("room");
    assert_eq!(names, [".", "..", "0", "1", "2", "3", "4", "5", "6", "7", "8"]);
}

#[test]
fn a_generated_file_holds_the_text_it_was_opened_with() {
    use crate::fs::generated::{Facts, Generated};
    let mut machine = Machine::new();
    for generated in Generated::ALL {
        let file = machine.open(generated.path(), linux::O_RDONLY).expect("there");
        assert_eq!(machine.files.generated(file), Some(*generated));
        let facts = Facts { program: b"/app/program", arguments: b"program\0-v\0", processors: 2, ..Facts::default() };
        machine.files.set_text(file, generated.text(&facts)).expect("open");
        assert_eq!(machine.files.generated(file), None);
        let text = machine.read(file, None, 1 << 16).expect("text");
        match generated {
            Generated::Arguments => assert_eq!(text, b"program\0-v\0"),
            Generated::Name => assert_eq!(text, b"program\n"),
            Generated::Online => assert_eq!(text, b"0-1\n"),
            Generated::Process => assert_eq!(text.split(|byte| *byte == b' ').count(), 52),
            _ => {}
        }
    }
}

#[test]
fn times_follow_what_happens() {
    let mut machine = Machine::new();
    let file = machine.create("/file");
    let stat = |machine: &mut Machine| machine.files.statx(AT_FDCWD, b"/file", 0).expect("there");
    let made = stat(&mut machine);
    machine.write(file, None, b"text").expect("space");
    let written = stat(&mut machine);
    assert!(written.modified.nanoseconds > made.modified.nanoseconds);
    assert_eq!(written.accessed.nanoseconds, made.accessed.nanoseconds);
    machine.read(file, Some(0), 4).expect("text");
    let read = stat(&mut machine);
    assert!(read.accessed.nanoseconds > written.modified.nanoseconds);
    machine.read(file, Some(0), 4).expect("text");
    assert_eq!(stat(&mut machine).accessed.nanoseconds, read.accessed.nanoseconds, "a second read is no news");
    assert_eq!(stat(&mut machine).born.nanoseconds, made.born.nanoseconds);
}

#[test]
fn sending_copies_from_file_to_file() {
    let mut machine = Machine::new();
    let from = machine.create("/from");
    let to = machine.create("/to");
    let bytes: Vec<u8> = (0..20_000).map(|number| (number / 7) as u8).collect();
    machine.write(from, None, &bytes).expect("space");
    let now = machine.now();
    let Machine { files, devices, .. } = &mut machine;
    assert_eq!(files.send(devices, to, from, Some(5), 1 << 40, now), Ok(19_995));
    assert_eq!(files.send(devices, to, from, None, 100, now), Ok(0), "its own offset is at the end");
    assert_eq!(files.copy_range(devices, (from, Some(0)), (from, Some(100)), 101, now), Err(Errno::EINVAL.into()));
    assert_eq!(files.copy_range(devices, (from, Some(0)), (from, Some(100)), 100, now), Ok(100));
    assert_eq!(files.copy_range(devices, (from, Some(0)), (0, None), 100, now), Err(Errno::EINVAL.into()));
    assert_eq!(files.send(devices, 1, from, Some(0), 3, now), Ok(3));
    assert_eq!(machine.read(to, Some(0), 20_000).as_deref(), Ok(&bytes[5..]));
    assert_eq!(machine.read(from, Some(100), 100).as_deref(), Ok(&bytes[..100]));
    assert_eq!(machine.devices.written[1], bytes[..3]);
}

#[test]
fn a_socket_of_another_part_is_released_after_its_last_descriptor() {
    use crate::fs::handle::Internet;
    use crate::fs::slab::Slab;
    use crate::fs::socket::AnySocket;
    let mut machine = Machine::new();
    let socket = Slab::<_, Internet>::default().insert(7).expect("memory");
    let now = machine.now();
    let (file, node) = machine.files.open_internet(socket, linux::O_NONBLOCK, now).expect("free");
    assert!(matches!(machine.files.socket(file), Ok(AnySocket::Internet(found)) if found == socket));
    assert_eq!(machine.files.socket(0).err(), Some(Errno::ENOTSOCK));
    let mode = machine.files.stat(file, b"", linux::AT_EMPTY_PATH).map(|stat| stat.mode & linux::S_IFMT);
    assert_eq!(mode, Ok(linux::S_IFSOCK));
    machine.files.set_ready(node, Ready::OUT, Ready::OUT);
    assert_eq!(machine.ready(file), Ready::OUT);
    assert_eq!(machine.files.ready_list.take(), Some(node));
    let copy = machine.files.duplicate(file, 0, false).expect("free");
    machine.files.close(file).expect("open");
    assert_eq!(machine.files.orphans, []);
    machine.files.close(copy).expect("open");
    assert_eq!(machine.files.orphans, [socket]);
}

#[test]
fn files_without_end_come_to_an_end() {
    let mut machine = Machine::new();
    machine.files.quota.limit = machine.files.quota.used + 50_000;
    let refused = (0..200).find_map(|number| machine.open(&format!("/{number}"), linux::O_CREAT).err());
    assert_eq!(refused, Some(Errno::ENOSPC));
    let now = machine.now();
    machine.files.unlink(AT_FDCWD, b"/0", now).expect("made");
    machine.files.close(3).expect("open");
    machine.open("/0", linux::O_CREAT).expect("there is room again");
    let used = machine.files.quota.used;
    assert_eq!(machine.open("/again", linux::O_CREAT), Err(Errno::ENOSPC));
    assert_eq!(machine.files.quota.used, used);
}
