//! Bytes through a TCP connection, both ways, and datagrams there and back: the same server in a guest behind a TAP
//! interface, and as a process behind a veth pair. The client is the same, and all networks are made for this.
//!
//! `cargo bench -p husk-tests --bench bulk [-- ROUNDS]`; takes root.

use husk_tests::measure;
use husk_tests::network::Server;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const PORT: u16 = 9000;
/// Bytes of a transfer.
const BYTES: u64 = 1 << 30;
/// Payload of a frame as it usually is.
const SEGMENT: f64 = 1448.0;
/// Datagrams there and back.
const DATAGRAMS: usize = 20_000;

/// Gigabits a second that the server takes or gives.
fn transfer(server: &Server, way: u8) -> f64 {
    server.client(|| {
        let mut stream = connected(server.address);
        let mut part = vec![b'x'; 256 << 10];
        let started = Instant::now();
        stream.write_all(&[&[way][..], &BYTES.to_be_bytes()].concat()).expect("it listens");
        if way == b't' {
            (0..BYTES / part.len() as u64).for_each(|_| stream.write_all(&part).expect("it takes all"));
            stream.read_exact(&mut part[..1]).expect("it says so");
        } else {
            let mut left = BYTES;
            while left > 0 {
                let count = stream.read(&mut part).expect("it gives all");
                assert!(count > 0, "the server has ended the connection with {left} bytes to go");
                left -= count as u64;
            }
        }
        BYTES as f64 * 8.0 / started.elapsed().as_secs_f64() / 1e9
    })
}

/// Datagrams there and back, a second.
fn datagrams(server: &Server) -> f64 {
    server.client(|| {
        connected(server.address);
        let socket = UdpSocket::bind("0.0.0.0:0").expect("a port");
        socket.connect((server.address, PORT)).expect("an address");
        socket.set_read_timeout(Some(Duration::from_secs(2))).expect("a socket has timeouts");
        let (datagram, mut answer) = ([7; 64], [0; 128]);
        let started = Instant::now();
        for _ in 0..DATAGRAMS {
            socket.send(&datagram).expect("it can be sent");
            assert_eq!(socket.recv(&mut answer).expect("it comes back"), datagram.len());
        }
        DATAGRAMS as f64 / started.elapsed().as_secs_f64()
    })
}

/// A connection with a server that may have just been started.
fn connected(address: &str) -> TcpStream {
    let deadline = Instant::now() + Duration::from_secs(5);
    loop {
        match TcpStream::connect((address, PORT)) {
            Ok(stream) => return stream,
            Err(error) if Instant::now() > deadline => panic!("{address}: {error}"),
            Err(_) => std::thread::sleep(Duration::from_millis(10)),
        }
    }
}

/// What is measured: its name, how, and how many frames of a usual size it takes.
type Case = (&'static str, fn(&Server) -> f64, f64);

const CASES: [Case; 3] = [
    ("TCP to the server, Gbit/s", |server| transfer(server, b't'), BYTES as f64 / SEGMENT),
    ("TCP from the server, Gbit/s", |server| transfer(server, b'g'), BYTES as f64 / SEGMENT),
    ("UDP there and back, 1/s", datagrams, 2.0 * DATAGRAMS as f64),
];

fn main() {
    let rounds = measure::rounds(3);
    println!("{:<28} {:>10} {:>10} {:>7} {:>14}", "", "husk", "linux", "ratio", "exits/frame");
    for (name, measured, frames) in CASES {
        let mut figures: [Vec<f64>; 4] = Default::default();
        for _ in 0..rounds {
            let (guest, native) = (Server::guest("programs", "bulk"), Server::native("programs", "bulk"));
            let rates = [&guest, &native].map(measured);
            let row = [rates[0], rates[1], rates[0] / rates[1], guest.exits() / frames];
            figures.iter_mut().zip(row).for_each(|(values, value)| values.push(value));
        }
        let [husk, linux, ratio, exits] = figures.each_mut().map(|values| measure::median(values));
        println!("{name:<28} {husk:>10.1} {linux:>10.1} {ratio:>7.2} {exits:>14.4}");
    }
}
