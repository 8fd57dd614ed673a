//! Gives up root step by step, with other threads running, and prints who it is after each step. Where it is not root, it says so.

#![expect(unsafe_code, reason = "setuid and its family are functions of C")]

use programs::errno;
use std::fs::{self, File, OpenOptions};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;
use std::os::unix::net::UnixStream;
use std::sync::mpsc::{self, Receiver};
use std::thread;

unsafe extern "C" {
    fn setfsuid(to: u32) -> i32;
    fn setfsgid(to: u32) -> i32;
}

/// `PR_CAPBSET_READ`, for `CAP_SETUID`.
const BOUND: (i32, u64) = (23, 7);

/// Effective, permitted and inheritable sets, by capget(2): how many of the permitted ones are effective, and if there are any.
fn capabilities() -> String {
    let (header, mut sets) = ([0x2008_0522_u32, 0], [[0u32; 3]; 2]);
    // SAFETY: both are of the size that version 3 has.
    unsafe { libc::syscall(libc::SYS_capget, &header, &mut sets) };
    let [effective, permitted] = [0, 1].map(|at| u64::from(sets[0][at]) | u64::from(sets[1][at]) << 32);
    format!(
        "effective {}, permitted {}",
        if effective == 0 { "none" } else { "some" },
        if permitted == 0 { "none" } else { "some" }
    )
}

/// Prints a result, and who the program is now.
fn show(what: &str, result: i64) {
    let error = if result < 0 { errno() } else { 0 };
    let (mut users, mut groups) = ([0u32; 3], [0u32; 3]);
    // SAFETY: each pointer is one of a variable.
    unsafe { libc::getresuid(&mut users[0], &mut users[1], &mut users[2]) };
    // SAFETY: as above.
    unsafe { libc::getresgid(&mut groups[0], &mut groups[1], &mut groups[2]) };
    // SAFETY: these have no arguments.
    let [user, effective] = unsafe { [libc::getuid(), libc::geteuid()] };
    println!("{what}: {result} ({error}); {users:?} {groups:?} {user} {effective} {}", capabilities());
}

/// Prints the result of a call that has no memory as argument.
macro_rules! try_call {
    ($($call:ident($($argument:expr),*);)*) => {
        // SAFETY: the call has numbers as arguments.
        $(show(stringify!($call($($argument),*)), i64::from(unsafe { libc::$call($($argument),*) }));)*
    };
}

/// Lines of `/proc/self/status` about the identity.
fn status() {
    let text = fs::read_to_string("/proc/self/status").expect("it is there");
    for line in text.lines().filter(|line| ["Uid:", "Gid:", "Groups:"].iter().any(|name| line.starts_with(name))) {
        println!("{line}");
    }
}

/// User and group of a new file.
fn owner(path: &str) {
    File::create(path).expect("a folder for everyone");
    let metadata = fs::metadata(path).expect("it was made");
    println!("owner {} {}", metadata.uid(), metadata.gid());
    fs::remove_file(path).expect("our own");
}

/// The calling thread's users, by the system call itself.
fn users() -> [u32; 3] {
    let mut users = [0u32; 3];
    // SAFETY: each pointer is one of a variable.
    unsafe { libc::getresuid(&mut users[0], &mut users[1], &mut users[2]) };
    users
}

/// What a thread that changes alone has for itself, and what a thread has that it starts.
fn alone() {
    let changed = || {
        // By the system call itself, which is about one thread. SAFETY: a number.
        let result = unsafe { libc::syscall(libc::SYS_setuid, 4000) };
        (result, users(), thread::spawn(users).join().expect("it ends"))
    };
    println!("alone: {:?}, the first: {:?}", thread::spawn(changed).join().expect("it ends"), users());
}

/// What a thread keeps that gives up root with `PR_SET_KEEPCAPS`, and gives up of that by capset(2).
fn kept() {
    let change = || {
        // SAFETY: numbers only.
        let kept = unsafe { [libc::prctl(libc::PR_SET_KEEPCAPS, 2), libc::prctl(libc::PR_SET_KEEPCAPS, 1)] };
        // SAFETY: a number.
        let result = unsafe { libc::syscall(libc::SYS_setuid, 4000) };
        let (mut text, header) = (format!("{kept:?} {result} {}", capabilities()), [0x2008_0522_u32, 0]);
        // CAP_SETUID, which is permitted, becomes effective; then it is given up, and cannot be had again.
        for (effective, permitted) in [(1u32 << 7, 1 << 7), (0, 0), (1 << 7, 1 << 7)] {
            let sets = [[effective, permitted, 0], [0; 3]];
            // SAFETY: both are of the size that version 3 has.
            let result = unsafe { libc::syscall(libc::SYS_capset, &header, &sets) };
            text += &format!("; capset {result} {}", capabilities());
        }
        text
    };
    println!("kept: {}", thread::spawn(change).join().expect("it ends"));
}

/// Users and groups of both ends of sockets that were connected before and after a change, and of a signal's sender.
fn credentials() {
    let (one, other) = UnixStream::pair().expect("sockets");
    println!("peer of a pair: {:?} {:?}", peer(&one), peer(&other));
    // SAFETY: all zeros is a valid value.
    let (mut set, mut information): (libc::sigset_t, libc::siginfo_t) = unsafe { std::mem::zeroed() };
    // SAFETY: a variable of ours.
    unsafe { libc::sigaddset(&mut set, libc::SIGUSR1) };
    // SAFETY: a variable of ours.
    unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, &set, std::ptr::null_mut()) };
    // SAFETY: numbers only.
    unsafe { libc::kill(libc::getpid(), libc::SIGUSR1) };
    // SAFETY: both are variables of ours.
    unsafe { libc::sigwaitinfo(&set, &mut information) };
    // SAFETY: the signal was sent by kill(2).
    println!("sender: {}", unsafe { information.si_uid() });
}

/// User and group of a socket's peer.
fn peer(socket: &UnixStream) -> (u32, u32) {
    // SAFETY: all zeros is a valid value.
    let (mut peer, mut length): (libc::ucred, _) = (unsafe { std::mem::zeroed() }, size_of::<libc::ucred>() as u32);
    let into = (&raw mut peer).cast();
    // SAFETY: a variable of ours, and its length.
    let result =
        unsafe { libc::getsockopt(socket.as_raw_fd(), libc::SOL_SOCKET, libc::SO_PEERCRED, into, &mut length) };
    assert_eq!(result, 0, "{}", errno());
    (peer.uid, peer.gid)
}

fn groups() {
    let mut groups = [0u32; 8];
    // SAFETY: there is room for eight.
    let count = unsafe { libc::getgroups(8, groups.as_mut_ptr()) };
    println!("groups {:?}", groups.get(..count.try_into().unwrap_or(0)));
    // SAFETY: no group is written.
    println!("groups without room {}", i32::from(unsafe { libc::getgroups(1, groups.as_mut_ptr()) } == count));
}

fn main() {
    // SAFETY: no argument.
    if unsafe { libc::geteuid() } != 0 {
        println!("not root");
        return;
    }
    alone();
    kept();
    let waiting = |receiver: Receiver<()>| {
        thread::spawn(move || {
            receiver.recv().expect_err("nothing is sent");
            users()
        })
    };
    let (senders, threads): (Vec<_>, Vec<_>) = (0..3).map(|_| mpsc::channel()).map(|(s, r)| (s, waiting(r))).unzip();
    let (earlier, _end) = UnixStream::pair().expect("sockets");
    let root = OpenOptions::new().read(true).open("/").expect("it is there");
    let path = format!("/tmp/husk-identity-{}", std::process::id());
    // SAFETY: three groups.
    show("setgroups", unsafe { libc::setgroups(3, [30, 10, 20].as_ptr()) }.into());
    status();
    groups();
    try_call! {
        setegid(2000);
        seteuid(1000);
        seteuid(1001);
        setgid(0);
        seteuid(0);
        setregid(2000, 2001);
        setresgid(2000, 2001, 2002);
    }
    // SAFETY: no memory.
    let before = unsafe { [setfsuid(77), setfsgid(78), setfsuid(u32::MAX), setfsgid(u32::MAX)] };
    println!("for files {before:?}");
    owner(&path);
    // SAFETY: as above.
    unsafe { (setfsuid(0), setfsgid(2001)) };
    try_call! {
        prctl(BOUND.0, BOUND.1);
        prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
        prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
        prctl(libc::PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0);
        setreuid(u32::MAX, 1000);
        setreuid(1000, 0);
        setresuid(1000, 1000, u32::MAX);
        setresuid(1000, 1000, 5);
        setuid(0);
        setuid(1000);
        setreuid(1000, 1000);
        setuid(0);
        seteuid(0);
        setuid(1000);
        setgid(0);
        setgid(2000);
        setuid(u32::MAX);
    }
    // SAFETY: one group.
    show("setgroups", unsafe { libc::setgroups(1, [0].as_ptr()) }.into());
    owner(&path);
    groups();
    status();
    let (one, _other) = UnixStream::pair().expect("sockets");
    println!("pair {}", fs::metadata(format!("/proc/self/fd/{}", one.as_raw_fd())).expect("open").uid());
    println!("peer before the change: {:?}", peer(&earlier));
    println!("root {}", root.metadata().expect("open").uid());
    drop(senders);
    for thread in threads {
        println!("another thread: {:?}", thread.join().expect("it ends"));
    }
    println!("a new thread: {:?}", thread::spawn(users).join().expect("it ends"));
    credentials();
}
