//! Listens on the loopback interface only, where it reaches itself; and a client from outside, where the network lets it.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};

fn main() {
    let listener = TcpListener::bind("127.0.0.1:7").expect("a free port");
    let mut own = TcpStream::connect("127.0.0.1:7").expect("it listens");
    drop(listener.accept().expect("the program's own connection"));
    assert_eq!(own.read(&mut [0]).expect("closed in order"), 0);
    println!("listening");
    let (mut client, address) = listener.accept().expect("a client");
    client.write_all(b"hello").expect("connected");
    println!("a client from {} at {}", address.ip(), client.local_addr().expect("bound"));
}
