//! Table of open files, by kind: answers to calls that a kind does not have, and what reaches the parts with kinds of their own.

use super::*;
use crate::fs::ready::Ready;
use crate::fs::slab::Slab;
use crate::fs::socket::Style;
use crate::syscall_result::WaitFor;
use husk::abi::block::{DISCARD, FLUSH, READ, WRITE};

/// Disk of 64 sectors, as `/dev/data`.
const DISK: Disk = Disk { number: 3, read_only: false, sector: 512, size: 64 * 512, is_mounted: false };

fn with_disk(disk: Disk) -> Machine {
    let mut machine = Machine::new();
    let mut files = Files::new(b"/program".to_vec(), 1 << 30, Time::from_ns(0), || Ok(&[])).expect("memory");
    files.add_disk(disk, b"data").expect("memory");
    machine.files = files;
    machine
}

#[test]
fn a_disk_is_read_and_written_at_the_offset_of_its_description() {
    let mut machine = with_disk(DISK);
    let file = machine.open("/dev/data", linux::O_RDWR).expect("there");
    machine.write(file, None, &[1; 512]).expect("a disk");
    machine.read(file, None, 100).expect("a disk");
    machine.read(file, Some(7), 10).expect("a disk");
    assert_eq!(machine.files.seek(file, 0, linux::SEEK_CUR), Ok(612));
    assert_eq!(machine.files.seek(file, 0, linux::SEEK_END), Ok(DISK.size));
    machine.files.set_status_flags(file, linux::O_APPEND).expect("open");
    machine.write(file, None, &[1]).expect("a disk");
    let transfers = [(WRITE, 0, 512), (READ, 512, 100), (READ, 7, 10), (WRITE, DISK.size, 1)];
    assert_eq!(
        machine.devices.transfers,
        transfers.map(|(operation, at, length)| (DISK, operation, at, length, false))
    );
}

#[test]
fn calls_that_use_the_offset_of_one_description_take_turns() {
    let mut machine = with_disk(DISK);
    let file = machine.open("/dev/data", linux::O_RDWR).expect("there");
    let other = machine.open("/dev/data", linux::O_RDWR).expect("there");
    let kept: [_; 3] = std::array::from_fn(|_| machine.files.keep(file).expect("open"));
    machine.devices.thread = 1;
    machine.write(file, None, &[1; 512]).expect("its turn");
    machine.files.take_turn(kept[0], 1);
    machine.files.take_turn(kept[0], 1);
    machine.read(file, None, 100).expect("a restarted call has its turn");
    let wait = Stop::until(WaitFor::File(machine.files.node(file).expect("open").index()), None);
    for thread in [2, 3] {
        machine.devices.thread = thread;
        assert_eq!(machine.read(file, None, 100), Err(wait));
        assert_eq!(machine.write(file, None, &[1]), Err(wait));
        assert_eq!(machine.files.await_offset(&mut machine.devices, file), Err(wait), "for lseek");
        machine.read(file, Some(7), 10).expect("another offset");
        machine.write(other, None, &[1]).expect("another description");
        machine.files.take_turn(kept[thread as usize - 1], thread);
    }
    while machine.files.ready_list.take().is_some() {}
    machine.files.give_back(kept[0], 1);
    assert!(machine.files.ready_list.take().is_some(), "the others are woken");
    for (thread, answer) in [(1, Err(wait)), (3, Err(wait)), (2, Ok(()))] {
        machine.devices.thread = thread;
        assert_eq!(machine.files.await_offset(&mut machine.devices, file), answer, "{thread}");
    }
    machine.files.give_back(kept[2], 3);
    machine.files.give_back(kept[1], 2);
    machine.devices.thread = 1;
    machine.read(file, None, 100).expect("nobody is before it");
}

#[test]
fn a_write_to_a_disk_is_flushed_if_description_or_call_ask_for_it() {
    let mut machine = with_disk(DISK);
    let now = machine.now();
    let bytes = [1; 512];
    let slices = [Slice::new(bytes.as_ptr() as u64, 512)];
    for (flags, sync) in [(0, true), (linux::O_DSYNC, false), (0, false)] {
        let file = machine.open("/dev/data", linux::O_WRONLY | flags).expect("there");
        let from = Buffers::new(&slices, 0);
        let Machine { files, devices, .. } = &mut machine;
        files.write(devices, file, Some(0), from, sync, || now).expect("a disk");
        files.sync(devices, file).expect("a disk");
    }
    assert_eq!(machine.devices.transfers.iter().map(|transfer| transfer.4).collect::<Vec<_>>(), [true, true, false]);
    assert!(machine.devices.requests.iter().all(|request| request.operation == FLUSH));
}

#[test]
fn ranges_of_a_disk_are_erased_in_whole_sectors_by_those_who_may_write() {
    let mut machine = with_disk(DISK);
    let now = machine.now();
    let hole = linux::FALLOC_FL_PUNCH_HOLE | linux::FALLOC_FL_KEEP_SIZE;
    let writer = machine.open("/dev/data", linux::O_RDWR).expect("there");
    let reader = machine.open("/dev/data", linux::O_RDONLY).expect("there");
    let Machine { files, devices, .. } = &mut machine;
    let mut punch = |file, start, length| files.allocate(devices, file, hole, (start, length), now);
    assert_eq!(punch(reader, 0, 512), Err(Errno::EBADF.into()));
    assert_eq!(punch(writer, 1, 511), Err(Errno::EINVAL.into()));
    assert_eq!(punch(writer, DISK.size as i64, 512), Err(Errno::EINVAL.into()));
    assert_eq!(punch(writer, 512, 1 << 40), Ok(0), "as far as the disk goes");
    assert_eq!(machine.devices.requests, [Request { operation: DISCARD, range: 512..DISK.size }]);
    let mut read_only = with_disk(Disk { read_only: true, ..DISK });
    assert_eq!(read_only.open("/dev/data", linux::O_WRONLY), Err(Errno::EROFS));
    assert!(read_only.open("/dev/data", linux::O_RDONLY).is_ok());
}

#[test]
fn a_file_of_signals_is_ready_while_one_of_its_set_is_pending() {
    let mut machine = Machine::new();
    let now = machine.now();
    let file = machine.files.signal_file(-1, 0b110, linux::O_NONBLOCK, now).expect("memory");
    let node = machine.files.node(file).expect("open");
    machine.files.signals_pending(0b001);
    assert_eq!((machine.ready(file), machine.files.ready_list.take()), (Ready::empty(), None));
    machine.files.signals_pending(0b011);
    assert_eq!((machine.ready(file), machine.files.ready_list.take()), (Ready::IN, Some(node)));
    machine.files.signals_pending(0b011);
    assert_eq!(machine.files.ready_list.take(), None, "nothing new");
    assert_eq!(machine.read(file, None, 128).map(|bytes| bytes.len()), Ok(8));
    assert_eq!(machine.files.signal_file(file, 0, 0, now), Ok(file));
    assert_eq!(machine.read(file, None, 128), Err(Errno::EAGAIN.into()));
    assert_eq!(machine.files.signal_file(0, 1, 0, now), Err(Errno::EINVAL));
    machine.files.close(file).expect("open");
    assert!(!machine.files.has_signal_files());
}

/// Kinds without a name, and some with one, each with a descriptor of it.
fn every_kind(machine: &mut Machine) -> Vec<(&'static str, i32)> {
    let now = machine.now();
    machine.files.make_directory(AT_FDCWD, b"/directory", 0o777, now).expect("new");
    let directory = machine.open("/directory", linux::O_RDONLY).expect("there");
    let null = machine.open("/dev/null", linux::O_RDWR).expect("there");
    let files = &mut machine.files;
    let (pipe, pipe_end) = files.pipe(linux::O_NONBLOCK, now).expect("memory");
    let event = files.event(1, 0, now).expect("memory");
    let timer = files.timer(linux::CLOCK_MONOTONIC, linux::TFD_NONBLOCK, now).expect("memory");
    let set = files.epoll(0, now).expect("memory");
    let (socket, _) = files.socket_pair(Style::Stream, linux::O_NONBLOCK, now).expect("memory");
    vec![
        ("directory", directory),
        ("null", null),
        ("pipe", pipe),
        ("pipe to write to", pipe_end),
        ("event", event),
        ("timer", timer),
        ("set", set),
        ("socket", socket),
    ]
}

#[test]
fn a_socket_of_the_internet_is_a_stream_like_one_of_the_program() {
    let mut machine = Machine::new();
    let now = machine.now();
    let socket = Slab::default().insert(0).expect("memory");
    let (internet, _) = machine.files.open_internet(socket, linux::O_NONBLOCK, now).expect("free");
    for (_, file) in every_kind(&mut machine).into_iter().filter(|(name, _)| *name == "socket").chain([("", internet)])
    {
        assert_eq!(machine.read(file, Some(0), 1), Err(Errno::ESPIPE.into()));
        assert_eq!(machine.write(file, Some(0), &[1]), Err(Errno::ESPIPE.into()));
        assert_eq!(machine.write(file, None, &[1]), Ok(1));
        assert_eq!(machine.files.seek(file, 0, linux::SEEK_SET), Err(Errno::ESPIPE));
        let Machine { files, devices, .. } = &mut machine;
        assert_eq!(files.allocate(devices, file, 0, (0, 1), now), Err(Errno::ENODEV.into()));
        assert_eq!(files.truncate_open(file, 0, now), Err(Errno::EINVAL));
    }
}

// An interpreter other than the processor has no Linux beside it.
#[cfg(not(miri))]
mod beside_linux {
    use super::*;
    use rustix::event::{EventfdFlags, epoll, eventfd};
    use rustix::fd::{AsFd, OwnedFd};
    use rustix::fs as host;
    use rustix::io;
    use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
    use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};

    /// The host's files of [`every_kind`], in that order.
    fn every_kind_of_linux() -> Vec<OwnedFd> {
        let (pipe, pipe_end) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::NONBLOCK).expect("a pipe");
        let (socket, peer) =
            socketpair(AddressFamily::UNIX, SocketType::STREAM, SocketFlags::NONBLOCK, None).expect("sockets");
        let open = |path, flags| host::open(path, flags, host::Mode::empty()).expect("there");
        // The peer stays open, so that the socket is connected.
        core::mem::forget(peer);
        vec![
            open("/tmp", host::OFlags::RDONLY),
            open("/dev/null", host::OFlags::RDWR),
            pipe,
            pipe_end,
            eventfd(1, EventfdFlags::empty()).expect("an event counter"),
            timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK).expect("a timer"),
            epoll::create(epoll::CreateFlags::empty()).expect("a set"),
            socket,
        ]
    }

    /// Error of a call, or 0.
    fn host_error<T>(result: io::Result<T>) -> i32 {
        result.map_or_else(|errno| errno.raw_os_error(), |_| 0)
    }

    fn error<T, E: Into<Stop>>(result: Result<T, E>) -> i32 {
        match result.map_err(Into::into) {
            Ok(_) => 0,
            Err(Stop::Errno(errno)) => -errno.to_result() as i32,
            Err(stop) => panic!("{stop:?}"),
        }
    }

    #[test]
    fn each_kind_refuses_what_it_does_not_have_with_the_error_of_linux() {
        let mut machine = Machine::new();
        let now = machine.now();
        let on_host = every_kind_of_linux();
        for ((kind, file), host) in every_kind(&mut machine).into_iter().zip(&on_host) {
            let host = host.as_fd();
            let mut bytes = [0; 4];
            let check = |call: &str, ours: i32, linux: i32| assert_eq!(ours, linux, "{call} of a {kind}");
            check("pread", error(machine.read(file, Some(0), 4)), host_error(io::pread(host, &mut bytes, 0)));
            check("pwrite", error(machine.write(file, Some(0), &bytes)), host_error(io::pwrite(host, &bytes, 0)));
            check("read", error(machine.read(file, None, 4)), host_error(io::read(host, &mut bytes)));
            check("write", error(machine.write(file, None, &bytes)), host_error(io::write(host, &bytes)));
            check("ftruncate", error(machine.files.truncate_open(file, 0, now)), host_error(host::ftruncate(host, 0)));
            let Machine { files, devices, .. } = &mut machine;
            let allocated = files.allocate(devices, file, 0, (0, 1), now);
            let on_linux = host::fallocate(host, host::FallocateFlags::empty(), 0, 1);
            check("fallocate", error(allocated), host_error(on_linux));
        }
    }
}
