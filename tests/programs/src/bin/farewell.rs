//! Accepts one connection, sends back what it receives first, and prints how the connection ends.

use std::io::{Read, Write};
use std::net::TcpListener;

fn main() {
    let listener = TcpListener::bind("0.0.0.0:7").expect("a port");
    println!("ready");
    let (mut stream, _) = listener.accept().expect("a connection");
    let mut bytes = [0; 100];
    let count = stream.read(&mut bytes).expect("words");
    stream.write_all(&bytes[..count]).expect("a reader");
    match stream.read(&mut bytes) {
        Ok(0) => println!("it has ended"),
        Ok(count) => println!("it says {count} bytes more"),
        Err(error) => println!("it was broken off: {:?}", error.kind()),
    }
}
