//! TCP from a program to itself in every way there is, with the results that Linux has: passes as a process of Linux, too.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every call takes numbers, or pointers to locals that outlive it"
)]

use libc::*;
use programs::{errno, ready};
use std::io::{ErrorKind, IoSlice, IoSliceMut, Read, Write};
use std::net::{Ipv6Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::thread;
use std::time::{Duration, Instant};

fn fresh(family: i32, flags: i32) -> OwnedFd {
    let file = unsafe { socket(family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0) };
    assert!(file >= 0, "{}", errno());
    unsafe { OwnedFd::from_raw_fd(file) }
}

fn address_v4(ip: [u8; 4], port: u16) -> sockaddr_in {
    sockaddr_in {
        sin_family: AF_INET as _,
        sin_port: port.to_be(),
        sin_addr: in_addr { s_addr: u32::from_ne_bytes(ip) },
        sin_zero: [0; 8],
    }
}

/// Returns the result of `call` with a socket and an address: 0, or the number of the error.
fn with_address(call: unsafe extern "C" fn(i32, *const sockaddr, u32) -> i32, file: &impl AsRawFd, port: u16) -> i32 {
    let address = address_v4([127, 0, 0, 1], port);
    match unsafe { call(file.as_raw_fd(), (&raw const address).cast(), 16) } {
        0 => 0,
        _ => errno(),
    }
}

fn option(file: &impl AsRawFd, level: i32, name: i32) -> i32 {
    let (mut value, mut length) = (-1, 4);
    let result = unsafe { getsockopt(file.as_raw_fd(), level, name, (&raw mut value).cast(), &mut length) };
    if result == 0 { value } else { -errno() }
}

fn set_option(file: &impl AsRawFd, level: i32, name: i32, value: i32) -> i32 {
    match unsafe { setsockopt(file.as_raw_fd(), level, name, (&raw const value).cast(), 4) } {
        0 => 0,
        _ => errno(),
    }
}

fn listener(ip: &str) -> TcpListener {
    TcpListener::bind((ip, 0)).expect("a port is free")
}

fn pair() -> (TcpStream, TcpStream) {
    let listener = listener("127.0.0.1");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    (client, listener.accept().expect("connected").0)
}

fn bytes_go_both_ways(ip: &str) {
    let listener = listener(ip);
    assert_eq!(ready(&listener), 0);
    let mut a = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    assert_eq!(ready(&listener), POLLIN);
    let (mut b, from) = listener.accept().expect("connected");
    assert_eq!((from, b.local_addr().expect("set")), (a.local_addr().expect("set"), a.peer_addr().expect("set")));
    assert_eq!((b.peer_addr().expect("set"), from.ip()), (from, ip.parse().expect("an address")));
    assert_eq!((ready(&a), ready(&b)), (POLLOUT, POLLOUT));
    a.write_all(b"hello").expect("room");
    assert_eq!(a.write_vectored(&[IoSlice::new(b" and"), IoSlice::new(b" more")]).expect("room"), 9);
    let mut bytes = [0; 64];
    assert_eq!((b.peek(&mut bytes).expect("some"), &bytes[..14]), (14, &b"hello and more"[..]));
    assert_eq!((ready(&b), b.read(&mut bytes[..5]).expect("some")), (POLLIN | POLLOUT, 5));
    let mut waiting = 0i32;
    assert_eq!(unsafe { ioctl(b.as_raw_fd(), FIONREAD, &mut waiting) }, 0);
    let (first, second) = bytes.split_at_mut(2);
    let count = b.read_vectored(&mut [IoSliceMut::new(first), IoSliceMut::new(second)]).expect("some");
    assert_eq!((waiting, &bytes[..count]), (9, &b" and more"[..]));
    b.set_nonblocking(true).expect("allowed");
    assert_eq!(b.read(&mut bytes).expect_err("nothing").kind(), ErrorKind::WouldBlock);
    b.set_nonblocking(false).expect("allowed");
    let result = unsafe { recv(b.as_raw_fd(), bytes.as_mut_ptr().cast(), 8, MSG_DONTWAIT) };
    assert_eq!((result, errno()), (-1, EAGAIN));
    let result = unsafe { recv(b.as_raw_fd(), bytes.as_mut_ptr().cast(), 8, MSG_ERRQUEUE) };
    assert_eq!((result, errno()), (-1, EAGAIN));
    b.set_read_timeout(Some(Duration::from_millis(40))).expect("allowed");
    let start = Instant::now();
    assert_eq!(b.read(&mut bytes).expect_err("nothing").kind(), ErrorKind::WouldBlock);
    assert!(start.elapsed() >= Duration::from_millis(39));
    assert_eq!(b.read_timeout().expect("set"), Some(Duration::from_millis(40)));
    drop(a);
    assert_eq!((b.read(&mut bytes).expect("the end"), ready(&b)), (0, POLLIN | POLLOUT | POLLRDHUP));
}

fn all_that_is_asked_for_is_waited_for() {
    let (mut a, b) = pair();
    let reader = thread::spawn(move || {
        let mut bytes = [0u8; 10];
        let count = unsafe { recv(b.as_raw_fd(), bytes.as_mut_ptr().cast(), 10, MSG_WAITALL) };
        (count, bytes)
    });
    for part in [&b"012"[..], b"345", b"6789"] {
        a.write_all(part).expect("room");
        thread::sleep(Duration::from_millis(5));
    }
    assert_eq!(reader.join().expect("read"), (10, *b"0123456789"));
}

fn much_goes_through_little_room() {
    let (mut a, mut b) = pair();
    let sent: Vec<u8> = (0..3_000_000u32).map(|number| (number / 3) as u8).collect();
    let expected = sent.clone();
    // A single call takes all bytes.
    let writer = thread::spawn(move || assert_eq!(a.write(&sent).expect("a reader"), sent.len()));
    let mut received = Vec::new();
    b.read_to_end(&mut received).expect("bytes");
    writer.join().expect("written");
    assert!(received == expected);
    let (mut a, mut b) = pair();
    a.set_nonblocking(true).expect("allowed");
    let mut sent = 0;
    while let Ok(count) = a.write(&[7; 10_000]) {
        sent += count;
    }
    assert_eq!((sent > 100_000, ready(&a)), (true, 0));
    a.set_write_timeout(Some(Duration::from_millis(30))).expect("allowed");
    a.set_nonblocking(false).expect("allowed");
    assert_eq!(a.write(&[7]).expect_err("no room").kind(), ErrorKind::WouldBlock);
    b.read_exact(&mut vec![0; sent]).expect("all of it");
    assert_eq!(ready(&a), POLLOUT);
}

fn half_a_connection_can_end() {
    let (mut a, mut b) = pair();
    a.shutdown(Shutdown::Write).expect("connected");
    assert_eq!((ready(&a), ready(&b)), (POLLOUT, POLLIN | POLLOUT | POLLRDHUP));
    b.write_all(b"back").expect("room");
    let mut bytes = [0; 8];
    assert_eq!((a.read(&mut bytes).expect("some"), b.read(&mut bytes).expect("the end")), (4, 0));
    assert_eq!(a.write(b"x").expect_err("shut").kind(), ErrorKind::BrokenPipe);
    b.shutdown(Shutdown::Write).expect("connected");
    let all = POLLIN | POLLOUT | POLLRDHUP | POLLHUP;
    assert_eq!((ready(&a), ready(&b), a.read(&mut bytes).expect("the end")), (all, all, 0));
    assert_eq!(b.shutdown(Shutdown::Both).expect_err("over").kind(), ErrorKind::NotConnected);
    let (a, mut b) = pair();
    a.shutdown(Shutdown::Read).expect("connected");
    assert_eq!((ready(&a), (&a).read(&mut bytes).expect("shut")), (POLLIN | POLLOUT | POLLRDHUP, 0));
    b.write_all(b"still arrives").expect("room");
    assert_eq!((&a).read(&mut bytes).expect("some"), 8);
}

fn connections_end_badly() {
    let mut bytes = [0; 8];
    let (mut a, mut b) = pair();
    b.write_all(b"unread").expect("room");
    a.write_all(b"read").expect("room");
    drop(a);
    assert_eq!(ready(&b), POLLIN | POLLOUT | POLLERR | POLLHUP | POLLRDHUP);
    assert_eq!(b.read(&mut bytes).expect("it arrived before the reset"), 4);
    assert_eq!(b.read(&mut bytes).expect_err("lost").kind(), ErrorKind::ConnectionReset);
    assert_eq!(b.read(&mut bytes).expect("the end"), 0);
    assert_eq!(b.write(b"x").expect_err("over").kind(), ErrorKind::BrokenPipe);
    assert_eq!(b.peer_addr().expect_err("over").kind(), ErrorKind::NotConnected);
    let (a, mut b) = pair();
    drop(a);
    assert_eq!(b.write(b"nobody has said no").expect("on its way"), 18);
    assert_eq!(b.write(b"x").expect_err("nobody").kind(), ErrorKind::BrokenPipe);
    let (a, b) = pair();
    let linger = linger { l_onoff: 1, l_linger: 0 };
    let set = unsafe { setsockopt(a.as_raw_fd(), SOL_SOCKET, SO_LINGER, (&raw const linger).cast(), 8) };
    drop(a);
    assert_eq!((set, option(&b, SOL_SOCKET, SO_ERROR), option(&b, SOL_SOCKET, SO_ERROR)), (0, ECONNRESET, 0));
    let (a, b) = pair();
    drop(a);
    (&b).write_all(b"x").expect("on its way");
    let sent = unsafe { send(b.as_raw_fd(), b"x".as_ptr().cast(), 1, MSG_NOSIGNAL) };
    assert_eq!((sent, errno()), (-1, EPIPE));
    let sent = unsafe { send(b.as_raw_fd(), b"x".as_ptr().cast(), 1, MSG_NOSIGNAL | MSG_DONTWAIT) };
    assert_eq!((sent, errno()), (-1, EPIPE));
}

fn bursts_find_room() {
    let listening = fresh(AF_INET, 0);
    assert_eq!(with_address(bind, &listening, 0), 0);
    assert_eq!(unsafe { listen(listening.as_raw_fd(), 1024) }, 0);
    let listener = TcpListener::from(listening);
    let port = listener.local_addr().expect("bound").port();
    let mut clients: Vec<TcpStream> = (0..400)
        .map(|number: u32| {
            let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a place in the queue");
            stream.write_all(&number.to_ne_bytes()).expect("room");
            stream
        })
        .collect();
    for client in &mut clients {
        let (mut stream, from) = listener.accept().expect("it waits");
        let mut bytes = [0; 4];
        stream.read_exact(&mut bytes).expect("sent");
        assert_eq!(from, client.local_addr().expect("set"));
        stream.write_all(&bytes).expect("room");
        let mut back = [0; 4];
        client.read_exact(&mut back).expect("sent");
        assert_eq!(bytes, back);
    }
    drop(clients);
    let threads: Vec<_> = (0..1000)
        .map(|_| {
            thread::Builder::new().stack_size(16 << 10).spawn(move || {
                let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("a listener");
                stream.write_all(b"x").expect("room");
                let mut answer = Vec::new();
                stream.read_to_end(&mut answer).expect("an answer");
                assert_eq!(answer, b"X");
            })
        })
        .collect();
    for _ in &threads {
        let (mut stream, _) = listener.accept().expect("a connection");
        stream.read_exact(&mut [0]).expect("sent");
        stream.write_all(b"X").expect("room");
    }
    threads.into_iter().for_each(|thread| thread.expect("started").join().expect("answered"));
}

fn queues_are_as_long_as_was_said() {
    let listening = fresh(AF_INET, 0);
    assert_eq!(with_address(bind, &listening, 0), 0);
    assert_eq!(unsafe { listen(listening.as_raw_fd(), 1) }, 0);
    let listener = TcpListener::from(listening);
    let port = listener.local_addr().expect("bound").port();
    let clients = [(); 3].map(|()| fresh(AF_INET, SOCK_NONBLOCK));
    for client in &clients {
        assert_eq!(with_address(connect, client, port), EINPROGRESS);
    }
    // As on Linux, a backlog of one has room for two connections.
    assert_eq!(clients.each_ref().map(ready), [POLLOUT, POLLOUT, 0]);
    assert_eq!(with_address(connect, &clients[2], port), EALREADY);
    drop(listener.accept().expect("it waits"));
    let mut entry = pollfd { fd: clients[2].as_raw_fd(), events: POLLOUT, revents: 0 };
    assert_eq!((unsafe { poll(&mut entry, 1, 10_000) }, entry.revents), (1, POLLOUT));
    assert_eq!(option(&clients[2], SOL_SOCKET, SO_ERROR), 0);
    assert_eq!(with_address(connect, &clients[2], port), 0);
    assert_eq!(with_address(connect, &clients[2], port), EISCONN);
    drop(listener);
    assert_eq!(option(&clients[1], SOL_SOCKET, SO_ERROR), ECONNRESET);
}

fn nobody_listens() {
    let free = listener("127.0.0.1").local_addr().expect("bound");
    assert_eq!(TcpStream::connect(free).expect_err("nobody").kind(), ErrorKind::ConnectionRefused);
    let client = fresh(AF_INET, SOCK_NONBLOCK);
    assert_eq!(ready(&client), POLLOUT | POLLHUP);
    assert_eq!(with_address(connect, &client, free.port()), EINPROGRESS);
    assert_eq!(ready(&client), POLLIN | POLLOUT | POLLRDHUP | POLLERR | POLLHUP);
    assert_eq!(option(&client, SOL_SOCKET, SO_ERROR), ECONNREFUSED);
    let error = TcpStream::connect_timeout(&free, Duration::from_secs(5)).expect_err("nobody");
    assert_eq!(error.kind(), ErrorKind::ConnectionRefused);
    let client = fresh(AF_INET, 0);
    assert_eq!(with_address(connect, &client, free.port()), ECONNREFUSED);
    let listener = listener("127.0.0.1");
    let port = listener.local_addr().expect("bound").port();
    assert_eq!(with_address(connect, &client, port), 0);
    assert_eq!(with_address(connect, &client, port), EISCONN);
}

fn addresses_are_shared_as_agreed() {
    let first = listener("127.0.0.1");
    let address = first.local_addr().expect("bound");
    assert_eq!(TcpListener::bind(address).expect_err("taken").kind(), ErrorKind::AddrInUse);
    assert_eq!(TcpListener::bind(("0.0.0.0", address.port())).expect_err("taken").kind(), ErrorKind::AddrInUse);
    assert_eq!(TcpListener::bind(("::", address.port())).expect_err("taken").kind(), ErrorKind::AddrInUse);
    drop(TcpListener::bind(("::1", address.port())).expect("another address"));
    drop(TcpListener::bind(("127.0.0.2", address.port())).expect("another address"));
    assert_eq!(TcpListener::bind("192.0.2.1:0").expect_err("another's").kind(), ErrorKind::AddrNotAvailable);
    drop(first);
    drop(TcpListener::bind(address).expect("free again"));
    let both = [(); 2].map(|()| {
        let file = fresh(AF_INET, 0);
        assert_eq!(set_option(&file, SOL_SOCKET, SO_REUSEPORT, 1), 0);
        file
    });
    assert_eq!(with_address(bind, &both[0], address.port()), 0);
    assert_eq!(with_address(bind, &both[1], address.port()), 0);
    assert_eq!(both.each_ref().map(|file| unsafe { listen(file.as_raw_fd(), 8) }), [0, 0]);
    let plain = fresh(AF_INET, 0);
    assert_eq!(with_address(bind, &plain, address.port()), EADDRINUSE);
    assert_eq!(with_address(bind, &both[1], 0), EINVAL);
}

fn one_listener_takes_both_families() {
    let listener = listener("::");
    let port = listener.local_addr().expect("bound").port();
    let v4 = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
    let (accepted, from) = listener.accept().expect("it waits");
    assert_eq!(
        (accepted.local_addr().expect("set").to_string(), from.port()),
        (format!("[::ffff:127.0.0.1]:{port}"), v4.local_addr().expect("set").port())
    );
    let v6 = TcpStream::connect(("::1", port)).expect("it listens");
    assert_eq!(listener.accept().expect("it waits").1, v6.local_addr().expect("set"));
    let mapped = TcpStream::connect((std::net::Ipv4Addr::LOCALHOST.to_ipv6_mapped(), port)).expect("it listens");
    assert_eq!(mapped.peer_addr().expect("set").to_string(), format!("[::ffff:127.0.0.1]:{port}"));
    let only = fresh(AF_INET6, 0);
    assert_eq!(set_option(&only, IPPROTO_IPV6, IPV6_V6ONLY, 1), 0);
    let mut address: sockaddr_in6 = unsafe { std::mem::zeroed() };
    address.sin6_family = AF_INET6 as _;
    assert_eq!(unsafe { bind(only.as_raw_fd(), (&raw const address).cast(), 28) }, 0);
    assert_eq!(unsafe { listen(only.as_raw_fd(), 8) }, 0);
    assert_eq!(set_option(&only, IPPROTO_IPV6, IPV6_V6ONLY, 0), EINVAL);
    let only = TcpListener::from(only);
    let port = only.local_addr().expect("bound").port();
    assert_eq!(TcpStream::connect(("127.0.0.1", port)).expect_err("not it").kind(), ErrorKind::ConnectionRefused);
    drop(TcpStream::connect((Ipv6Addr::LOCALHOST, port)).expect("it listens"));
    let any: SocketAddr = format!("[::]:{port}").parse().expect("an address");
    assert_eq!(TcpStream::connect(any).expect("itself").peer_addr().expect("set").ip(), Ipv6Addr::LOCALHOST);
}

fn options_are_remembered() {
    let (a, _b) = pair();
    a.set_nodelay(true).expect("allowed");
    a.set_ttl(17).expect("allowed");
    assert_eq!((a.nodelay().expect("set"), a.ttl().expect("set")), (true, 17));
    let set = [
        (SOL_SOCKET, SO_KEEPALIVE, 1),
        (IPPROTO_TCP, TCP_KEEPIDLE, 60),
        (IPPROTO_TCP, TCP_KEEPINTVL, 5),
        (IPPROTO_TCP, TCP_KEEPCNT, 3),
        (IPPROTO_TCP, TCP_USER_TIMEOUT, 1000),
        (IPPROTO_TCP, TCP_QUICKACK, 1),
        (IPPROTO_IP, IP_TOS, 16),
    ];
    for (level, name, value) in set {
        assert_eq!((set_option(&a, level, name, value), option(&a, level, name)), (0, value));
    }
    assert_eq!((set_option(&a, SOL_SOCKET, SO_RCVBUF, 30_000), option(&a, SOL_SOCKET, SO_RCVBUF)), (0, 60_000));
    assert_eq!((set_option(&a, SOL_SOCKET, SO_SNDBUF, 30_000), option(&a, SOL_SOCKET, SO_SNDBUF)), (0, 60_000));
    assert_eq!((option(&a, SOL_SOCKET, SO_TYPE), option(&a, SOL_SOCKET, SO_DOMAIN)), (SOCK_STREAM, AF_INET));
    assert_eq!((option(&a, SOL_SOCKET, SO_PROTOCOL), option(&a, SOL_SOCKET, SO_ACCEPTCONN)), (IPPROTO_TCP, 0));
    assert_eq!(set_option(&a, IPPROTO_TCP, TCP_KEEPCNT, 1000), EINVAL);
    assert_eq!(set_option(&a, IPPROTO_TCP, 200, 1), ENOPROTOOPT);
}

fn mistakes() {
    let file = fresh(AF_INET, 0);
    assert_eq!((unsafe { send(file.as_raw_fd(), [0].as_ptr().cast(), 1, MSG_NOSIGNAL) }, errno()), (-1, EPIPE));
    assert_eq!((unsafe { recv(file.as_raw_fd(), [0u8].as_mut_ptr().cast(), 1, 0) }, errno()), (-1, ENOTCONN));
    assert_eq!((unsafe { accept(file.as_raw_fd(), [0].as_mut_ptr().cast(), &mut 0) }, errno()), (-1, EINVAL));
    assert_eq!((unsafe { shutdown(file.as_raw_fd(), SHUT_RDWR) }, errno()), (-1, ENOTCONN));
    assert_eq!((unsafe { lseek(file.as_raw_fd(), 0, SEEK_SET) }, errno()), (-1, ESPIPE));
    assert_eq!((unsafe { socket(AF_INET, SOCK_STREAM, IPPROTO_UDP) }, errno()), (-1, EPROTONOSUPPORT));
    assert_eq!((unsafe { socket(AF_INET, SOCK_SEQPACKET, 0) }, errno()), (-1, ESOCKTNOSUPPORT));
    let mut short = [0; 2];
    assert_eq!((unsafe { socketpair(AF_INET, SOCK_STREAM, 0, short.as_mut_ptr()) }, errno()), (-1, EOPNOTSUPP));
    let mut address = address_v4([127, 0, 0, 1], 1);
    assert_eq!((unsafe { connect(file.as_raw_fd(), (&raw const address).cast(), 15) }, errno()), (-1, EINVAL));
    address.sin_family = AF_UNIX as _;
    assert_eq!((unsafe { connect(file.as_raw_fd(), (&raw const address).cast(), 16) }, errno()), (-1, EAFNOSUPPORT));
}

/// Closes both ends of a connection, its listener and a connection in its queue by one call.
fn both_ends_go_at_once() {
    const FIRST: i32 = 200;
    let listener = listener("127.0.0.1");
    let address = listener.local_addr().expect("bound");
    let connect = || TcpStream::connect(address).expect("it listens");
    let (client, waiting) = (connect(), connect());
    let accepted = listener.accept().expect("connected").0;
    let files: [OwnedFd; 4] = [client.into(), accepted.into(), listener.into(), waiting.into()];
    for (file, to) in files.iter().zip(FIRST..) {
        assert_eq!(unsafe { dup2(file.as_raw_fd(), to) }, to);
    }
    drop(files);
    assert_eq!(unsafe { syscall(SYS_close_range, FIRST, FIRST + 3, 0) }, 0, "{}", errno());
    assert!(TcpStream::connect(address).is_err(), "nobody listens any more");
}

fn main() {
    bytes_go_both_ways("127.0.0.1");
    bytes_go_both_ways("::1");
    all_that_is_asked_for_is_waited_for();
    much_goes_through_little_room();
    half_a_connection_can_end();
    connections_end_badly();
    both_ends_go_at_once();
    bursts_find_room();
    queues_are_as_long_as_was_said();
    nobody_listens();
    addresses_are_shared_as_agreed();
    one_listener_takes_both_families();
    options_are_remembered();
    mistakes();
    println!("all as on Linux");
}
