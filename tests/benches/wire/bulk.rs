//! Bytes through a TCP connection, both ways, and datagrams there and back: the same server in a guest behind a TAP
//! interface, and as a process behind a veth pair, with the same client.

use super::table::{Row, Sample, head, rows};
use husk_tests::network::Server;
use std::io::{Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::time::{Duration, Instant};

const PORT: u16 = 9000;
/// Bytes of a transfer.
const BYTES: u64 = 1 << 30;
/// Usual payload of a frame, in bytes.
const SEGMENT: f64 = 1448.0;
/// Datagrams there and back.
const DATAGRAMS: usize = 20_000;

/// Measures the gigabits per second that the server receives or sends.
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

/// Measures the datagrams per second, there and back.
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

/// Connects to a server that may have just been started.
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

/// Measurement: name, function, number of frames of the usual size that it takes, and result of Solo5.
type Case = (&'static str, fn(&Server) -> f64, f64, &'static str);

const CASES: [Case; 3] = [
    ("TCP to the server, Gbit/s", |server| transfer(server, b't'), BYTES as f64 / SEGMENT, "has no TCP"),
    ("TCP from the server, Gbit/s", |server| transfer(server, b'g'), BYTES as f64 / SEGMENT, "has no TCP"),
    ("datagrams there and back, 1/s", datagrams, 2.0 * DATAGRAMS as f64, "1,200 and 93,000"),
];

pub fn run(rounds: usize) {
    head("frm");
    for (name, measured, frames, solo5) in CASES {
        let native = || [measured(&Server::native("programs", "bulk"))];
        rows([Row::new(name, solo5)], rounds, native, |target| {
            let server = Server::guest(target, "programs", "bulk");
            let values = [measured(&server)];
            Sample { values, exits: server.exits() / frames }
        });
    }
}
