//! Sockets between threads in every way there is, with the results that Linux has: passes as a process of Linux, too.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every call takes numbers, or pointers to locals that outlive it"
)]

use libc::*;
use programs::{errno, ready};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram, UnixListener, UnixStream};
use std::thread;
use std::time::{Duration, Instant};

fn pairs_carry_bytes_both_ways() {
    let (mut a, mut b) = UnixStream::pair().expect("a pair");
    assert_eq!((ready(&a), ready(&b)), (POLLOUT, POLLOUT));
    a.write_all(b"hello").expect("room");
    assert_eq!(a.write_vectored(&[IoSlice::new(b" and"), IoSlice::new(b" more")]).expect("room"), 9);
    let mut bytes = [0; 64];
    assert_eq!((ready(&b), b.read(&mut bytes[..5]).expect("some")), (POLLIN | POLLOUT, 5));
    let mut waiting = 0i32;
    assert_eq!(unsafe { ioctl(b.as_raw_fd(), FIONREAD, &mut waiting) }, 0);
    let (first, second) = bytes.split_at_mut(2);
    let count = b.read_vectored(&mut [IoSliceMut::new(first), IoSliceMut::new(second)]).expect("some");
    assert_eq!((waiting, &bytes[..count]), (9, &b" and more"[..]));
    b.set_nonblocking(true).expect("allowed");
    assert_eq!(b.read(&mut bytes).expect_err("nothing").kind(), ErrorKind::WouldBlock);
    b.set_nonblocking(false).expect("allowed");
    b.set_read_timeout(Some(Duration::from_millis(40))).expect("allowed");
    let start = Instant::now();
    assert_eq!(b.read(&mut bytes).expect_err("nothing").kind(), ErrorKind::WouldBlock);
    assert!(start.elapsed() >= Duration::from_millis(39));
    assert_eq!(b.read_timeout().expect("set"), Some(Duration::from_millis(40)));
    drop(a);
    assert_eq!((b.read(&mut bytes).expect("the end"), ready(&b)), (0, POLLIN | POLLOUT | POLLHUP | POLLRDHUP));
    assert_eq!(b.write(b"x").expect_err("nobody").kind(), ErrorKind::BrokenPipe);
}

fn much_goes_through_little_room() {
    let (mut a, mut b) = UnixStream::pair().expect("a pair");
    let sent: Vec<u8> = (0..3_000_000u32).map(|number| (number / 3) as u8).collect();
    let expected = sent.clone();
    let writer = thread::spawn(move || {
        // A single call takes all bytes.
        assert_eq!(a.write(&sent).expect("a reader"), sent.len());
    });
    let mut received = Vec::new();
    b.read_to_end(&mut received).expect("bytes");
    writer.join().expect("written");
    assert!(received == expected);
    let (mut reader, mut writer) = std::io::pipe().expect("a pipe");
    let sent = expected.clone();
    let thread = thread::spawn(move || assert_eq!(writer.write(&sent).expect("a reader"), sent.len()));
    received.clear();
    reader.read_to_end(&mut received).expect("bytes");
    thread.join().expect("written");
    assert!(received == expected);
}

fn half_a_connection_can_end() {
    let (mut a, mut b) = UnixStream::pair().expect("a pair");
    a.shutdown(Shutdown::Write).expect("connected");
    assert_eq!(ready(&b), POLLIN | POLLOUT | POLLRDHUP);
    b.write_all(b"back").expect("room");
    let mut bytes = [0; 8];
    assert_eq!((a.read(&mut bytes).expect("some"), b.read(&mut bytes).expect("the end")), (4, 0));
    assert_eq!(a.write(b"x").expect_err("shut").kind(), ErrorKind::BrokenPipe);
    b.write_all(b"unread").expect("room");
    drop(a);
    assert_eq!(b.read(&mut bytes).expect_err("lost").kind(), ErrorKind::ConnectionReset);
    assert_eq!(b.read(&mut bytes).expect("the end"), 0);
}

fn listeners_accept(address: &SocketAddr) {
    let listener = UnixListener::bind_addr(address).expect("free");
    assert_eq!(UnixListener::bind_addr(address).expect_err("taken").kind(), ErrorKind::AddrInUse);
    assert_eq!(ready(&listener), 0);
    let server = thread::spawn({
        let listener = listener.try_clone().expect("a descriptor");
        move || {
            for _ in 0..20 {
                let (mut stream, _) = listener.accept().expect("a connection");
                let mut line = String::new();
                stream.read_to_string(&mut line).expect("text");
                stream.write_all(line.to_uppercase().as_bytes()).expect("room");
            }
        }
    });
    let clients: Vec<_> = (0..20)
        .map(|number| {
            let address = address.clone();
            thread::spawn(move || {
                let mut stream = UnixStream::connect_addr(&address).expect("a listener");
                assert_eq!(format!("{:?}", stream.peer_addr().expect("connected")), format!("{address:?}"));
                assert!(stream.local_addr().expect("no name").is_unnamed());
                write!(stream, "client {number}").expect("room");
                stream.shutdown(Shutdown::Write).expect("connected");
                let mut line = String::new();
                stream.read_to_string(&mut line).expect("text");
                assert_eq!(line, format!("CLIENT {number}"));
            })
        })
        .collect();
    clients.into_iter().for_each(|client| client.join().expect("served"));
    server.join().expect("all served");
    let waiting = UnixStream::connect_addr(address).expect("a place in the queue");
    assert_eq!(ready(&listener), POLLIN);
    drop(listener);
    assert_eq!((&waiting).read(&mut [0]).expect_err("never accepted").kind(), ErrorKind::ConnectionReset);
    assert_eq!(UnixStream::connect_addr(address).expect_err("nobody").kind(), ErrorKind::ConnectionRefused);
}

fn datagrams_keep_their_borders(folder: &str) {
    let (a, b) = UnixDatagram::pair().expect("a pair");
    for message in [&b"one"[..], b"", b"three"] {
        a.send(message).expect("room");
    }
    let mut bytes = [0; 16];
    let lengths = [(); 3].map(|()| b.recv(&mut bytes[..4]).expect("a message"));
    assert_eq!(lengths, [3, 0, 4]);
    let (first, second) = (format!("{folder}/first"), format!("{folder}/second"));
    let receiver = UnixDatagram::bind(&first).expect("free");
    let sender = UnixDatagram::bind(&second).expect("free");
    sender.send_to(b"to a name", &first).expect("room");
    let peeked = unsafe { recv(receiver.as_raw_fd(), bytes.as_mut_ptr().cast(), 2, MSG_PEEK | MSG_TRUNC) };
    let (count, from) = receiver.recv_from(&mut bytes).expect("a message");
    assert_eq!((peeked, count, from.as_pathname().expect("a path").to_str()), (9, 9, Some(&second[..])));
    assert_eq!(
        UnixDatagram::unbound().expect("made").send_to(b"x", "/nowhere").expect_err("none").kind(),
        ErrorKind::NotFound
    );
    assert_eq!(sender.send(b"x").expect_err("no peer").kind(), ErrorKind::NotConnected);
    sender.connect(&first).expect("there");
    drop(receiver);
    assert_eq!(sender.send(b"x").expect_err("gone").kind(), ErrorKind::ConnectionRefused);
    b.set_nonblocking(true).expect("allowed");
    a.set_nonblocking(true).expect("allowed");
    let sent = (0..100_000).take_while(|_| a.send(&[0; 1000]).is_ok()).count();
    assert!((50..1000).contains(&sent), "{sent}");
    assert_eq!((0..sent).filter(|_| b.recv(&mut bytes).is_ok()).count(), sent);
}

fn files_go_along() {
    let (a, b) = UnixStream::pair().expect("a pair");
    let (mut reader, writer) = std::io::pipe().expect("a pipe");
    let mut byte = *b"!";
    let mut vector = iovec { iov_base: byte.as_mut_ptr().cast(), iov_len: 1 };
    let mut control = [0u64; 8];
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    message.msg_iov = &mut vector;
    message.msg_iovlen = 1;
    message.msg_control = control.as_mut_ptr().cast();
    message.msg_controllen = unsafe { CMSG_SPACE(4) } as _;
    let header = unsafe { &mut *CMSG_FIRSTHDR(&message) };
    (header.cmsg_level, header.cmsg_type, header.cmsg_len) = (SOL_SOCKET, SCM_RIGHTS, unsafe { CMSG_LEN(4) } as _);
    unsafe { CMSG_DATA(header).cast::<i32>().write_unaligned(writer.as_raw_fd()) };
    assert_eq!(unsafe { sendmsg(a.as_raw_fd(), &message, 0) }, 1);
    drop(writer);
    message.msg_controllen = size_of_val(&control) as _;
    assert_eq!(unsafe { recvmsg(b.as_raw_fd(), &mut message, MSG_CMSG_CLOEXEC) }, 1);
    let header = unsafe { &*CMSG_FIRSTHDR(&message) };
    assert_eq!((header.cmsg_type, header.cmsg_len as u32), (SCM_RIGHTS, unsafe { CMSG_LEN(4) }));
    let file = unsafe { OwnedFd::from_raw_fd(CMSG_DATA(header).cast::<i32>().read_unaligned()) };
    assert_eq!(unsafe { fcntl(file.as_raw_fd(), F_GETFD) }, FD_CLOEXEC);
    let mut writer = std::io::PipeWriter::from(file);
    writer.write_all(b"through a passed file").expect("a reader");
    drop(writer);
    let mut text = String::new();
    reader.read_to_string(&mut text).expect("text");
    assert_eq!(text, "through a passed file");
}

fn mistakes() {
    let fresh = unsafe { OwnedFd::from_raw_fd(socket(AF_UNIX, SOCK_STREAM, 0)) };
    assert_eq!(ready(&fresh), POLLOUT | POLLHUP);
    let file = fresh.as_raw_fd();
    assert_eq!((unsafe { send(file, [0].as_ptr().cast(), 1, MSG_NOSIGNAL) }, errno()), (-1, ENOTCONN));
    assert_eq!((unsafe { recv(file, [0u8].as_mut_ptr().cast(), 1, 0) }, errno()), (-1, EINVAL));
    assert_eq!((unsafe { listen(file, 1) }, errno()), (-1, EINVAL));
    assert_eq!((unsafe { accept(0, std::ptr::null_mut(), std::ptr::null_mut()) }, errno()), (-1, ENOTSOCK));
    assert_eq!((unsafe { socket(AF_UNIX, 77, 0) }, errno()), (-1, EINVAL));
    assert_eq!((unsafe { socket(AF_UNIX, 6, 0) }, errno()), (-1, ESOCKTNOSUPPORT));
    let family: sa_family_t = AF_UNIX as sa_family_t;
    assert_eq!(unsafe { bind(file, (&raw const family).cast(), 2) }, 0, "a name is found");
    let stream = UnixStream::from(fresh);
    assert_eq!(stream.local_addr().expect("named").as_abstract_name().map(<[u8]>::len), Some(5));
}

fn main() {
    let folder = std::env::temp_dir().join(format!("sockets-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a place for names");
    let folder = folder.to_str().expect("text");
    pairs_carry_bytes_both_ways();
    much_goes_through_little_room();
    half_a_connection_can_end();
    listeners_accept(&SocketAddr::from_pathname(format!("{folder}/listener")).expect("short"));
    listeners_accept(&SocketAddr::from_abstract_name(format!("{folder}/listener")).expect("short"));
    datagrams_keep_their_borders(folder);
    files_go_along();
    mistakes();
    std::fs::remove_dir_all(folder).expect("made above");
    println!("all as on Linux");
}
