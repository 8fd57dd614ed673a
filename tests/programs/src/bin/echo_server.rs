//! Sends back what it receives by TCP and UDP; ends when a connection sends "end".

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;

fn answer(mut stream: TcpStream) -> bool {
    let mut bytes = vec![0; 16 << 10];
    loop {
        match stream.read(&mut bytes) {
            Ok(0) | Err(_) => return false,
            Ok(3) if bytes.starts_with(b"end") => return true,
            Ok(count) => {
                if stream.write_all(&bytes[..count]).is_err() {
                    return false;
                }
            }
        }
    }
}

fn main() {
    let datagrams = UdpSocket::bind("[::]:7").expect("a port");
    thread::spawn(move || {
        let mut bytes = vec![0; 65536];
        while let Ok((count, from)) = datagrams.recv_from(&mut bytes) {
            datagrams.send_to(&bytes[..count], from).expect("somebody to answer");
        }
    });
    let listener = TcpListener::bind("[::]:7").expect("a port");
    println!("ready");
    for stream in listener.incoming() {
        let stream = stream.expect("a connection");
        let answering = thread::Builder::new().stack_size(32 << 10).spawn(move || {
            if answer(stream) {
                std::process::exit(0);
            }
        });
        answering.expect("memory for a small stack");
    }
}
