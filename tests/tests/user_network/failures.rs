//! Failures between the first client of a published port and its guest: clients that reset at once, and failures of each
//! call of the network's. Other clients are still served, and the run continues.

#![expect(unsafe_code, reason = "SO_LINGER has no other interface here")]

use super::{guest, with_server};
use husk_tests::failing::Failures;
use husk_tests::{End, Target, build, eventually, patience, wire};
use libc::*;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsRawFd;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering::Relaxed};
use std::thread;
use std::time::Duration;

const ADDRESS: &str = "127.0.0.1:8007";

/// Guard that ends the clients with the run, or with a failed test: they would retry for ever.
struct Over<'o>(&'o AtomicBool);

impl Drop for Over<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}

/// Ends the connection by a RST (socket(7), SO_LINGER).
fn reset(stream: TcpStream) {
    let at_once = linger { l_onoff: 1, l_linger: 0 };
    let length = size_of_val(&at_once) as socklen_t;
    // SAFETY: `at_once` is a live variable of `length` bytes, which the kernel only reads.
    unsafe { setsockopt(stream.as_raw_fd(), SOL_SOCKET, SO_LINGER, (&raw const at_once).cast(), length) };
}

/// Clients in several threads that connect and reset at once, some after a byte. They begin before the guest's start and end
/// when there were enough resets.
#[test]
fn clients_that_reset_at_once_from_the_first_moment_on_end_no_run() {
    const CLIENTS: usize = 4;
    const RESETS: usize = 2000;
    if !wire::alone() {
        return;
    }
    // Built before the clients start.
    build::husk();
    drop(guest("serve"));
    for _ in 0..3 {
        let (resets, over) = (AtomicUsize::new(0), AtomicBool::new(false));
        let client = |number: usize| {
            while !over.load(Relaxed) && resets.load(Relaxed) < RESETS {
                match TcpStream::connect(ADDRESS) {
                    Ok(mut stream) => {
                        if number.is_multiple_of(2) {
                            let _ = stream.write_all(b"x");
                        }
                        reset(stream);
                        resets.fetch_add(1, Relaxed);
                    }
                    // The guest does not listen yet.
                    Err(_) => thread::yield_now(),
                }
            }
        };
        thread::scope(|scope| {
            let _over = Over(&over);
            (0..CLIENTS).for_each(|number| drop(scope.spawn(move || client(number))));
            let outcome = with_server(guest("serve").flag("-p8007:7"), ADDRESS, || {
                eventually("enough clients have reset", || (resets.load(Relaxed) >= RESETS).then_some(()));
                // The guest may still have connections of the others to handle.
                eventually("a client is served", || has_echo().then_some(()));
            });
            outcome.expect_success();
        });
    }
}

/// Calls that the network makes while clients come and go, and the errors of each by its manual page, on a host that has not
/// enough of something, or after a peer's reset.
const FAILURES: &[(i64, &[i32])] = &[
    (
        SYS_accept4,
        &[ECONNABORTED, EMFILE, ENFILE, ENOBUFS, ENOMEM, EPROTO, EPERM, EINTR, ENETDOWN, EHOSTUNREACH, EINVAL],
    ),
    (SYS_recvfrom, &[ECONNRESET, ETIMEDOUT, ENOMEM, EINTR, EHOSTUNREACH, ENOTCONN]),
    (SYS_sendto, &[EPIPE, ECONNRESET, ENOBUFS, ENOMEM, EINTR, ENOTCONN]),
    (SYS_epoll_ctl, &[ENOMEM, ENOSPC]),
    (SYS_epoll_pwait, &[EINTR]),
    (SYS_epoll_wait, &[EINTR]),
    (SYS_ppoll, &[EINTR, ENOMEM]),
    (SYS_setsockopt, &[EINVAL, ENOBUFS, ENOPROTOOPT]),
    (SYS_ioctl, &[ENOMEM]),
    (SYS_shutdown, &[ENOTCONN]),
    (SYS_close, &[EINTR, EIO]),
    (SYS_read, &[EAGAIN, EINTR]),
    (SYS_getrandom, &[EINTR, ENOSYS]),
];

/// Returns true if a message is echoed.
fn has_echo() -> bool {
    let talk = || {
        // Not by `connect`, which waits for minutes where the queue of the port is full just now.
        let address = ADDRESS.parse().expect("an address and a port");
        let mut stream = TcpStream::connect_timeout(&address, patience(Duration::from_secs(1)))?;
        stream.set_read_timeout(Some(patience(Duration::from_millis(500))))?;
        stream.write_all(b"hello")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer).map(|()| &answer == b"hello")
    };
    talk().unwrap_or_else(|_: io::Error| {
        thread::sleep(Duration::from_millis(1));
        false
    })
}

/// Clients of a run until it is `over`: one that resets at once, then two that retry until they get an answer, because
/// connections may be lost; then some that ask for the end. Returns the number of those that got an answer.
fn clients(over: &AtomicBool) -> u32 {
    const ANSWERS: u32 = 2;
    let (mut answers, mut has_reset) = (0, false);
    while !over.load(Relaxed) {
        match TcpStream::connect(ADDRESS) {
            Err(_) => thread::sleep(Duration::from_millis(1)),
            Ok(stream) if !has_reset => {
                reset(stream);
                has_reset = true;
            }
            Ok(_) if answers < ANSWERS => answers += u32::from(has_echo()),
            Ok(mut stream) => {
                let _ = stream.set_read_timeout(Some(Duration::from_millis(200)));
                let _ = stream.write_all(b"quit").and_then(|()| stream.read(&mut [0; 1]));
            }
        }
    }
    answers
}

#[test]
fn no_call_that_fails_while_clients_are_served_ends_the_run() {
    const TIMES: usize = 3;
    if !wire::alone() {
        return;
    }
    let mut happened = vec![];
    for (call, errno) in FAILURES.iter().flat_map(|(call, errnos)| errnos.iter().map(move |errno| (*call, *errno))) {
        // On hvt, ioctl(2) runs the virtual machine.
        if call == SYS_ioctl && Target::usual() == Target::Hvt {
            continue;
        }
        let failures = Failures { call, errno, times: TIMES };
        let over = AtomicBool::new(false);
        let ((outcome, count), answers) = thread::scope(|scope| {
            let is_over = Over(&over);
            let clients = scope.spawn(|| clients(&over));
            let ended = guest("serve").flag("-p8007:7").run_failing_while_serving(failures);
            drop(is_over);
            (ended, clients.join().expect("they do not panic"))
        });
        assert_eq!(outcome.end(), End::Exit(0), "{failures:?}, {count} times, {answers} answers: {outcome}");
        assert_eq!(answers, 2, "{failures:?}, {count} times: {outcome}");
        if count > 0 {
            happened.push((call, errno));
        }
    }
    println!("{} kinds of failures: {happened:?}", happened.len());
    assert!(happened.len() >= 20, "{happened:?}");
}

/// Calls for a connection of the guest's, and the errors of each.
const OUTBOUND: &[(i64, &[i32])] = &[
    // The first two are those of a kernel without ping sockets; musl then repeats the call without SOCK_CLOEXEC.
    (SYS_socket, &[EPROTONOSUPPORT, EINVAL, EMFILE, EACCES]),
    (SYS_connect, &[EADDRNOTAVAIL, EPERM, ENETUNREACH]),
];

#[test]
fn no_call_that_fails_while_the_guest_connects_ends_the_run() {
    const ALL: usize = usize::MAX;
    if !wire::alone() {
        return;
    }
    for (call, errno) in OUTBOUND.iter().flat_map(|(call, errnos)| errnos.iter().map(move |errno| (*call, *errno))) {
        let failures = Failures { call, errno, times: ALL };
        let guest = ["tcp", "udp", "ping"].into_iter().fold(guest("reach").flag("-p8007:7"), |guest, how| {
            guest.argument(if how == "ping" { "ping:192.0.2.1".to_owned() } else { format!("{how}:192.0.2.1:9000") })
        });
        let (outcome, count) = guest.run_failing_while_serving(failures);
        assert_eq!(outcome.end(), End::Exit(0), "{failures:?}, {count} times: {outcome}");
        assert!(count >= 1, "{failures:?}: {outcome}");
    }
}

/// Errors of a kernel without sockets of some kind: musl repeats the call without flags, which the filter must allow.
#[test]
fn a_socket_that_is_asked_for_again_without_flags_ends_no_run() {
    if !wire::alone() {
        return;
    }
    for errno in [EPROTONOSUPPORT, EINVAL] {
        let failures = Failures { call: SYS_socket, errno, times: 1 };
        let guest = guest("reach").flag("-p8007:7").argument("udp:192.0.2.1:9000");
        let (outcome, count) = guest.run_failing_while_serving(failures);
        assert_eq!((outcome.end(), count), (End::Exit(0), 1), "{failures:?}: {outcome}");
    }
}
