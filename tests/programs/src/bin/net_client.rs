//! Uses a network as programs do: resolves names, connects, sends, and checks the errors of what is impossible.

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs, UdpSocket};
use std::time::Duration;

fn main() {
    let mut arguments = std::env::args().skip(1);
    let [host, port, nowhere] = [(); 3].map(|()| arguments.next().expect("host, port, and an address without machine"));
    let port: u16 = port.parse().expect("a number");
    let localhost: Vec<_> = ("localhost", port).to_socket_addrs().expect("known").collect();
    assert!(localhost.iter().any(|address| address.ip().is_loopback()), "{localhost:?}");
    let address = (host.as_str(), port).to_socket_addrs().expect("found").next().expect("one");
    println!("{host} is {}", address.ip());

    let mut stream = TcpStream::connect(address).expect("a listener");
    assert_eq!(stream.peer_addr().expect("connected"), address);
    println!("from {}", stream.local_addr().expect("connected").ip());
    let sent: Vec<u8> = (0..2_000_000u32).map(|number| (number / 7) as u8).collect();
    let mut received = Vec::new();
    std::thread::scope(|scope| {
        scope.spawn(|| {
            (&stream).write_all(&sent).expect("a reader");
            stream.shutdown(Shutdown::Write).expect("connected");
        });
        (&stream).read_to_end(&mut received).expect("all of it");
    });
    assert!(received == sent);
    println!("{} bytes came back", received.len());
    assert_eq!(stream.read(&mut [0]).expect("the end"), 0);

    let refused = TcpStream::connect((address.ip(), port + 1)).expect_err("nobody listens");
    assert_eq!(refused.kind(), ErrorKind::ConnectionRefused);
    let nowhere = (nowhere.as_str(), port).to_socket_addrs().expect("an address").next().expect("one");
    let silent = TcpStream::connect_timeout(&nowhere, Duration::from_millis(300)).expect_err("no such machine");
    assert_eq!(silent.kind(), ErrorKind::TimedOut);

    let datagrams = UdpSocket::bind(if address.is_ipv4() { "0.0.0.0:0" } else { "[::]:0" }).expect("a port");
    datagrams.connect(address).expect("there");
    datagrams.set_read_timeout(Some(Duration::from_secs(10))).expect("allowed");
    datagrams.send(b"a datagram").expect("room");
    let mut bytes = [0; 100];
    assert_eq!(datagrams.recv(&mut bytes).expect("it comes back"), 10);
    println!("a datagram came back");
    datagrams.connect((address.ip(), port + 1)).expect("anything goes");
    datagrams.send(b"a datagram").expect("room");
    assert_eq!(datagrams.recv(&mut bytes).expect_err("nobody").kind(), ErrorKind::ConnectionRefused);

    // The end of a program does not cut off bytes that it has sent.
    let mut last = TcpStream::connect(address).expect("a listener");
    last.write_all(&sent).expect("a reader");
}
