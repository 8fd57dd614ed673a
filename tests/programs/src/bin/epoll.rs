//! Waits for files through epoll in every way there is, with the results that Linux has: passes as a process of Linux, too.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every call takes numbers, or pointers to locals that outlive it"
)]

use libc::*;
use programs::errno;
use std::time::{Duration, Instant};

struct Set(i32);

impl Set {
    fn new() -> Self {
        Self(check(unsafe { epoll_create1(EPOLL_CLOEXEC) }))
    }

    fn control(&self, operation: i32, file: i32, events: i32) -> i32 {
        let mut event = epoll_event { events: events as u32, u64: 0x1_0000_0000 | file as u64 };
        match unsafe { epoll_ctl(self.0, operation, file, &mut event) } {
            0 => 0,
            _ => errno(),
        }
    }

    fn add(&self, file: i32, events: i32) {
        assert_eq!(self.control(EPOLL_CTL_ADD, file, events), 0);
    }

    /// Returns files and their events, in order of files.
    fn wait(&self, timeout_ms: i32) -> Vec<(i32, i32)> {
        let mut events = [epoll_event { events: 0, u64: 0 }; 8];
        let count = check(unsafe { epoll_wait(self.0, events.as_mut_ptr(), 8, timeout_ms) });
        let mut told: Vec<_> =
            events[..count as usize].iter().map(|event| (event.u64 as i32, event.events as i32)).collect();
        told.sort();
        told
    }
}

fn check(result: i32) -> i32 {
    assert!(result >= 0, "{}", std::io::Error::last_os_error());
    result
}

fn pipe() -> (i32, i32) {
    let mut ends = [0; 2];
    check(unsafe { libc::pipe2(ends.as_mut_ptr(), O_NONBLOCK) });
    (ends[0], ends[1])
}

fn send(file: i32, bytes: &[u8]) {
    assert_eq!(unsafe { write(file, bytes.as_ptr().cast(), bytes.len()) }, bytes.len() as isize);
}

fn receive(file: i32, length: usize) -> isize {
    let mut bytes = [0u8; 64];
    unsafe { read(file, bytes.as_mut_ptr().cast(), length) }
}

fn levels_edges_and_single_shots() {
    let (set, (reader, writer)) = (Set::new(), pipe());
    set.add(reader, EPOLLIN);
    assert_eq!(set.wait(0), []);
    send(writer, b"abc");
    assert_eq!((set.wait(0), set.wait(-1)), (vec![(reader, EPOLLIN)], vec![(reader, EPOLLIN)]), "level");
    assert_eq!(set.control(EPOLL_CTL_MOD, reader, EPOLLIN | EPOLLET), 0);
    assert_eq!((set.wait(0).len(), set.wait(0).len()), (1, 0), "edge");
    receive(reader, 1);
    assert_eq!(set.wait(0), [], "to read some is no edge");
    send(writer, b"d");
    assert_eq!((set.wait(0).len(), set.wait(0).len()), (1, 0), "more to read is an edge");
    assert_eq!(set.control(EPOLL_CTL_MOD, reader, EPOLLIN | EPOLLONESHOT), 0);
    assert_eq!((set.wait(0).len(), set.wait(0).len()), (1, 0), "once");
    send(writer, b"e");
    assert_eq!(set.wait(0), []);
    assert_eq!(set.control(EPOLL_CTL_MOD, reader, EPOLLIN), 0);
    set.add(writer, EPOLLOUT);
    assert_eq!(set.wait(0), [(reader, EPOLLIN), (writer, EPOLLOUT)]);
    check(unsafe { close(writer) });
    assert_eq!(set.wait(0), [(reader, EPOLLIN | EPOLLHUP)]);
    check(unsafe { close(reader) });
    assert_eq!(set.wait(0), []);
}

fn duplicates_keep_an_interest_alive() {
    let (set, (reader, writer)) = (Set::new(), pipe());
    set.add(reader, EPOLLIN);
    let copy = check(unsafe { dup(reader) });
    set.add(copy, EPOLLIN);
    check(unsafe { close(reader) });
    send(writer, b"x");
    assert_eq!(set.wait(0), [(reader, EPOLLIN), (copy, EPOLLIN)]);
    assert_eq!(set.control(EPOLL_CTL_DEL, reader, 0), EBADF);
    check(unsafe { close(copy) });
    assert_eq!(set.wait(0), []);
}

fn sets_in_sets() {
    let (outer, inner, (reader, writer)) = (Set::new(), Set::new(), pipe());
    outer.add(inner.0, EPOLLIN);
    inner.add(reader, EPOLLIN);
    assert_eq!(outer.wait(0), []);
    send(writer, b"x");
    assert_eq!(outer.wait(0), [(inner.0, EPOLLIN)]);
    let mut entry = pollfd { fd: outer.0, events: POLLIN, revents: 0 };
    assert_eq!(unsafe { poll(&mut entry, 1, 0) }, 1);
    receive(reader, 1);
    assert_eq!((outer.wait(0), unsafe { poll(&mut entry, 1, 0) }), (vec![], 0));
    assert_eq!(inner.control(EPOLL_CTL_ADD, outer.0, EPOLLIN), ELOOP);
    let chain: Vec<_> = (0..5).map(|_| Set::new()).collect();
    for pair in chain.windows(2) {
        pair[0].add(pair[1].0, EPOLLIN);
    }
    assert_eq!(Set::new().control(EPOLL_CTL_ADD, chain[0].0, EPOLLIN), ELOOP, "too deep");
}

fn mistakes() {
    let (set, (reader, writer)) = (Set::new(), pipe());
    set.add(reader, EPOLLIN);
    assert_eq!(set.control(EPOLL_CTL_ADD, reader, EPOLLIN), EEXIST);
    assert_eq!(set.control(EPOLL_CTL_MOD, writer, EPOLLIN), ENOENT);
    assert_eq!(set.control(EPOLL_CTL_DEL, writer, EPOLLIN), ENOENT);
    assert_eq!(set.control(EPOLL_CTL_ADD, 999, EPOLLIN), EBADF);
    assert_eq!(set.control(EPOLL_CTL_ADD, set.0, EPOLLIN), EINVAL);
    assert_eq!(set.control(99, reader, EPOLLIN), EINVAL);
    assert_eq!(Set(reader).control(EPOLL_CTL_ADD, writer, EPOLLIN), EINVAL);
    let file = check(unsafe { open(c"/tmp".as_ptr(), O_RDONLY) });
    assert_eq!(set.control(EPOLL_CTL_ADD, file, EPOLLIN), EPERM);
    assert_eq!(set.control(EPOLL_CTL_ADD, writer, EPOLLOUT | EPOLLEXCLUSIVE), 0);
    assert_eq!(set.control(EPOLL_CTL_MOD, writer, EPOLLOUT), EINVAL);
    let mut event = epoll_event { events: 0, u64: 0 };
    assert_eq!((unsafe { epoll_wait(set.0, &mut event, 0, 0) }, errno()), (-1, EINVAL));
    assert_eq!((unsafe { epoll_create(0) }, errno()), (-1, EINVAL));
}

fn waiting_takes_as_long_as_it_should() {
    let (set, (reader, writer)) = (Set::new(), pipe());
    set.add(reader, EPOLLIN);
    let start = Instant::now();
    assert_eq!(set.wait(30), []);
    assert!(start.elapsed() >= Duration::from_millis(29));
    let sender = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(20));
        send(writer, b"x");
    });
    assert_eq!(set.wait(-1), [(reader, EPOLLIN)]);
    sender.join().expect("sent");
    let few: Vec<_> = (0..20).map(|_| pipe()).collect();
    for (reader, writer) in &few {
        set.add(*reader, EPOLLIN);
        send(*writer, b"x");
    }
    let mut seen: Vec<_> = (0..3).flat_map(|_| set.wait(0)).collect();
    seen.sort();
    seen.dedup();
    assert_eq!(seen.len(), 21, "each file has its turn");
}

fn timers_expire() {
    let timer = check(unsafe { timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK) });
    let at = |ms: i64| timespec { tv_sec: 0, tv_nsec: ms * 1_000_000 };
    let set = Set::new();
    set.add(timer, EPOLLIN | EPOLLET);
    let mut setting = itimerspec { it_interval: at(10), it_value: at(100) };
    check(unsafe { timerfd_settime(timer, 0, &setting, std::ptr::null_mut()) });
    assert_eq!((receive(timer, 8), errno()), (-1, EAGAIN));
    assert_eq!(set.wait(10_000), [(timer, EPOLLIN)]);
    std::thread::sleep(Duration::from_millis(25));
    let mut count = 0u64;
    assert_eq!(unsafe { read(timer, (&raw mut count).cast(), 8) }, 8);
    assert!((3..1000).contains(&count), "{count}");
    assert_eq!(set.wait(10_000), [(timer, EPOLLIN)], "the next");
    check(unsafe { timerfd_gettime(timer, &mut setting) });
    assert!(setting.it_value.tv_nsec <= 10_000_000 && setting.it_interval.tv_nsec == 10_000_000);
    check(unsafe {
        timerfd_settime(timer, 0, &itimerspec { it_interval: at(0), it_value: at(0) }, std::ptr::null_mut())
    });
    assert_eq!(set.wait(20), []);
    let blocking = check(unsafe { timerfd_create(CLOCK_REALTIME, 0) });
    let (start, mut now) = (Instant::now(), at(0));
    check(unsafe { clock_gettime(CLOCK_REALTIME, &mut now) });
    let then = timespec { tv_sec: now.tv_sec + 1, tv_nsec: now.tv_nsec };
    let setting = itimerspec { it_interval: at(0), it_value: then };
    check(unsafe { timerfd_settime(blocking, TFD_TIMER_ABSTIME, &setting, std::ptr::null_mut()) });
    assert_eq!(receive(blocking, 8), 8);
    assert!(start.elapsed() > Duration::from_millis(900));
}

fn main() {
    levels_edges_and_single_shots();
    duplicates_keep_an_interest_alive();
    sets_in_sets();
    mistakes();
    waiting_takes_as_long_as_it_should();
    timers_expire();
    println!("all as on Linux");
}
