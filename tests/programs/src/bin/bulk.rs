//! Receives and sends bytes as fast as it can, for benches: each connection begins with a letter, `t` to take or `g` to give,
//! and a count in eight bytes. Received bytes are acknowledged by one byte. Datagrams are sent back.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;

const PORT: u16 = 9000;
const PART: usize = 64 << 10;

fn main() -> io::Result<()> {
    let datagrams = UdpSocket::bind(("0.0.0.0", PORT))?;
    thread::spawn(move || {
        let mut datagram = [0; 2048];
        while let Ok((length, from)) = datagrams.recv_from(&mut datagram) {
            let _ = datagrams.send_to(&datagram[..length], from);
        }
    });
    let listener = TcpListener::bind(("0.0.0.0", PORT))?;
    println!("listening");
    for stream in listener.incoming() {
        let stream = stream?;
        thread::spawn(move || serve(stream));
    }
    Ok(())
}

fn serve(mut stream: TcpStream) -> io::Result<()> {
    let (mut way, mut count) = ([0], [0; 8]);
    stream.read_exact(&mut way)?;
    stream.read_exact(&mut count)?;
    let (mut left, mut part) = (u64::from_be_bytes(count), vec![b'x'; PART]);
    while left > 0 {
        let length = left.min(PART as u64) as usize;
        left -= match way {
            [b't'] => match stream.read(&mut part[..length])? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                count => count,
            },
            _ => stream.write(&part[..length])?,
        } as u64;
    }
    if way == [b't'] { stream.write_all(b"!") } else { Ok(()) }
}
