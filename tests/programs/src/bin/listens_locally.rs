//! Listens on the loopback interface only, where it reaches itself and nothing else does.

use std::io::Read;
use std::net::{TcpListener, TcpStream};

fn main() {
    let listener = TcpListener::bind("127.0.0.1:7").expect("a free port");
    let mut own = TcpStream::connect("127.0.0.1:7").expect("it listens");
    drop(listener.accept().expect("the program's own connection"));
    assert_eq!(own.read(&mut [0]).expect("closed in order"), 0);
    println!("listening");
    drop(listener.accept().expect("a client"));
    println!("a client from outside");
}
