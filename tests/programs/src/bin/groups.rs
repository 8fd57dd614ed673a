//! Joins multicast groups of IPv4 and IPv6, and prints messages with their senders: its own, then others' until one is "end".

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, UdpSocket};
use std::time::Duration;

/// Ports of the program, and of its peers outside.
const PORT: u16 = 5000;
const OUTSIDE: u16 = 5001;

fn hear(socket: &UdpSocket) -> (String, IpAddr) {
    let mut bytes = [0; 100];
    let (length, from) = socket.recv_from(&mut bytes).expect("somebody says something");
    (String::from_utf8_lossy(&bytes[..length]).into_owned(), from.ip())
}

fn main() {
    let groups = std::env::args().skip(1).map(|group| group.parse::<IpAddr>().expect("an address"));
    for group in groups {
        let any = if group.is_ipv4() { "0.0.0.0" } else { "::" };
        let socket = UdpSocket::bind((any, PORT)).expect("a port");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("allowed");
        let join = || match group {
            IpAddr::V4(group) => socket.join_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(group) => socket.join_multicast_v6(&group, 0),
        };
        join().expect("room for one");
        assert_eq!(join().expect_err("once is enough").kind(), ErrorKind::AddrInUse);
        socket.send_to(b"to myself", (group, PORT)).expect("there is a way");
        assert_eq!(hear(&socket).0, "to myself");
        match group {
            IpAddr::V4(_) => socket.set_multicast_loop_v4(false),
            IpAddr::V6(_) => socket.set_multicast_loop_v6(false),
        }
        .expect("an option");
        // The peer may not have joined yet.
        socket.send_to(b"not to myself", (group, PORT)).expect("there is a way");
        println!("{group} joined");
        let (said, from) = hear(&socket);
        println!("{said} from {from}");
        match group {
            IpAddr::V4(group) => socket.leave_multicast_v4(&group, &Ipv4Addr::UNSPECIFIED),
            IpAddr::V6(group) => socket.leave_multicast_v6(&group, 0),
        }
        .expect("it was joined");
        socket.send_to(b"from the guest", SocketAddr::new(group, OUTSIDE)).expect("there is a way");
        println!("{group} left");
        assert_eq!(hear(&socket).0, "end");
    }
}
