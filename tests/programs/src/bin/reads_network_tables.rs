//! Reads what `/proc/net` and `/sys/class/net` say of its sockets and of the interfaces, and prints it. Arguments are addresses to
//! which it sends before.

use std::fs;
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::os::unix::fs::MetadataExt;

/// Attributes of an interface that are the same on every host.
const ATTRIBUTES: [&str; 9] =
    ["address", "addr_len", "broadcast", "carrier", "flags", "ifindex", "mtu", "operstate", "type"];

fn read(path: &str) -> String {
    fs::read_to_string(path).unwrap_or_else(|error| format!("{error}"))
}

/// Prints a table of sockets: its head, and of each socket both addresses, its state and the number of columns.
fn sockets(name: &str, inode: u64) {
    let text = read(&format!("/proc/net/{name}"));
    let mut lines = text.lines();
    println!("{name}: {:?}", lines.next().unwrap_or_default());
    let mut rows: Vec<_> = lines
        .map(|line| {
            let columns: Vec<_> = line.split_whitespace().collect();
            let is_first = columns[9] == inode.to_string();
            // Lines of IPv6 have no fixed length.
            let length = if name.ends_with('6') { 0 } else { line.len() };
            format!("{} {} {} {} {} {is_first} {length}", columns[1], columns[2], columns[3], columns[4], columns.len())
        })
        .collect();
    rows.sort();
    rows.iter().for_each(|row| println!("  {row}"));
}

fn main() {
    let listener = TcpListener::bind("127.0.0.1:7001").expect("a free port");
    let inode = fs::metadata(format!("/proc/self/fd/{}", listener.as_raw_fd())).expect("open").ino();
    let everywhere = TcpListener::bind("[::]:7004").expect("a free port");
    let datagrams = UdpSocket::bind("0.0.0.0:7002").expect("a free port");
    let connected = UdpSocket::bind("[::1]:7003").expect("a free port");
    connected.connect("[::1]:7003").expect("its own address");
    for address in std::env::args().skip(1) {
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
        socket.send_to(b"hello", (&address[..], 9)).expect("a route");
        // An answer, or the time in which it had come.
        let _ = TcpStream::connect((&address[..], 9));
    }
    let client = TcpStream::connect("127.0.0.1:7001").expect("it listens");
    let port = format!(":{:04X}", client.local_addr().expect("connected").port());
    let (_server, _) = listener.accept().expect("a client");
    sockets("tcp6", inode);
    sockets("udp", inode);
    sockets("udp6", inode);
    let tcp = read("/proc/net/tcp").replace(&port, ":PORT");
    let mut rows: Vec<_> =
        tcp.lines().map(|line| line.split_whitespace().take(4).collect::<Vec<_>>().join(" ")).collect();
    rows.iter_mut().skip(1).for_each(|row| drop(row.drain(..row.find(' ').unwrap_or(0))));
    rows.sort();
    println!("tcp: {rows:?} {}", tcp.lines().next().unwrap_or_default().len());
    drop((everywhere, datagrams));
    println!("route:\n{}if_inet6:", read("/proc/net/route"));
    let mut addresses: Vec<_> = read("/proc/net/if_inet6").lines().map(str::to_owned).collect();
    addresses.sort();
    addresses.iter().for_each(|line| println!("{line}"));
    // Hardware addresses of others differ.
    for line in read("/proc/net/arp").lines() {
        println!(
            "arp: {}",
            line.split_whitespace()
                .enumerate()
                .filter(|(at, _)| *at != 3)
                .map(|(_, column)| column)
                .collect::<Vec<_>>()
                .join(" ")
        );
    }
    let counts = read("/proc/net/dev");
    for line in counts.lines() {
        let (name, numbers) = line.split_once(':').unwrap_or((line, ""));
        println!("dev: {name} {}", numbers.split_whitespace().count());
    }
    // The files of the namespace that was mounted, natively.
    for name in ["lo".to_owned()].into_iter().chain(std::env::var("DEVICE")) {
        for attribute in ATTRIBUTES {
            println!("{name} {attribute}: {}", read(&format!("/sys/class/net/{name}/{attribute}")).trim_end());
        }
        let counts = ["rx_bytes", "rx_packets", "tx_bytes", "tx_packets"]
            .map(|count| read(&format!("/sys/class/net/{name}/statistics/{count}")).trim_end().parse::<u64>());
        println!("{name}: {}", counts.iter().all(|count| count.as_ref().is_ok_and(|count| name == "lo" || *count > 0)));
    }
}
