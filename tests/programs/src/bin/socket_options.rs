//! Options of sockets and control data of datagrams, from a program to itself: prints what Linux prints, too.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every call takes numbers, or pointers to locals that outlive it"
)]

use libc::*;
use programs::{Control, control_messages, errno, ready};
use std::fmt::Debug;
use std::io::Write;
use std::net::{SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::time::{SystemTime, UNIX_EPOCH};

const UDP_SEGMENT: i32 = 103;
const UDP_GRO: i32 = 104;

fn set(file: &impl AsRawFd, level: i32, name: i32, value: i32) -> Result<(), i32> {
    let result = unsafe { setsockopt(file.as_raw_fd(), level, name, (&raw const value).cast(), 4) };
    if result == 0 { Ok(()) } else { Err(errno()) }
}

fn bytes(file: &impl AsRawFd, level: i32, name: i32) -> Result<Vec<u8>, i32> {
    let (mut value, mut length) = ([0u8; 300], 300);
    let into = value.as_mut_ptr().cast();
    match unsafe { getsockopt(file.as_raw_fd(), level, name, into, &mut length) } {
        0 => Ok(value[..length as usize].to_vec()),
        _ => Err(errno()),
    }
}

fn get(file: &impl AsRawFd, level: i32, name: i32) -> Result<i32, i32> {
    bytes(file, level, name).map(|value| i32::from_ne_bytes(value[..4].try_into().expect("a number")))
}

fn show(what: &str, value: impl Debug) {
    println!("{what}: {value:?}");
}

fn buffers_are_doubled() {
    let (udp, tcp) =
        (UdpSocket::bind("127.0.0.1:0").expect("a port"), TcpListener::bind("127.0.0.1:0").expect("a port"));
    for (name, option) in [("received", SO_RCVBUF), ("sent", SO_SNDBUF)] {
        for value in [0, 1, 50_000, i32::MAX] {
            let of = |file: &dyn Fn() -> Result<i32, i32>| file();
            let both = (
                of(&|| set(&udp, SOL_SOCKET, option, value).and_then(|()| get(&udp, SOL_SOCKET, option))),
                of(&|| set(&tcp, SOL_SOCKET, option, value).and_then(|()| get(&tcp, SOL_SOCKET, option))),
            );
            if value < i32::MAX {
                show(&format!("bytes {name}, of {value}"), both);
            }
        }
    }
}

fn numbers_are_kept() {
    let udp = UdpSocket::bind("127.0.0.1:0").expect("a port");
    let tcp = TcpListener::bind("127.0.0.1:0").expect("a port");
    let v6 = UdpSocket::bind("[::1]:0").expect("a port");
    for (level, name) in [
        (SOL_SOCKET, SO_TIMESTAMP),
        (SOL_SOCKET, SO_TIMESTAMPNS),
        (SOL_SOCKET, SO_TIMESTAMPING),
        (IPPROTO_IP, IP_RECVTTL),
        (IPPROTO_IP, IP_RECVTOS),
        (IPPROTO_IP, IP_MTU_DISCOVER),
        (IPPROTO_IP, IP_MTU),
        (IPPROTO_UDP, UDP_SEGMENT),
        (IPPROTO_UDP, UDP_GRO),
        (IPPROTO_TCP, TCP_NODELAY),
        (IPPROTO_IPV6, IPV6_RECVHOPLIMIT),
    ] {
        let before = get(&udp, level, name);
        let kept = set(&udp, level, name, 1).and_then(|()| get(&udp, level, name));
        show(&format!("UDP {level}/{name}"), (before, kept));
    }
    for (name, values) in [
        (TCP_KEEPIDLE, [0, 1, 32_768]),
        (TCP_KEEPINTVL, [0, 9, 32_768]),
        (TCP_KEEPCNT, [0, 3, 128]),
        (TCP_SYNCNT, [0, 4, 128]),
        (TCP_USER_TIMEOUT, [0, 5000, -1]),
        (UDP_SEGMENT, [0, 1, 2]),
    ] {
        let kept = values.map(|value| set(&tcp, IPPROTO_TCP, name, value).and_then(|()| get(&tcp, IPPROTO_TCP, name)));
        show(&format!("TCP {name}"), kept);
    }
    show("IPv6 hop limits", set(&v6, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1));
    show("segments", [-1, 0, 65_535, 65_536].map(|length| set(&udp, IPPROTO_UDP, UDP_SEGMENT, length)));
    udp.connect("127.0.0.1:9").expect("an address");
    show("MTU", get(&udp, IPPROTO_IP, IP_MTU));
}

fn interfaces_are_chosen() {
    let bound = |name: &str| {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a port");
        let length = name.len() as u32;
        let at = name.as_ptr().cast();
        let done = match unsafe { setsockopt(socket.as_raw_fd(), SOL_SOCKET, SO_BINDTODEVICE, at, length) } {
            0 => Ok(()),
            _ => Err(errno()),
        };
        (done, bytes(&socket, SOL_SOCKET, SO_BINDTODEVICE), socket)
    };
    for name in ["", "lo", "lo\0", "none-such"] {
        let (done, named, socket) = bound(name);
        socket.send_to(b"x", socket.local_addr().expect("bound")).expect("room");
        show(&format!("bound to {name:?}"), (done, named, socket.recv(&mut [0]).expect("from itself")));
    }
}

fn connections_tell_their_state() {
    let state = |file: &dyn AsRawFd| {
        let file = unsafe { std::os::fd::BorrowedFd::borrow_raw(file.as_raw_fd()) };
        bytes(&file, IPPROTO_TCP, TCP_INFO).map(|info| (info[0], info.len() >= 192))
    };
    let fresh = unsafe { socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0) };
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    show("fresh and listening", (state(&fresh), state(&listener)));
    let mut client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    let (server, _) = listener.accept().expect("a client");
    client.write_all(b"hello").expect("room");
    show("connected", (state(&client), state(&server)));
    client.shutdown(std::net::Shutdown::Write).expect("connected");
    // The acknowledgement of the end may come late.
    while ready(&server) & POLLRDHUP == 0 || state(&client).is_ok_and(|(state, _)| state == 4) {
        std::thread::yield_now();
    }
    show("half closed", (state(&client), state(&server)));
    show("of UDP", state(&UdpSocket::bind("127.0.0.1:0").expect("a port")));
    unsafe { close(fresh) };
}

/// Sends bytes with control messages to `to`.
fn send_with(socket: &UdpSocket, bytes: &[u8], to: SocketAddr, controls: &[Control]) -> Result<isize, i32> {
    let mut room = [0u64; 32];
    let mut vector = iovec { iov_base: bytes.as_ptr().cast_mut().cast(), iov_len: bytes.len() };
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&mut vector, 1);
    (message.msg_control, message.msg_controllen) = (room.as_mut_ptr().cast(), size_of_val(&room) as _);
    let (mut at, mut total) = (unsafe { CMSG_FIRSTHDR(&message) }, 0);
    for (level, kind, data) in controls {
        let header = unsafe { at.as_mut() }.expect("room");
        (header.cmsg_level, header.cmsg_type) = (*level, *kind);
        header.cmsg_len = unsafe { CMSG_LEN(data.len() as u32) } as _;
        unsafe { std::ptr::copy_nonoverlapping(data.as_ptr(), CMSG_DATA(at), data.len()) };
        total += unsafe { CMSG_SPACE(data.len() as u32) };
        at = unsafe { CMSG_NXTHDR(&message, at) };
    }
    message.msg_controllen = total as _;
    socket.connect(to).expect("an address");
    let sent = unsafe { sendmsg(socket.as_raw_fd(), &message, 0) };
    if sent < 0 { Err(errno()) } else { Ok(sent) }
}

/// Receives a datagram: its length, its sender's address, and control messages.
fn receive_with(socket: &UdpSocket) -> (isize, String, Vec<Control>) {
    let (mut bytes, mut room, mut name) = (vec![0u8; 65_536], [0u64; 64], [0u8; 28]);
    let mut vector = iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&mut vector, 1);
    (message.msg_control, message.msg_controllen) = (room.as_mut_ptr().cast(), size_of_val(&room) as _);
    (message.msg_name, message.msg_namelen) = (name.as_mut_ptr().cast(), 28);
    let length = unsafe { recvmsg(socket.as_raw_fd(), &mut message, 0) };
    let told = control_messages(&message);
    let from = if message.msg_namelen == 16 { format!("{:?}", &name[4..8]) } else { format!("{:?}", &name[8..24]) };
    (length, from, told)
}

fn number(value: i32) -> Vec<u8> {
    value.to_ne_bytes().to_vec()
}

fn datagrams_carry_what_is_asked() {
    let (a, b) = (UdpSocket::bind("0.0.0.0:0").expect("a port"), UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let to = b.local_addr().expect("bound");
    for option in [IP_RECVTTL, IP_RECVTOS, IP_PKTINFO] {
        set(&b, IPPROTO_IP, option, 1).expect("known");
    }
    let from = |address: [u8; 4]| (IPPROTO_IP, IP_PKTINFO, [number(0), address.to_vec(), vec![0; 4]].concat());
    let cases: [&[Control]; 5] = [
        &[],
        &[(IPPROTO_IP, IP_TTL, number(9))],
        &[(IPPROTO_IP, IP_TOS, number(0x2c)), (IPPROTO_IP, IP_TTL, number(255))],
        &[(IPPROTO_IP, IP_TOS, vec![0x28])],
        &[from([127, 0, 0, 5])],
    ];
    for case in cases {
        let sent = send_with(&a, b"four", to, case);
        show("sent and received", (case, sent, receive_with(&b)));
    }
    let mistakes: [Control; 6] = [
        (IPPROTO_IP, IP_TTL, number(0)),
        (IPPROTO_IP, IP_TTL, number(256)),
        (IPPROTO_IP, IP_TOS, number(256)),
        (IPPROTO_IP, IP_PKTINFO, vec![0; 8]),
        from([203, 0, 113, 9]),
        (SOL_SOCKET, SO_TIMESTAMP, number(1)),
    ];
    for mistake in mistakes {
        let sent = send_with(&a, b"four", to, std::slice::from_ref(&mistake));
        show("refused", (mistake, sent));
    }
    let b = UdpSocket::bind("[::]:0").expect("a port");
    let port = b.local_addr().expect("bound").port();
    for option in [IPV6_RECVHOPLIMIT, IPV6_RECVTCLASS, IPV6_RECVPKTINFO] {
        set(&b, IPPROTO_IPV6, option, 1).expect("known");
    }
    let marks: [Control; 2] = [(IPPROTO_IPV6, IPV6_HOPLIMIT, number(7)), (IPPROTO_IPV6, IPV6_TCLASS, number(0x51))];
    for (to, case) in [("::1", &marks[..]), ("::1", &[]), ("::ffff:127.0.0.1", &[])] {
        let a = UdpSocket::bind("[::]:0").expect("a port");
        let sent = send_with(&a, b"six", SocketAddr::new(to.parse().expect("an address"), port), case);
        show("sent and received", (to, sent, receive_with(&b)));
    }
}

fn many_datagrams_go_at_once() {
    for ip in ["127.0.0.1", "::1"] {
        let [a, b] = [(); 2].map(|()| UdpSocket::bind((ip, 0)).expect("a port"));
        let to = b.local_addr().expect("bound");
        let segment = |length: u16| [(IPPROTO_UDP, UDP_SEGMENT, length.to_ne_bytes().to_vec())];
        show("split", send_with(&a, &[7; 2500], to, &segment(1000)));
        show("each", [(); 3].map(|()| receive_with(&b).0));
        show("one", (send_with(&a, &[7; 800], to, &segment(1000)), receive_with(&b).0));
        set(&b, IPPROTO_UDP, UDP_GRO, 1).expect("known");
        show("joined", (send_with(&a, &[7; 2500], to, &segment(1000)), receive_with(&b)));
        show("single", (send_with(&a, &[7; 800], to, &segment(1000)), receive_with(&b)));
        set(&b, IPPROTO_UDP, UDP_GRO, 0).expect("known");
        set(&a, IPPROTO_UDP, UDP_SEGMENT, 10).expect("known");
        show("by the option", (a.send(&[1; 25]).map_err(|_| errno()), [(); 3].map(|()| receive_with(&b).0)));
        show("too many", send_with(&a, &[7; 1300], to, &segment(10)));
        show("too long", send_with(&a, &[7; 1300], to, &segment(65_520)));
        show("no length", send_with(&a, &[7; 9], to, &[(IPPROTO_UDP, UDP_SEGMENT, number(3))]));
        show("empty", (send_with(&a, b"", to, &segment(10)), receive_with(&b).0));
    }
}

fn arrivals_have_times() {
    let [a, b] = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a port"));
    let to = b.local_addr().expect("bound");
    let now = || SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_nanos() as u64;
    for (option, value) in [(SO_TIMESTAMP, 1), (SO_TIMESTAMPNS, 1), (SO_TIMESTAMPNS, 0), (SO_TIMESTAMPING, 8 | 16)] {
        set(&b, SOL_SOCKET, option, value).expect("known");
        let before = now() / 1000 * 1000;
        let told = loop {
            send_with(&a, b"x", to, &[]).expect("room");
            let (.., told) = receive_with(&b);
            // Linux begins to take times a while after the first socket has asked.
            if value == 0 || !told.is_empty() {
                break told;
            }
        };
        let after = now();
        let shown = told.iter().map(|(level, kind, data)| {
            let part = |at: usize| u64::from_ne_bytes(data[at..at + 8].try_into().expect("eight"));
            let scale = if *kind == SO_TIMESTAMP { 1000 } else { 1 };
            let time = part(0) * 1_000_000_000 + part(8) * scale;
            (*level, *kind, data.len(), (before..=after).contains(&time))
        });
        let options = [SO_TIMESTAMP, SO_TIMESTAMPNS].map(|option| get(&b, SOL_SOCKET, option));
        show("time", (shown.collect::<Vec<_>>(), options));
    }
}

fn main() {
    buffers_are_doubled();
    numbers_are_kept();
    interfaces_are_chosen();
    connections_tell_their_state();
    datagrams_carry_what_is_asked();
    many_datagrams_go_at_once();
    arrivals_have_times();
}
