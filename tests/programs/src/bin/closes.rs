//! Closes the descriptor of a call that waits, gives its number to another file, and lets the call go on: it keeps the file that
//! it was made for. Prints the result of each call.

use libc::c_void;
use std::fs::File;
use std::io;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::{FromRawFd, IntoRawFd, OwnedFd};
use std::os::unix::net::{UnixDatagram, UnixListener, UnixStream};
use std::sync::atomic::{AtomicBool, Ordering::SeqCst};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// True while a thread is about to make its call.
static ABOUT_TO: AtomicBool = AtomicBool::new(false);

/// A call on a descriptor.
type Call = fn(i32) -> isize;

fn read(descriptor: i32) -> isize {
    let mut bytes = [0_u8; 16];
    // SAFETY: the buffer is a variable of ours.
    unsafe { libc::read(descriptor, bytes.as_mut_ptr().cast::<c_void>(), bytes.len()) }
}

fn read_into_two(descriptor: i32) -> isize {
    let (mut first, mut second) = ([0_u8; 2], [0_u8; 2]);
    let vectors = [
        libc::iovec { iov_base: first.as_mut_ptr().cast(), iov_len: first.len() },
        libc::iovec { iov_base: second.as_mut_ptr().cast(), iov_len: second.len() },
    ];
    // SAFETY: the buffers are variables of ours.
    unsafe { libc::readv(descriptor, vectors.as_ptr(), 2) }
}

fn write_much(descriptor: i32) -> isize {
    let bytes = vec![1_u8; 300_000];
    // SAFETY: the buffer is ours.
    unsafe { libc::write(descriptor, bytes.as_ptr().cast::<c_void>(), bytes.len()) }
}

fn receive(descriptor: i32) -> isize {
    let mut bytes = [0_u8; 16];
    // SAFETY: the buffer is a variable of ours.
    unsafe { libc::recv(descriptor, bytes.as_mut_ptr().cast::<c_void>(), bytes.len(), 0) }
}

/// Returns 0 if a connection was accepted.
fn accept(descriptor: i32) -> isize {
    // SAFETY: no address is asked for.
    let accepted = unsafe { libc::accept(descriptor, std::ptr::null_mut(), std::ptr::null_mut()) };
    if accepted < 0 {
        return -1;
    }
    // SAFETY: the descriptor is new.
    drop(unsafe { OwnedFd::from_raw_fd(accepted) });
    0
}

fn lock(descriptor: i32) -> isize {
    // SAFETY: no memory is involved.
    unsafe { libc::flock(descriptor, libc::LOCK_EX) as isize }
}

fn wait(descriptor: i32) -> isize {
    let mut events = [libc::epoll_event { events: 0, u64: 0 }; 4];
    // SAFETY: the buffer is a variable of ours.
    unsafe { libc::epoll_wait(descriptor, events.as_mut_ptr(), 4, -1) as isize }
}

/// Closes `file` while another thread waits in `call` on it; `let_go` ends the wait.
fn check(name: &str, file: impl Into<OwnedFd>, call: Call, let_go: impl FnOnce()) {
    let descriptor = file.into().into_raw_fd();
    ABOUT_TO.store(true, SeqCst);
    let (sender, results) = mpsc::channel();
    thread::spawn(move || {
        ABOUT_TO.store(false, SeqCst);
        let result = call(descriptor);
        let error = io::Error::last_os_error();
        sender.send(if result < 0 { error.to_string() } else { result.to_string() })
    });
    while ABOUT_TO.load(SeqCst) {
        thread::yield_now();
    }
    thread::sleep(Duration::from_millis(20));
    let zeros = File::open("/dev/zero").expect("there is one").into_raw_fd();
    // SAFETY: `descriptor` belongs to nobody else.
    assert_eq!(unsafe { libc::dup2(zeros, descriptor) }, descriptor);
    // SAFETY: it is ours.
    assert_eq!(unsafe { libc::close(zeros) }, 0);
    thread::sleep(Duration::from_millis(20));
    let_go();
    let result = results.recv_timeout(Duration::from_secs(10)).expect("the call ends");
    println!("{name}: {result}, then {}", read(descriptor));
    // SAFETY: it is ours.
    assert_eq!(unsafe { libc::close(descriptor) }, 0);
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let mut ends = [0; 2];
    // SAFETY: the array is a variable of ours.
    assert_eq!(unsafe { libc::pipe(ends.as_mut_ptr()) }, 0);
    // SAFETY: both descriptors are new.
    unsafe { (OwnedFd::from_raw_fd(ends[0]), OwnedFd::from_raw_fd(ends[1])) }
}

fn main() -> io::Result<()> {
    use std::io::{Read, Write};
    for (name, call) in [("read", read as Call), ("readv", read_into_two)] {
        let (reader, writer) = pipe();
        check(name, reader, call, || File::from(writer).write_all(b"abc").expect("it is read"));
    }
    let (reader, writer) = pipe();
    check("write", writer, write_much, || {
        let mut bytes = Vec::new();
        let count = File::from(reader).read_to_end(&mut bytes).expect("it is written");
        assert_eq!(count, 300_000);
    });
    let (one, other) = UnixDatagram::pair()?;
    check("recv", one, receive, || assert_eq!(other.send(b"four").expect("it is received"), 4));
    let path = "/tmp/closes";
    let _ = std::fs::remove_file(path);
    check("accept", UnixListener::bind(path)?, accept, || drop(UnixStream::connect(path).expect("it is accepted")));
    std::fs::remove_file(path)?;
    let socket = UdpSocket::bind("127.0.0.1:0")?;
    let to = socket.local_addr()?;
    check("recv of UDP", socket, receive, || {
        let sender = UdpSocket::bind("127.0.0.1:0").expect("there is a port");
        assert_eq!(sender.send_to(b"sixsix", to).expect("it is received"), 6);
    });
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let to = listener.local_addr()?;
    check("accept of TCP", listener, accept, || drop(TcpStream::connect(to).expect("it is accepted")));
    let (first, second) = (File::create(path)?, File::open(path)?);
    first.lock()?;
    check("flock", second, lock, || first.unlock().expect("it is locked"));
    let (reader, mut writer) = UnixStream::pair()?;
    // SAFETY: no memory is involved; the descriptor is new.
    let epoll = unsafe { OwnedFd::from_raw_fd(libc::epoll_create1(0)) };
    let mut event = libc::epoll_event { events: libc::EPOLLIN as u32, u64: 7 };
    use std::os::fd::AsRawFd;
    // SAFETY: the event is a variable of ours.
    let added = unsafe { libc::epoll_ctl(epoll.as_raw_fd(), libc::EPOLL_CTL_ADD, reader.as_raw_fd(), &mut event) };
    assert_eq!(added, 0);
    check("epoll_wait", epoll, wait, || writer.write_all(b"x").expect("it is read"));
    std::fs::remove_file(path)
}
