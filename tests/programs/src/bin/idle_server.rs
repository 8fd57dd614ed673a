//! Accepts as many connections as its argument says and keeps them open, and sends back what the next connection sends.

use std::io::{Read, Write};
use std::net::TcpListener;

fn main() {
    let count: usize = std::env::args().nth(1).and_then(|count| count.parse().ok()).expect("a number");
    let listener = TcpListener::bind("0.0.0.0:7").expect("a port");
    println!("ready");
    let idle: Vec<_> = (0..count).map(|_| listener.accept().expect("a connection").0).collect();
    println!("{} connections", idle.len());
    let (mut stream, _) = listener.accept().expect("a connection");
    stream.set_nodelay(true).expect("allowed");
    let mut bytes = [0; 4096];
    while let Ok(count @ 1..) = stream.read(&mut bytes) {
        stream.write_all(&bytes[..count]).expect("a reader");
    }
}
