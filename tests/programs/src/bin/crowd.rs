//! Holds as many connections as its argument says, all at once; then sends back on each, in order, what it has received.

use std::io::{Read, Write};
use std::net::TcpListener;

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).expect("a number");
    let listener = TcpListener::bind("0.0.0.0:7").expect("a port");
    println!("ready");
    let mut streams: Vec<_> = (0..count).map(|_| listener.accept().expect("a connection").0).collect();
    println!("holding {count}");
    let mut bytes = [0; 8];
    for stream in &mut streams {
        stream.read_exact(&mut bytes).expect("eight bytes");
        stream.write_all(&bytes).expect("room");
    }
    println!("answered {count}");
}
