//! A network namespace of the test with TAP interfaces in it, and the host's end of each.
//!
//! The namespace belongs to the calling thread and the processes that it starts; with them, the kernel removes it and
//! everything in it.

#![expect(unsafe_code, reason = "namespaces and packet sockets have no other interface")]

pub use crate::network::ip;
use crate::{network, patience, requires};
use std::fs::File;
use std::io::{self, Read, Write};
use std::mem::zeroed;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::process::Command;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Time limit of a wait for a frame.
const PATIENCE: Duration = Duration::from_secs(20);

/// Moves the calling thread to a new network namespace with a loopback interface only. Returns true on success; otherwise
/// prints a skip.
pub fn alone() -> bool {
    if !requires::root() || !requires::tun() {
        return false;
    }
    network::leave();
    true
}

/// Like [`alone`], with the other end of a guest's TAP interface, tap0, in the namespace.
pub fn attached() -> bool {
    let alone = alone();
    if alone {
        for words in [
            "tuntap add tap0 mode tap",
            "addr add 10.0.0.1/24 dev tap0",
            "-6 addr add fd00::1/64 dev tap0 nodad",
            "link set tap0 up",
        ] {
            ip(words);
        }
    }
    alone
}

/// A TAP interface, and a socket at the host's end that sends and receives frames.
#[derive(Debug)]
pub struct Tap {
    name: String,
    socket: OwnedFd,
}

impl Tap {
    /// Creates the interface `name` with this MTU and brings it up.
    pub fn new(name: &str, mtu: u32) -> Self {
        ip(&format!("tuntap add {name} mode tap"));
        // Without IPv6 the kernel sends no frames of its own.
        let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/disable_ipv6"), "1");
        ip(&format!("link set {name} mtu {mtu} up"));
        // SAFETY: takes numbers only and returns a new descriptor; the protocol is in network byte order.
        let socket = unsafe {
            libc::socket(
                libc::AF_PACKET,
                libc::SOCK_RAW | libc::SOCK_CLOEXEC,
                i32::from((libc::ETH_P_ALL as u16).to_be()),
            )
        };
        assert!(socket >= 0, "root can have a packet socket: {}", io::Error::last_os_error());
        // SAFETY: `socket` returned this descriptor, and it has no other owner.
        let socket = unsafe { OwnedFd::from_raw_fd(socket) };
        // SAFETY: zeros are a valid `sockaddr_ll`.
        let mut address: libc::sockaddr_ll = unsafe { zeroed() };
        address.sll_family = libc::AF_PACKET as u16;
        address.sll_protocol = (libc::ETH_P_ALL as u16).to_be();
        address.sll_ifindex = interface(name) as i32;
        let size = size_of_val(&address) as u32;
        // SAFETY: reads the address, a local variable of the given size.
        let result = unsafe { libc::bind(socket.as_raw_fd(), (&raw const address).cast(), size) };
        assert_eq!(result, 0, "the interface is there: {}", io::Error::last_os_error());
        let room: libc::c_int = 32 << 20;
        // SAFETY: reads the option, a local variable of the given size.
        unsafe {
            libc::setsockopt(
                socket.as_raw_fd(),
                libc::SOL_SOCKET,
                libc::SO_RCVBUFFORCE,
                (&raw const room).cast(),
                size_of_val(&room) as u32,
            )
        };
        Self { name: name.to_owned(), socket }
    }

    /// Waits as [`wait_until_up`] does.
    pub fn wait_until_up(&self) {
        wait_until_up(&self.name);
    }

    /// Sends a frame to the guest. Returns true if it was sent: it is not while the interface is not open, or the guest takes
    /// no frames.
    pub fn send(&self, frame: &[u8]) -> bool {
        // SAFETY: reads the frame, within its length.
        unsafe { libc::send(self.socket.as_raw_fd(), frame.as_ptr().cast(), frame.len(), 0) == frame.len() as isize }
    }

    /// Returns the next frame from the guest that is `wanted`; `None` if none arrives in time.
    pub fn receive(&self, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        self.receive_within(patience(PATIENCE), wanted)
    }

    /// Returns the next frame from the guest that is `wanted`; `None` if none arrives within `patience`.
    pub fn receive_within(&self, patience: Duration, wanted: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
        let deadline = Instant::now() + patience;
        let mut frame = vec![0; 1 << 17];
        loop {
            let left = deadline.checked_duration_since(Instant::now())?;
            let mut room = libc::pollfd { fd: self.socket.as_raw_fd(), events: libc::POLLIN, revents: 0 };
            // SAFETY: the array is one local variable, as the count says.
            unsafe { libc::poll(&mut room, 1, left.as_millis() as i32 + 1) };
            // SAFETY: zeros are a valid `sockaddr_ll`.
            let mut from: libc::sockaddr_ll = unsafe { zeroed() };
            let mut size = size_of_val(&from) as u32;
            // SAFETY: the buffer and the address are local variables of the given sizes.
            let length = unsafe {
                libc::recvfrom(
                    self.socket.as_raw_fd(),
                    frame.as_mut_ptr().cast(),
                    frame.len(),
                    libc::MSG_DONTWAIT,
                    (&raw mut from).cast(),
                    &mut size,
                )
            };
            let Ok(length) = usize::try_from(length) else { continue };
            if from.sll_pkttype != libc::PACKET_OUTGOING && wanted(&frame[..length]) {
                return Some(frame[..length].to_vec());
            }
        }
    }
}

/// Waits until the host sends frames through the interface `name`, which begins some time after a process has opened it: until
/// then the host silently drops outgoing frames.
pub fn wait_until_up(name: &str) {
    let deadline = Instant::now() + patience(PATIENCE);
    loop {
        let output = Command::new("ip").args(["-o", "link", "show", name]).output().expect("ip starts");
        let text = String::from_utf8_lossy(&output.stdout);
        if text.contains("state UP") && !text.contains("qdisc noop") {
            return;
        }
        assert!(Instant::now() < deadline, "{name} does not come up: {text}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Returns the index of the interface `name`.
pub fn interface(name: &str) -> u32 {
    let name = std::ffi::CString::new(name).expect("no NUL");
    // SAFETY: reads a NUL-terminated string.
    unsafe { libc::if_nametoindex(name.as_ptr()) }
}

/// Opens the interface `name` as an ordinary process does.
fn open(name: &str, flags: libc::c_int) -> File {
    let file = File::options().read(true).write(true).custom_flags(flags).open("/dev/net/tun");
    let file = file.expect("root can open it");
    // SAFETY: zeros are a valid `ifreq`.
    let mut request: libc::ifreq = unsafe { zeroed() };
    request.ifr_name.iter_mut().zip(name.bytes()).for_each(|(to, from)| *to = from as libc::c_char);
    request.ifr_ifru.ifru_flags = (libc::IFF_TAP | libc::IFF_NO_PI) as libc::c_short;
    // SAFETY: TUNSETIFF takes a pointer to an `ifreq`, here a local variable.
    let result = unsafe { libc::ioctl(file.as_raw_fd(), libc::TUNSETIFF as _, &mut request) };
    assert_eq!(result, 0, "the interface is free: {}", io::Error::last_os_error());
    file
}

/// Writes `count` frames of `length` bytes to the interface `name`, as an ordinary process would. Returns the time.
pub fn write_frames(name: &str, count: usize, length: usize) -> Duration {
    let mut file = open(name, 0);
    let mut bytes = frame(&[]);
    bytes[..6].fill(0xff);
    bytes.resize(length, 0);
    let started = Instant::now();
    for _ in 0..count {
        // A frame that the host does not take counts as well.
        let _ = file.write(&bytes);
    }
    started.elapsed()
}

/// Number of received frames, and the time from the first to the last.
#[derive(Clone, Copy, Debug)]
pub struct Count {
    /// Number of frames.
    pub frames: u64,
    /// Time from the first to the last.
    pub took: Duration,
}

/// Reads frames from the interface `name`, as an ordinary process would, until there is a pause; calls `ready` when frames can
/// be sent.
pub fn read_frames(name: &str, ready: impl FnOnce()) -> Count {
    let mut file = open(name, libc::O_NONBLOCK);
    // The host sends frames some time after the interface was opened.
    std::thread::sleep(FLOOD_PAUSE);
    ready();
    let (mut frames, mut bytes) = (0, [0; 2048]);
    let mut times = None;
    loop {
        match file.read(&mut bytes) {
            Ok(14..) if bytes[12..14] == [0x88, 0xb5] => {
                frames += 1;
                continue;
            }
            Ok(_) => continue,
            Err(error) => assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "the interface is there"),
        }
        let now = Instant::now();
        let (first, _, before) = times.unwrap_or((now, now, 0));
        if frames > before {
            times = Some((first, now, frames));
        }
        let mut room = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLIN, revents: 0 };
        // SAFETY: the array is one local variable, as the count says.
        if unsafe { libc::poll(&mut room, 1, FLOOD_PAUSE.as_millis() as i32) } == 0 && frames > 0 {
            let took = times.map_or(Duration::ZERO, |(first, last, _)| last - first);
            return Count { frames, took };
        }
    }
}

/// Length of the pause after which no more frames are expected.
const FLOOD_PAUSE: Duration = Duration::from_millis(200);
/// Number of frames per sendmmsg(2).
const AT_ONCE: usize = 64;

/// A thread that sends frames as fast as possible.
#[derive(Debug)]
pub struct Flood(JoinHandle<u64>);

impl Flood {
    /// Waits for the end and returns the number of frames sent.
    pub fn sent(self) -> u64 {
        self.0.join().expect("it does not panic")
    }
}

impl Tap {
    /// Sends frames of `length` bytes for `duration`. Frames that find no room count as well.
    pub fn flood(&self, length: usize, duration: Duration) -> Flood {
        let socket = self.socket.try_clone().expect("a descriptor");
        Flood(std::thread::spawn(move || {
            let mut bytes = frame(&[]);
            bytes.resize(length, 0);
            let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: length };
            // SAFETY: zeros are valid `mmsghdr`s.
            let mut messages: [libc::mmsghdr; AT_ONCE] = unsafe { zeroed() };
            for message in &mut messages {
                (message.msg_hdr.msg_iov, message.msg_hdr.msg_iovlen) = (&mut part, 1);
            }
            let (end, mut sent) = (Instant::now() + duration, 0);
            while Instant::now() < end {
                // SAFETY: the array has AT_ONCE messages; each refers to `part` and `bytes`, which live longer than the call.
                let count = unsafe { libc::sendmmsg(socket.as_raw_fd(), messages.as_mut_ptr(), AT_ONCE as u32, 0) };
                // A frame that does not fit ends the batch.
                sent += count.max(1) as u64;
            }
            sent
        }))
    }
}

/// Returns a frame of an experimental EtherType (IEEE 802, 9.2.3) from the host to the guest.
pub fn frame(payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![0x02, 0, 0, 0, 0, 1, 0x02, 0, 0, 0, 0, 2, 0x88, 0xb5];
    frame.extend_from_slice(payload);
    frame
}

/// Returns true if `address` answers a ping in time.
pub fn ping(address: std::net::IpAddr) -> bool {
    // Echo request with identifier 0 and sequence number 1: RFC 792, with its checksum; and RFC 4443, where the host computes
    // it.
    let (family, protocol, request, answer_at, answer) = match address.is_ipv4() {
        true => (libc::AF_INET, libc::IPPROTO_ICMP, [8, 0, 0xf7, 0xfe, 0, 0, 0, 1], 20, 0),
        false => (libc::AF_INET6, libc::IPPROTO_ICMPV6, [128, 0, 0, 0, 0, 0, 0, 1], 0, 129),
    };
    let socket = raw_socket(family, protocol);
    socket.set_read_timeout(Some(Duration::from_millis(200))).expect("a socket has timeouts");
    let deadline = Instant::now() + patience(PATIENCE);
    let mut bytes = [0; 128];
    while Instant::now() < deadline {
        socket.send_to(&request, (address, 0)).expect("it can be sent");
        if let Ok((length, from)) = socket.recv_from(&mut bytes)
            && from.ip() == address
            && bytes[..length].get(answer_at) == Some(&answer)
        {
            return true;
        }
    }
    false
}

fn raw_socket(family: i32, protocol: i32) -> std::net::UdpSocket {
    // SAFETY: takes numbers only and returns a new descriptor.
    let socket = unsafe { libc::socket(family, libc::SOCK_RAW | libc::SOCK_CLOEXEC, protocol) };
    assert!(socket >= 0, "root can have a raw socket: {}", io::Error::last_os_error());
    // SAFETY: `socket` returned this descriptor, and it has no other owner.
    std::net::UdpSocket::from(unsafe { OwnedFd::from_raw_fd(socket) })
}

/// Sends router advertisements (RFC 4861) with this prefix of 64 bits to all nodes on the interface `name`, repeatedly while
/// the test runs.
pub fn advertise(name: &str, prefix: [u8; 8]) {
    // Without duplicate address detection the host has its own address at once.
    let _ = std::fs::write(format!("/proc/sys/net/ipv6/conf/{name}/accept_dad"), "0");
    let socket = raw_socket(libc::AF_INET6, libc::IPPROTO_ICMPV6);
    let hops: libc::c_int = 255;
    // SAFETY: reads the option, a local variable of the given size.
    let result = unsafe {
        let (level, size) = (libc::IPPROTO_IPV6, size_of_val(&hops) as u32);
        libc::setsockopt(socket.as_raw_fd(), level, libc::IPV6_MULTICAST_HOPS, (&raw const hops).cast(), size)
    };
    assert_eq!(result, 0, "an option: {}", io::Error::last_os_error());
    let everybody = std::net::SocketAddrV6::new([0xff02, 0, 0, 0, 0, 0, 0, 1].into(), 0, 0, interface(name));
    // A router for half an hour; a prefix of 64 bits, on-link and autonomous, valid for a day, preferred for an hour.
    let mut advert = vec![134, 0, 0, 0, 64, 0, 7, 8, 0, 0, 0, 0, 0, 0, 0, 0];
    advert.extend([3, 4, 64, 0xc0, 0, 1, 0x51, 0x80, 0, 0, 14, 16, 0, 0, 0, 0]);
    advert.extend(prefix);
    advert.extend([0; 8]);
    std::thread::spawn(move || {
        // Sending fails until the guest has opened the interface.
        loop {
            let _ = socket.send_to(&advert, everybody);
            std::thread::sleep(Duration::from_millis(100));
        }
    });
}
