//! Measures the speed of a program that talks to itself over 127.0.0.1.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Instant;

fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let client = TcpStream::connect(listener.local_addr().expect("bound")).expect("it listens");
    client.set_nodelay(true).expect("allowed");
    let server = listener.accept().expect("connected").0;
    server.set_nodelay(true).expect("allowed");
    (client, server)
}

fn main() {
    const BYTES: usize = 1 << 30;
    const ROUNDS: u32 = 20_000;
    const CONNECTIONS: u32 = 5000;
    let (mut a, mut b) = pair();
    let start = Instant::now();
    let writer = thread::spawn(move || {
        let bytes = vec![7; 64 << 10];
        (0..BYTES / bytes.len()).for_each(|_| a.write_all(&bytes).expect("a reader"));
    });
    let (mut bytes, mut total) = (vec![0; 64 << 10], 0);
    while total < BYTES {
        total += b.read(&mut bytes).expect("bytes");
    }
    writer.join().expect("written");
    let pieces = total as f64 / bytes.len() as f64;
    println!("64 KiB through a stream: {}", start.elapsed().as_nanos() as f64 / pieces);
    let (mut a, mut b) = pair();
    let echo = thread::spawn(move || {
        let mut byte = [0];
        while b.read(&mut byte).expect("bytes") > 0 {
            b.write_all(&byte).expect("a reader");
        }
    });
    let start = Instant::now();
    for _ in 0..ROUNDS {
        a.write_all(&[1]).expect("a reader");
        a.read_exact(&mut [0]).expect("an answer");
    }
    println!("a byte and its echo: {}", start.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
    drop(a);
    echo.join().expect("answered");
    let start = Instant::now();
    (0..CONNECTIONS).for_each(|_| drop(pair()));
    println!("listen, connect, close: {}", start.elapsed().as_nanos() as f64 / f64::from(CONNECTIONS));
    let (a, b) = [(); 2].map(|()| UdpSocket::bind("127.0.0.1:0").expect("a port")).into();
    let to = b.local_addr().expect("bound");
    let start = Instant::now();
    for _ in 0..ROUNDS {
        a.send_to(&bytes[..1000], to).expect("room");
        b.recv(&mut bytes).expect("a datagram");
    }
    println!("a datagram of 1000 bytes: {}", start.elapsed().as_nanos() as f64 / f64::from(ROUNDS));
}
