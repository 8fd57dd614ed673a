//! Errors of datagrams with their details (`IP_RECVERR`, `MSG_ERRQUEUE`): of datagrams to the addresses in the arguments, or without
//! any of datagrams to closed ports of the program itself, for which it prints what Linux prints, too.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every call takes numbers, or pointers to locals that outlive it"
)]

use libc::*;
use programs::{control_messages, errno};
use std::io::Error;
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;

/// Longest wait for an error, and that for one of several attempts, in milliseconds.
const PATIENCE: i32 = 30_000;
const SECOND: i32 = 1000;
const ATTEMPTS: u32 = 50;

/// Waits for an error. Returns true if there is one in time.
fn reports(socket: &UdpSocket, patience: i32) -> bool {
    let mut entry = pollfd { fd: socket.as_raw_fd(), events: 0, revents: 0 };
    unsafe { poll(&mut entry, 1, patience) };
    entry.revents & POLLERR != 0
}

fn events(socket: &UdpSocket, patience: i32) -> i16 {
    let mut entry = pollfd { fd: socket.as_raw_fd(), events: POLLIN | POLLOUT, revents: 0 };
    unsafe { poll(&mut entry, 1, patience) };
    entry.revents
}

/// Takes an error with its details: bytes of the datagram, where it was sent to, flags, and control messages.
fn failure(socket: &UdpSocket, room: usize) -> String {
    let (mut bytes, mut control, mut name) = (vec![0u8; room], [0u64; 64], [0u8; 28]);
    let mut vector = iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
    let mut message: msghdr = unsafe { std::mem::zeroed() };
    (message.msg_iov, message.msg_iovlen) = (&mut vector, 1);
    (message.msg_control, message.msg_controllen) = (control.as_mut_ptr().cast(), size_of_val(&control) as _);
    (message.msg_name, message.msg_namelen) = (name.as_mut_ptr().cast(), 28);
    let length = unsafe { recvmsg(socket.as_raw_fd(), &mut message, MSG_ERRQUEUE) };
    if length < 0 {
        return Error::last_os_error().to_string();
    }
    let told = control_messages(&message);
    // Without the port, which is another one each time.
    name[2..4].fill(0);
    format!("{length} bytes to {:?}, flags {:x}, {told:?}", &name[..message.msg_namelen as usize], message.msg_flags)
}

fn ask(socket: &UdpSocket, is_v4: bool) {
    let (level, option) = if is_v4 { (IPPROTO_IP, IP_RECVERR) } else { (IPPROTO_IPV6, IPV6_RECVERR) };
    let on = 1i32;
    assert_eq!(unsafe { setsockopt(socket.as_raw_fd(), level, option, (&raw const on).cast(), 4) }, 0);
}

/// A socket for datagrams to `to`.
fn socket(to: SocketAddr) -> UdpSocket {
    UdpSocket::bind(if to.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).expect("a port")
}

fn to_itself(ip: &str) {
    let to = UdpSocket::bind((ip, 0)).and_then(|gone| gone.local_addr()).expect("a port");
    let unasked = socket(to);
    unasked.send_to(b"lost", to).expect("room");
    println!("unasked: {:x}, {}", events(&unasked, 0), failure(&unasked, 9));
    let asked = socket(to);
    ask(&asked, to.is_ipv4());
    asked.send_to(b"first", to).expect("room");
    println!("asked: {}, {:x}", reports(&asked, PATIENCE), events(&asked, 0));
    println!("an error: {:?}", asked.send_to(b"second", to).map_err(|_| errno()));
    println!("its details: {}", failure(&asked, 9));
    asked.send_to(&[7; 3000], to).expect("room");
    println!("in part: {}", failure(&asked, 3));
    asked.send_to(&[7; 3000], to).expect("room");
    println!("the beginning: {}", failure(&asked, 4000));
    println!("none: {}, {:x}, {:?}", failure(&asked, 9), events(&asked, 0), asked.take_error().expect("asked"));
    asked.connect(to).expect("an address");
    asked.send(b"first").expect("room");
    asked.set_nonblocking(true).expect("allowed");
    println!("connected: {:?}", asked.recv(&mut [0; 9]).map_err(|_| errno()));
    println!("its details: {}, then {}", failure(&asked, 9), failure(&asked, 9));
}

fn to_elsewhere(to: SocketAddr) {
    println!("a connection to {to}: {:?}", TcpStream::connect(to).map(drop).map_err(|error| error.raw_os_error()));
    let asked = socket(to);
    ask(&asked, to.is_ipv4());
    // Routers report no more than a few errors a second.
    let is_reported = || {
        asked.send_to(b"datagram", to).expect("room");
        reports(&asked, SECOND)
    };
    assert!((0..ATTEMPTS).any(|_| is_reported()), "no error about {to}");
    println!("a datagram to {to}: {}", failure(&asked, 20));
}

fn main() {
    let mut to = std::env::args().skip(1).peekable();
    if to.peek().is_none() {
        to_itself("127.0.0.1");
        to_itself("::1");
    }
    to.for_each(|to| to_elsewhere(to.parse().expect("an address")));
}
