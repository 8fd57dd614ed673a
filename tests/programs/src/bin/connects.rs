//! Connects to the address in its argument, and sends "hello".

use std::io::Write;
use std::net::TcpStream;

fn main() {
    let server = std::env::args().nth(1).expect("an address");
    let mut stream = TcpStream::connect(server).expect("it listens");
    stream.write_all(b"hello").expect("connected");
}
