//! Accepts as many connections as the argument says, one after the other, and reads each to its end. Prints the bytes of all.

use std::io::Read;
use std::net::TcpListener;

fn main() {
    let count = std::env::args().nth(1).and_then(|count| count.parse().ok()).expect("a number of connections");
    let listener = TcpListener::bind("0.0.0.0:7").expect("a port");
    println!("ready");
    let mut bytes = Vec::new();
    for stream in listener.incoming().take(count) {
        stream.and_then(|mut stream| stream.read_to_end(&mut bytes)).expect("a connection that ends in order");
    }
    println!("{} bytes", bytes.len());
}
