//! UDP from a program to itself in every way there is, with the results that Linux has: passes as a process of Linux, too.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every call takes numbers, or pointers to locals that outlive it"
)]

use libc::*;
use programs::{Control, control_messages, errno, ready};
use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::os::fd::{AsRawFd, FromRawFd};
use std::thread;
use std::time::{Duration, Instant};

fn bound(ip: &str) -> (UdpSocket, SocketAddr) {
    let socket = UdpSocket::bind((ip, 0)).expect("a port is free");
    let address = socket.local_addr().expect("bound");
    (socket, address)
}

fn messages_keep_their_borders(ip: &str) {
    let ((a, from), (b, to)) = (bound(ip), bound(ip));
    assert_eq!((ready(&a), ready(&b)), (POLLOUT, POLLOUT));
    for message in [&b"one"[..], b"", b"three"] {
        assert_eq!(a.send_to(message, to).expect("room"), message.len());
    }
    let mut bytes = [0; 16];
    assert_eq!((ready(&b), b.peek_from(&mut bytes).expect("a message")), (POLLIN | POLLOUT, (3, from)));
    let mut waiting = 0i32;
    assert_eq!((unsafe { ioctl(b.as_raw_fd(), FIONREAD, &mut waiting) }, waiting), (0, 3));
    let got = [(); 3].map(|()| b.recv_from(&mut bytes[..4]).expect("a message"));
    assert_eq!(got, [(3, from), (0, from), (4, from)]);
    b.set_nonblocking(true).expect("allowed");
    assert_eq!(b.recv_from(&mut bytes).expect_err("nothing").kind(), ErrorKind::WouldBlock);
    b.set_nonblocking(false).expect("allowed");
    b.set_read_timeout(Some(Duration::from_millis(30))).expect("allowed");
    let start = Instant::now();
    assert_eq!(b.recv_from(&mut bytes).expect_err("nothing").kind(), ErrorKind::WouldBlock);
    assert!(start.elapsed() >= Duration::from_millis(29));
    a.send_to(b"truncated", to).expect("room");
    let length = unsafe { recv(b.as_raw_fd(), bytes.as_mut_ptr().cast(), 3, MSG_TRUNC) };
    assert_eq!((length, &bytes[..3]), (9, &b"tru"[..]));
    a.send_to(&[7; 60_000], to).expect("room");
    assert_eq!(b.recv(&mut [0; 65536]).expect("whole"), 60_000);
    assert_eq!(a.send_to(&[7; 65_530], to).expect_err("too long").raw_os_error(), Some(EMSGSIZE));
    let thread = thread::spawn(move || {
        thread::sleep(Duration::from_millis(5));
        a.send_to(b"later", to).expect("room");
    });
    b.set_read_timeout(None).expect("allowed");
    assert_eq!(b.recv(&mut bytes).expect("waited for"), 5);
    thread.join().expect("sent");
}

fn vectors_and_many_messages_go_at_once() {
    let ((a, from), (b, to)) = (bound("127.0.0.1"), bound("127.0.0.1"));
    a.connect(to).expect("there");
    let parts = [&b"in "[..], b"several ", b"parts"];
    let mut vectors = parts.map(|part| iovec { iov_base: part.as_ptr().cast_mut().cast(), iov_len: part.len() });
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (vectors.as_mut_ptr(), 3);
    assert_eq!(unsafe { sendmsg(a.as_raw_fd(), &message, 0) }, 16);
    let (mut first, mut second, mut name) = ([0u8; 4], [0u8; 4], [0u8; 32]);
    let mut vectors = [&mut first, &mut second].map(|part| iovec { iov_base: part.as_mut_ptr().cast(), iov_len: 4 });
    (message.msg_iov, message.msg_iovlen) = (vectors.as_mut_ptr(), 2);
    (message.msg_name, message.msg_namelen) = (name.as_mut_ptr().cast(), 32);
    assert_eq!(unsafe { recvmsg(b.as_raw_fd(), &mut message, 0) }, 8);
    assert_eq!((&first, &second, message.msg_flags, message.msg_namelen), (b"in s", b"ever", MSG_TRUNC, 16));
    assert_eq!(name[2..8], [&from.port().to_be_bytes()[..], &[127, 0, 0, 1]].concat());
}

fn who_is_connected_hears_only_one() {
    let ((a, from), (b, to), (c, _)) = (bound("127.0.0.1"), bound("127.0.0.1"), bound("127.0.0.1"));
    let mut bytes = [0; 16];
    b.connect(from).expect("there");
    assert_eq!((b.peer_addr().expect("set"), a.peer_addr().is_err()), (from, true));
    c.send_to(b"from another", to).expect("room");
    a.send_to(b"from the one", to).expect("room");
    assert_eq!((b.recv(&mut bytes).expect("a message"), &bytes[..12]), (12, &b"from the one"[..]));
    assert_eq!(ready(&b), POLLOUT);
    b.send(b"back").expect("room");
    assert_eq!(a.recv_from(&mut bytes).expect("a message"), (4, to));
    let none = sockaddr { sa_family: AF_UNSPEC as _, sa_data: [0; 14] };
    assert_eq!(unsafe { connect(b.as_raw_fd(), &none, 16) }, 0);
    assert_eq!(b.send(b"to whom").expect_err("nobody").raw_os_error(), Some(EDESTADDRREQ));
    c.send_to(b"from another", b.local_addr().expect("bound")).expect("room");
    assert_eq!(b.recv(&mut bytes).expect("a message"), 12);
}

fn nobody_is_there() {
    let gone = bound("127.0.0.1").1;
    let (a, _) = bound("127.0.0.1");
    assert_eq!(a.send_to(b"lost", gone).expect("sent"), 4);
    a.connect(gone).expect("anything goes");
    assert_eq!((a.send(b"lost").expect("sent"), ready(&a)), (4, POLLOUT | POLLERR));
    assert_eq!(a.recv(&mut [0]).expect_err("told").kind(), ErrorKind::ConnectionRefused);
    a.send(b"lost").expect("sent");
    assert_eq!(a.send(b"lost").expect_err("told").kind(), ErrorKind::ConnectionRefused);
    a.send(b"lost").expect("sent");
    assert_eq!(a.take_error().expect("asked").map(|error| error.kind()), Some(ErrorKind::ConnectionRefused));
    assert_eq!((ready(&a), a.take_error().expect("asked").is_none()), (POLLOUT, true));
}

fn a_full_socket_loses_what_comes() {
    let ((a, _), (b, to)) = (bound("127.0.0.1"), bound("127.0.0.1"));
    for _ in 0..10_000 {
        assert_eq!(a.send_to(&[1; 1000], to).expect("sent"), 1000);
    }
    b.set_nonblocking(true).expect("allowed");
    let kept = (0..10_000).take_while(|_| b.recv(&mut [0; 1000]).is_ok()).count();
    assert!((50..1000).contains(&kept), "{kept}");
    a.send_to(b"again", to).expect("sent");
    assert_eq!(b.recv(&mut [0; 8]).expect("room again"), 5);
}

fn addresses_are_shared_as_agreed() {
    let (first, address) = bound("127.0.0.1");
    assert_eq!(UdpSocket::bind(address).expect_err("taken").kind(), ErrorKind::AddrInUse);
    assert_eq!(UdpSocket::bind(("0.0.0.0", address.port())).expect_err("taken").kind(), ErrorKind::AddrInUse);
    drop(std::net::TcpListener::bind(address).expect("another protocol"));
    drop(first);
    drop(UdpSocket::bind(address).expect("free again"));
    let (all, address) = bound("::");
    let (v4, from) = bound("127.0.0.1");
    let mut bytes = [0; 8];
    v4.send_to(b"v4", ("127.0.0.1", address.port())).expect("room");
    let (length, seen) = all.recv_from(&mut bytes).expect("a message");
    assert_eq!((length, seen.to_string()), (2, format!("[::ffff:127.0.0.1]:{}", from.port())));
    all.send_to(b"back", seen).expect("room");
    assert_eq!(v4.recv_from(&mut bytes).expect("a message"), (4, ([127, 0, 0, 1], address.port()).into()));
    let (exact, to) = bound("127.0.0.1");
    assert_eq!(exact.send_to(b"self", to).expect("room"), 4);
    assert_eq!(exact.recv_from(&mut bytes).expect("a message"), (4, to));
}

/// Returns the ancillary data of the next message, from recvmsg(2): levels, kinds, and data.
fn control(socket: &UdpSocket) -> Vec<Control> {
    let (mut bytes, mut room) = ([0u8; 16], [0u64; 32]);
    let mut vector = iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&mut vector, 1);
    (message.msg_control, message.msg_controllen) = (room.as_mut_ptr().cast(), size_of_val(&room) as _);
    assert_eq!(unsafe { recvmsg(socket.as_raw_fd(), &mut message, 0) }, 1);
    control_messages(&message)
}

fn messages_tell_where_they_went() {
    let set = |socket: &UdpSocket, level, name, value: i32| {
        assert_eq!(unsafe { setsockopt(socket.as_raw_fd(), level, name, (&raw const value).cast(), 4) }, 0);
    };
    let (a, _) = bound("127.0.0.1");
    let (all, address) = bound("::");
    set(&a, IPPROTO_IP, IP_TOS, 0x20);
    let v4 = UdpSocket::bind("0.0.0.0:0").expect("a port is free");
    set(&v4, IPPROTO_IP, IP_PKTINFO, 1);
    set(&v4, IPPROTO_IP, IP_RECVTOS, 1);
    a.send_to(b"x", ("127.0.0.2", v4.local_addr().expect("bound").port())).expect("room");
    let interface = 1u32.to_ne_bytes();
    let to = [127, 0, 0, 2];
    assert_eq!(
        control(&v4),
        [(IPPROTO_IP, IP_PKTINFO, [interface, to, to].concat()), (IPPROTO_IP, IP_TOS, vec![0x20])]
    );
    set(&all, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    set(&all, IPPROTO_IPV6, IPV6_RECVTCLASS, 1);
    let (b, _) = bound("::1");
    b.send_to(b"x", ("::1", address.port())).expect("room");
    let to = std::net::Ipv6Addr::LOCALHOST.octets();
    assert_eq!(
        control(&all),
        [(IPPROTO_IPV6, IPV6_PKTINFO, [&to[..], &interface].concat()), (IPPROTO_IPV6, IPV6_TCLASS, vec![0; 4])]
    );
}

fn options_are_remembered() {
    let (a, _) = bound("127.0.0.1");
    a.set_ttl(9).expect("allowed");
    a.set_multicast_ttl_v4(3).expect("allowed");
    a.set_multicast_loop_v4(false).expect("allowed");
    let error = a.send_to(b"to all", "255.255.255.255:9").expect_err("not said");
    assert_eq!(error.kind(), ErrorKind::PermissionDenied);
    a.set_broadcast(true).expect("allowed");
    assert_eq!((a.ttl().expect("set"), a.multicast_ttl_v4().expect("set")), (9, 3));
    assert_eq!((a.multicast_loop_v4().expect("set"), a.broadcast().expect("set")), (false, true));
    let (b, _) = bound("::1");
    b.set_multicast_loop_v6(false).expect("allowed");
    assert!(!b.multicast_loop_v6().expect("set"));
}

fn mistakes() {
    let fresh = || unsafe { UdpSocket::from_raw_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0)) };
    let file = fresh();
    assert_eq!(ready(&file), POLLOUT);
    assert_eq!((unsafe { listen(file.as_raw_fd(), 1) }, errno()), (-1, EOPNOTSUPP));
    assert_eq!((unsafe { shutdown(file.as_raw_fd(), SHUT_RDWR) }, errno()), (-1, ENOTCONN));
    let all = POLLIN | POLLOUT | POLLHUP | POLLRDHUP;
    assert_eq!(
        (ready(&file), file.send_to(b"x", "127.0.0.1:9").expect_err("shut").kind()),
        (all, ErrorKind::BrokenPipe)
    );
    let file = fresh();
    assert_eq!(file.send_to(b"x", "127.0.0.1:0").expect_err("no port").kind(), ErrorKind::InvalidInput);
    assert_eq!(file.send(b"x").expect_err("to whom").raw_os_error(), Some(EDESTADDRREQ));
    file.send_to(b"x", "127.0.0.1:9").expect("sent");
    assert_ne!(file.local_addr().expect("bound by the way").port(), 0);
    let address = file.local_addr().expect("bound");
    assert_eq!(address.ip().to_string(), "0.0.0.0");
}

fn interfaces_have_names() {
    let mut name = [0; IF_NAMESIZE];
    assert_eq!(unsafe { if_nametoindex(c"lo".as_ptr()) }, 1);
    assert_eq!(unsafe { if_nametoindex(c"no-such-thing".as_ptr()) }, 0);
    assert!(!unsafe { if_indextoname(1, name.as_mut_ptr()) }.is_null());
    assert_eq!(name[..3].iter().map(|byte| *byte as u8).collect::<Vec<_>>(), b"lo\0");
    assert!(unsafe { if_indextoname(4711, name.as_mut_ptr()) }.is_null());
}

fn main() {
    messages_keep_their_borders("127.0.0.1");
    messages_keep_their_borders("::1");
    vectors_and_many_messages_go_at_once();
    who_is_connected_hears_only_one();
    nobody_is_there();
    a_full_socket_loses_what_comes();
    addresses_are_shared_as_agreed();
    messages_tell_where_they_went();
    options_are_remembered();
    interfaces_have_names();
    mistakes();
    println!("all as on Linux");
}
