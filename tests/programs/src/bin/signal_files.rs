//! Reads signals from a file (signalfd(2)), in each way in which programs wait for files.

use libc::*;
use programs::errno;
use std::mem::zeroed;
use std::ptr::null_mut;
use std::thread;
use std::time::Duration;

fn set(signals: &[c_int]) -> sigset_t {
    // SAFETY: all zeros is an empty set.
    let mut set: sigset_t = unsafe { zeroed() };
    for signal in signals {
        // SAFETY: the set is a variable of ours.
        unsafe { sigaddset(&mut set, *signal) };
    }
    set
}

fn open(file: c_int, signals: &[c_int], flags: c_int) -> c_int {
    // SAFETY: the set is a variable of ours.
    unsafe { signalfd(file, &set(signals), flags) }
}

/// Returns the result of one read: signals, with their codes and values.
fn read_from(file: c_int) -> Result<Vec<(u32, i32, u64)>, i32> {
    // SAFETY: all zeros is a valid value.
    let mut found: [signalfd_siginfo; 4] = unsafe { zeroed() };
    // SAFETY: the length is that of the buffer.
    let length = unsafe { read(file, found.as_mut_ptr().cast(), size_of_val(&found)) };
    if length < 0 {
        return Err(errno());
    }
    let count = length as usize / size_of::<signalfd_siginfo>();
    Ok(found[..count].iter().map(|one| (one.ssi_signo, one.ssi_code, one.ssi_ptr)).collect())
}

fn send(signal: c_int) {
    // SAFETY: the signal goes to our own process.
    assert_eq!(unsafe { kill(getpid(), signal) }, 0);
}

fn is_ready(file: c_int) -> bool {
    let mut one = pollfd { fd: file, events: POLLIN, revents: 0 };
    // SAFETY: the entry is a variable of ours.
    unsafe { poll(&mut one, 1, 0) == 1 && one.revents == POLLIN }
}

fn main() {
    // SAFETY: the set is a variable of ours.
    unsafe { pthread_sigmask(SIG_BLOCK, &set(&[SIGUSR1, SIGUSR2, SIGTERM, SIGALRM]), null_mut()) };
    let file = open(-1, &[SIGUSR1, SIGUSR2], SFD_NONBLOCK | SFD_CLOEXEC);
    println!("nothing: {:?}, ready {}", read_from(file), is_ready(file));
    send(SIGUSR2);
    send(SIGTERM);
    send(SIGUSR1);
    println!("ready {}", is_ready(file));
    println!("two: {:?}, ready {}", read_from(file), is_ready(file));
    println!("the same file: {}", open(file, &[SIGTERM], 0) == file);
    println!("ready {}: {:?}", is_ready(file), read_from(file));
    // SAFETY: raise(3) takes a number only.
    println!("raised: {} {:?}", unsafe { raise(SIGTERM) }, read_from(file));

    let value = sigval { sival_ptr: 0x1234 as *mut c_void };
    // SAFETY: the signal goes to our own process.
    println!("queued: {} {:?}", unsafe { sigqueue(getpid(), SIGTERM, value) }, read_from(file));

    // SAFETY: epoll_create1(2) takes a number only.
    let poller = unsafe { epoll_create1(0) };
    let mut event = epoll_event { events: (EPOLLIN | EPOLLET) as u32, u64: 7 };
    // SAFETY: the event is a variable of ours.
    assert_eq!(unsafe { epoll_ctl(poller, EPOLL_CTL_ADD, file, &mut event) }, 0);
    let sender = thread::spawn(|| {
        thread::sleep(Duration::from_millis(20));
        send(SIGTERM);
    });
    // SAFETY: the event is a local variable.
    println!("epoll: {} {:?}", unsafe { epoll_wait(poller, &mut event, 1, -1) }, read_from(file));
    sender.join().expect("it does not panic");

    let waiting = open(-1, &[SIGALRM], 0);
    // SAFETY: alarm(2) takes a number only.
    unsafe { alarm(1) };
    println!("a read that waits: {:?}", read_from(waiting).map(|found| found[0].0));
    // SAFETY: the descriptors are ours.
    println!("closed: {}", unsafe { close(waiting) + close(file) });
    println!("no such file: {} {}", open(poller, &[SIGALRM], 0), errno());
    println!("short: {}", {
        let file = open(-1, &[SIGALRM], 0);
        // SAFETY: the buffer has 127 bytes.
        unsafe { read(file, [0u8; 127].as_mut_ptr().cast(), 127) }
    });
    if std::env::args().nth(1).is_some() {
        println!("ready");
        let file = open(-1, &[SIGTERM], 0);
        println!("from outside: {:?}", read_from(file).map(|found| found[0].0));
    }
}
