//! Ten thousand connections at once: each is established, and takes little memory while it holds no data.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

const COUNT: usize = 10_000;

/// Resident memory (VmRSS), in KiB.
fn used() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").expect("there");
    let line = status.lines().find(|line| line.starts_with("VmRSS")).expect("there");
    line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).expect("a number")
}

fn main() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let address = listener.local_addr().expect("bound");
    let before = used();
    let mut pairs: Vec<_> = (0..COUNT)
        .map(|_| {
            let client = TcpStream::connect(address).expect("a place");
            (client, listener.accept().expect("it waits").0)
        })
        .collect();
    let after = used();
    for (number, (client, server)) in pairs.iter_mut().enumerate() {
        client.write_all(&number.to_ne_bytes()).expect("room");
        let mut bytes = [0; 8];
        server.read_exact(&mut bytes).expect("sent");
        assert_eq!(usize::from_ne_bytes(bytes), number);
    }
    drop(pairs);
    assert!(TcpStream::connect(address).is_ok());
    assert!(after - before < COUNT as u64 * 4, "{} KiB", after - before);
    println!("{COUNT} connections");
}
