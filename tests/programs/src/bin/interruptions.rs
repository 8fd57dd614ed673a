//! Interrupts one call after the other by a timer's signal, and prints which calls were restarted after the handler: first
//! without `SA_RESTART`, then with it.

use libc::{c_int, c_void};
use std::io::{Error, Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

static COUNT: AtomicU32 = AtomicU32::new(0);
static WORD: AtomicU32 = AtomicU32::new(0);
/// True once the wait for the word is over.
static OVER: AtomicBool = AtomicBool::new(false);

/// Runs of the handler before the call gets what it waits for.
const OFTEN: u32 = 10;

extern "C" fn note(_: c_int) {
    COUNT.fetch_add(1, Relaxed);
}

/// Sends SIGALRM at an interval in microseconds; 0 disarms the timer.
fn every(microseconds: i64) {
    let time = libc::timeval { tv_sec: 0, tv_usec: microseconds };
    // SAFETY: the setting is a variable of ours.
    unsafe { libc::setitimer(libc::ITIMER_REAL, &libc::itimerval { it_interval: time, it_value: time }, null_mut()) };
}

/// Returns a set that holds SIGALRM if `alarm`, and is empty otherwise.
fn set(alarm: bool) -> libc::sigset_t {
    // SAFETY: all zeros is an empty set.
    let mut set: libc::sigset_t = unsafe { std::mem::zeroed() };
    if alarm {
        // SAFETY: the set is a variable of ours.
        unsafe { libc::sigaddset(&mut set, libc::SIGALRM) };
    }
    set
}

/// Makes `call` while signals arrive; after `OFTEN` of them, a thread with SIGALRM blocked runs `release`.
fn interrupt(name: &str, call: impl FnOnce() -> isize, release: impl FnOnce() + Send + 'static) {
    COUNT.store(0, Relaxed);
    // SAFETY: the set is a variable of ours.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set(true), null_mut()) };
    let releaser = thread::spawn(move || {
        while COUNT.load(Relaxed) < OFTEN {
            thread::sleep(Duration::from_millis(1));
        }
        release();
    });
    // SAFETY: the set is a temporary that outlives the call.
    unsafe { libc::pthread_sigmask(libc::SIG_UNBLOCK, &set(true), null_mut()) };
    every(2000);
    let result = call();
    let error = Error::last_os_error();
    while COUNT.load(Relaxed) < OFTEN {}
    every(0);
    match result {
        0.. => println!("{name}: done"),
        _ => println!("{name}: {:?}", error.kind()),
    }
    releaser.join().expect("it does not panic");
}

fn nothing() {}

fn futex(timeout: *const libc::timespec) -> isize {
    let (word, operation) = (WORD.as_ptr(), libc::FUTEX_WAIT);
    OVER.store(false, Relaxed);
    // SAFETY: the word is static; the timeout is null, or a variable of the caller that outlives the call.
    let result = unsafe { libc::syscall(libc::SYS_futex, word, operation, 0, timeout) as isize };
    OVER.store(true, Relaxed);
    result
}

/// Repeats FUTEX_WAKE until it hits: it misses a thread in its handler, and a changed word would end the wait in another way.
fn wake() {
    // SAFETY: the word is static.
    while !OVER.load(Relaxed) && unsafe { libc::syscall(libc::SYS_futex, WORD.as_ptr(), libc::FUTEX_WAKE, 1) } == 0 {
        thread::sleep(Duration::from_micros(100));
    }
}

fn files() {
    let (reader, mut end) = std::io::pipe().expect("a pipe");
    let byte = &mut [0u8; 1];
    // SAFETY: the buffer has room for a byte.
    let read = || unsafe { libc::read(reader.as_raw_fd(), byte.as_mut_ptr().cast(), 1) };
    interrupt("read", read, move || end.write_all(b"x").expect("written"));

    let (reader, mut writer) = std::io::pipe().expect("a pipe");
    let mut drain = reader.try_clone().expect("another");
    let full = vec![0u8; 1 << 16];
    writer.write_all(&full).expect("written");
    // SAFETY: pointer and length are those of `full`.
    let write = || unsafe { libc::write(writer.as_raw_fd(), full.as_ptr().cast(), full.len()) };
    interrupt("write", write, move || drain.read_exact(&mut vec![0; 1 << 16]).expect("read"));

    let (mut left, right) = UnixStream::pair().expect("sockets");
    // SAFETY: the buffer has room for a byte.
    let receive = || unsafe { libc::recv(right.as_raw_fd(), byte.as_mut_ptr().cast(), 1, 0) };
    interrupt("recv", receive, move || left.write_all(b"x").expect("written"));

    let (left, right) = UnixStream::pair().expect("sockets");
    right.set_read_timeout(Some(Duration::from_secs(20))).expect("set");
    // SAFETY: the buffer has room for a byte.
    let receive = || unsafe { libc::recv(right.as_raw_fd(), byte.as_mut_ptr().cast(), 1, 0) };
    interrupt("recv with a timeout", receive, nothing);
    drop(left);

    let path = std::env::temp_dir().join(format!("interruptions-{}", std::process::id()));
    let listener = UnixListener::bind(&path).expect("a listener");
    // SAFETY: null pointers ask for no address.
    let accept = || unsafe { libc::accept(listener.as_raw_fd(), null_mut(), null_mut()) } as isize;
    let name = path.clone();
    interrupt("accept", accept, move || drop(UnixStream::connect(name).expect("connected")));
    std::fs::remove_file(&path).expect("removed");

    let [held, wanted] = [(); 2].map(|()| std::fs::File::create(&path).expect("a file"));
    held.lock().expect("locked");
    // SAFETY: flock(2) takes numbers only.
    let lock = || unsafe { libc::flock(wanted.as_raw_fd(), libc::LOCK_EX) } as isize;
    interrupt("flock", lock, move || held.unlock().expect("unlocked"));
    std::fs::remove_file(&path).expect("removed");
}

fn waits() {
    interrupt("futex", || futex(null()), wake);
    let long = libc::timespec { tv_sec: 20, tv_nsec: 0 };
    interrupt("futex with a timeout", || futex(&long), nothing);
    // SAFETY: no files, no time.
    interrupt("poll", || unsafe { libc::poll(null_mut(), 0, -1) } as isize, nothing);
    // SAFETY: no files, no time, no mask.
    interrupt("ppoll", || unsafe { libc::ppoll(null_mut(), 0, null(), null()) } as isize, nothing);
    let no_set = null_mut::<libc::fd_set>();
    // SAFETY: no sets, no time.
    interrupt("select", || unsafe { libc::select(0, no_set, no_set, no_set, null_mut()) } as isize, nothing);
    // SAFETY: epoll_create1(2) takes a number only.
    let epoll = unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) };
    let mut event = libc::epoll_event { events: 0, u64: 0 };
    // SAFETY: there is room for one event.
    interrupt("epoll", || unsafe { libc::epoll_wait(epoll, &mut event, 1, -1) } as isize, nothing);
    // SAFETY: the time is a variable of ours.
    interrupt("nanosleep", || unsafe { libc::nanosleep(&long, null_mut()) } as isize, nothing);
    // SAFETY: pause(2) takes no arguments.
    interrupt("pause", || unsafe { libc::pause() } as isize, nothing);
    // SAFETY: the set is a variable of ours.
    interrupt("sigsuspend", || unsafe { libc::sigsuspend(&set(false)) } as isize, nothing);
    let (none, information) = (set(false), null_mut::<c_void>());
    // SAFETY: the sets and the time are variables of ours.
    let wait = || unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &none, information, &long, 8) as isize };
    interrupt("sigtimedwait", wait, nothing);
}

fn main() {
    for flags in [0, libc::SA_RESTART] {
        println!("{}", if flags == 0 { "interrupted" } else { "restarted" });
        // SAFETY: all zeros is a valid value.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        action.sa_sigaction = note as extern "C" fn(c_int) as usize;
        action.sa_flags = flags;
        // SAFETY: the handler uses an atomic only.
        unsafe { libc::sigaction(libc::SIGALRM, &action, null_mut()) };
        files();
        waits();
    }
}
