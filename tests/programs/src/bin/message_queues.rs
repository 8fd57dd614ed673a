//! Uses message queues of POSIX, by itself and from several threads.

#![expect(unsafe_code, reason = "mq_overview(7) is functions of C")]

use libc::{
    CLOCK_REALTIME, O_CREAT, O_EXCL, O_NONBLOCK, O_RDONLY, O_RDWR, POLLIN, POLLOUT, SIG_BLOCK, SIGEV_SIGNAL, SIGUSR1,
    c_char, c_int, c_long, c_uint, c_void, clock_gettime, poll, pollfd, pthread_sigmask, sigaddset, sigevent,
    siginfo_t, sigset_t, sigtimedwait, timespec,
};
use programs::errno;
use std::mem::zeroed;
use std::ptr::{null, null_mut};
use std::thread;
use std::time::Duration;

/// Limits and state of a queue.
#[repr(C)]
#[derive(Clone, Copy, Default)]
struct mq_attr {
    mq_flags: c_long,
    mq_maxmsg: c_long,
    mq_msgsize: c_long,
    mq_curmsgs: c_long,
    reserved: [c_long; 4],
}

// The crate has these functions for some C libraries only.
unsafe extern "C" {
    fn mq_open(name: *const c_char, flags: c_int, ...) -> c_int;
    fn mq_close(queue: c_int) -> c_int;
    fn mq_unlink(name: *const c_char) -> c_int;
    fn mq_send(queue: c_int, from: *const c_char, length: usize, priority: c_uint) -> c_int;
    fn mq_timedsend(queue: c_int, from: *const c_char, length: usize, priority: c_uint, time: *const timespec)
    -> c_int;
    fn mq_timedreceive(
        queue: c_int,
        into: *mut c_char,
        length: usize,
        priority: *mut c_uint,
        time: *const timespec,
    ) -> isize;
    fn mq_notify(queue: c_int, event: *const sigevent) -> c_int;
    fn mq_getattr(queue: c_int, into: *mut mq_attr) -> c_int;
    fn mq_setattr(queue: c_int, from: *const mq_attr, into: *mut mq_attr) -> c_int;
}

/// Name of the queue, with the process's number, because another process may run the same.
fn name() -> Vec<u8> {
    format!("/husk-{}\0", std::process::id()).into_bytes()
}

fn result(value: impl Into<i64>) -> Result<i64, i32> {
    let value = value.into();
    if value < 0 { Err(errno()) } else { Ok(value) }
}

fn open(name: &[u8], flags: c_int, limits: Option<(c_long, c_long)>) -> Result<c_int, i32> {
    let mut attributes = mq_attr::default();
    if let Some((most, size)) = limits {
        (attributes.mq_maxmsg, attributes.mq_msgsize) = (most, size);
    }
    let attributes = if limits.is_some() { &raw const attributes } else { null() };
    // SAFETY: the name ends with NUL, and the attributes live through the call.
    let queue = unsafe { mq_open(name.as_ptr().cast(), flags, 0o600, attributes) };
    result(queue).map(|queue| queue as c_int)
}

fn attributes(queue: c_int) -> (c_long, c_long, c_long, c_long) {
    let mut found = mq_attr::default();
    // SAFETY: the attributes are a variable of ours.
    assert_eq!(unsafe { mq_getattr(queue, &mut found) }, 0);
    (found.mq_flags, found.mq_maxmsg, found.mq_msgsize, found.mq_curmsgs)
}

fn after(ms: i64) -> timespec {
    let mut now = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the time is a variable of ours.
    unsafe { clock_gettime(CLOCK_REALTIME, &mut now) };
    let nanoseconds = now.tv_nsec + ms * 1_000_000;
    timespec { tv_sec: now.tv_sec + nanoseconds / 1_000_000_000, tv_nsec: nanoseconds % 1_000_000_000 }
}

fn send(queue: c_int, text: &str, priority: u32) -> Result<i64, i32> {
    // SAFETY: the text has that many bytes.
    result(unsafe { mq_send(queue, text.as_ptr().cast(), text.len(), priority) })
}

fn receive(queue: c_int, length: usize, time: Option<timespec>) -> Result<(String, u32), i32> {
    let (mut bytes, mut priority) = ([0u8; 100], 0);
    let time = time.as_ref().map_or(null(), |time| &raw const *time);
    // SAFETY: the buffer has that many bytes.
    let count =
        result(unsafe { mq_timedreceive(queue, bytes.as_mut_ptr().cast(), length, &mut priority, time) } as i64)?;
    Ok((String::from_utf8_lossy(&bytes[..count as usize]).into_owned(), priority))
}

fn is_ready(queue: c_int) -> (bool, bool) {
    let mut one = pollfd { fd: queue, events: POLLIN | POLLOUT, revents: 0 };
    // SAFETY: the entry is a variable of ours.
    unsafe { poll(&mut one, 1, 0) };
    (one.revents & POLLIN != 0, one.revents & POLLOUT != 0)
}

fn notify(queue: c_int, signal: Option<c_int>) -> Result<i64, i32> {
    // SAFETY: all zeros is valid.
    let mut event: sigevent = unsafe { zeroed() };
    (event.sigev_notify, event.sigev_signo) = (SIGEV_SIGNAL, signal.unwrap_or_default());
    event.sigev_value.sival_ptr = 0x1234 as *mut c_void;
    let event = if signal.is_some() { &raw const event } else { null() };
    // SAFETY: the event lives through the call.
    result(unsafe { mq_notify(queue, event) })
}

/// The next of these signals that comes within a time: number, code, value, and if this process has sent it.
fn signal(set: &sigset_t, ms: i64) -> Result<(i32, i32, usize, bool), i32> {
    let time = timespec { tv_sec: ms / 1000, tv_nsec: ms % 1000 * 1_000_000 };
    // SAFETY: all zeros is valid.
    let mut found: siginfo_t = unsafe { zeroed() };
    // SAFETY: all are variables of ours.
    let signal = result(unsafe { sigtimedwait(set, &mut found, &time) })?;
    // SAFETY: a signal of a queue has a value, a process and a user.
    let (value, process) = unsafe { (found.si_value().sival_ptr as usize, found.si_pid()) };
    Ok((signal as i32, found.si_code, value, process as u32 == std::process::id()))
}

fn errors(name: &[u8]) {
    println!("none {:?}", open(name, O_RDWR, None));
    println!("slash {:?}, empty {:?}", open(b"/a/b\0", O_RDWR | O_CREAT, None), open(b"/\0", O_RDWR | O_CREAT, None));
    for limits in [(0, 10), (10, 0), (-1, 10), (1 << 20, 10)] {
        println!("{limits:?} {:?}", open(name, O_RDWR | O_CREAT, Some(limits)));
    }
    // SAFETY: the name ends with NUL.
    println!("unlink {:?}", result(unsafe { mq_unlink(name.as_ptr().cast()) }));
    println!("no queue {:?} {:?}", send(0, "x", 0), receive(99, 10, None));
}

fn messages(queue: c_int, name: &[u8]) {
    println!("attributes {:?}, ready {:?}", attributes(queue), is_ready(queue));
    println!("exclusive {:?}", open(name, O_RDWR | O_CREAT | O_EXCL, None));
    println!("too long {:?}, priority {:?}", send(queue, "more than ten", 0), send(queue, "x", 32768));
    println!("too short {:?}", receive(queue, 9, None));
    for (text, priority) in [("low", 1), ("high", 9), ("low too", 1), ("higher", 10)] {
        println!("sent {:?}", send(queue, text, priority));
    }
    println!("attributes {:?}, ready {:?}", attributes(queue), is_ready(queue));
    println!("full in time {:?}", {
        // SAFETY: the text has one byte.
        result(unsafe { mq_timedsend(queue, c"x".as_ptr(), 1, 0, &after(20)) })
    });
    let bad = timespec { tv_sec: 0, tv_nsec: 1_000_000_000 };
    println!("bad time {:?}", receive(queue, 10, Some(bad)));
    for _ in 0..4 {
        println!("received {:?}", receive(queue, 10, None));
    }
    println!("empty in time {:?}", receive(queue, 10, Some(after(20))));
    let reader = open(name, O_RDONLY | O_NONBLOCK, None).expect("there");
    println!("reader {:?} {:?} {:?}", attributes(reader), receive(reader, 10, None), send(reader, "x", 0));
    let mut new = mq_attr { mq_flags: O_NONBLOCK.into(), ..Default::default() };
    // SAFETY: the attributes are variables of ours.
    println!("set {:?}", result(unsafe { mq_setattr(queue, &new, null_mut()) }));
    println!("now {:?} {:?}", attributes(queue), receive(queue, 10, None));
    new.mq_flags = 0;
    // SAFETY: the attributes are variables of ours.
    println!("set {:?}", result(unsafe { mq_setattr(queue, &new, null_mut()) }));
    // SAFETY: it is a descriptor of ours.
    println!("closed {:?}", result(unsafe { mq_close(reader) }));
}

fn waits(queue: c_int) {
    let waiting = thread::spawn(move || receive(queue, 10, None));
    thread::sleep(Duration::from_millis(20));
    println!("sent {:?}, {:?}", send(queue, "now", 3), waiting.join().expect("no panic"));
    for _ in 0..4 {
        send(queue, "fill", 0).expect("there is room");
    }
    let waiting = thread::spawn(move || send(queue, "late", 0));
    thread::sleep(Duration::from_millis(20));
    println!("received {:?}, {:?}", receive(queue, 10, None), waiting.join().expect("no panic"));
    for _ in 0..4 {
        println!("left {:?}", receive(queue, 10, None));
    }
}

fn signals(queue: c_int) {
    // SAFETY: all zeros is an empty set.
    let mut set: sigset_t = unsafe { zeroed() };
    // SAFETY: the set is a variable of ours.
    unsafe { sigaddset(&mut set, SIGUSR1) };
    // SAFETY: the set is a variable of ours.
    unsafe { pthread_sigmask(SIG_BLOCK, &set, null_mut()) };
    println!("notify {:?}, again {:?}", notify(queue, Some(SIGUSR1)), notify(queue, Some(SIGUSR1)));
    println!("bad {:?}", notify(0, Some(SIGUSR1)));
    send(queue, "one", 0).expect("there is room");
    println!("signal {:?}", signal(&set, 60_000));
    send(queue, "two", 0).expect("there is room");
    println!("once {:?}", signal(&set, 20));
    println!("notify {:?}", notify(queue, Some(SIGUSR1)));
    send(queue, "three", 0).expect("there is room");
    println!("not empty {:?}", signal(&set, 20));
    println!("removed {:?}, other {:?}", notify(queue, None), notify(queue, Some(SIGUSR1)));
    for _ in 0..3 {
        receive(queue, 10, None).expect("there is one");
    }
    send(queue, "four", 0).expect("there is room");
    println!("was empty {:?}", signal(&set, 60_000));
    receive(queue, 10, None).expect("there is one");
}

fn main() {
    let name = name();
    errors(&name);
    let queue = open(&name, O_RDWR | O_CREAT, Some((4, 10))).expect("new");
    messages(queue, &name);
    waits(queue);
    signals(queue);
    // SAFETY: the name ends with NUL.
    println!("unlink {:?}", result(unsafe { mq_unlink(name.as_ptr().cast()) }));
    println!("still {:?} {:?}", send(queue, "here", 0), receive(queue, 10, None));
    println!("another {:?}", open(&name, O_RDWR, None));
    // SAFETY: it is a descriptor of ours.
    println!("closed {:?} {:?}", result(unsafe { mq_close(queue) }), send(queue, "x", 0));
}
