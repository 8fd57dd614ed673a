//! Sends back whatever it receives by TCP and UDP (RFC 862), at port 7 or the one that its argument names.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec;
use alloc::vec::Vec;
use core::iter;
use husk::abi::call::News;
use husk::internet::{Error, Internet, TcpStream};
use husk::{boot, wait};

husk::entry!(main);

fn main() -> Result<(), Box<dyn core::error::Error>> {
    let port = match boot::arguments().nth(1) {
        Some(word) => core::str::from_utf8(word)?.parse()?,
        None => 7,
    };
    let mut internet = Internet::open("net")?;
    let listener = internet.listen(port, 256)?;
    let datagrams = internet.bind(port)?;
    husk::println!("listening at port {port}");
    let (mut streams, mut bytes) = (Vec::new(), vec![0; 64 << 10]);
    loop {
        streams.extend(iter::from_fn(|| listener.accept()));
        // A stream that has ended is dropped, which closes the connection.
        streams.retain_mut(|stream| echo(stream, &mut bytes) == Err(Error::NotYet));
        while let Ok((length, from)) = datagrams.receive_from(&mut bytes) {
            // A datagram that finds no room is lost, as datagrams may be.
            let _ = datagrams.send_to(&bytes[..length], from);
        }
        wait::any(&mut [&mut internet], News::empty(), u64::MAX);
    }
}

/// Sends back received bytes, until there are no more for now, or the stream has ended.
fn echo(stream: &mut TcpStream, bytes: &mut [u8]) -> Result<(), Error> {
    loop {
        let room = stream.room()?.min(bytes.len());
        match stream.read(&mut bytes[..room])? {
            0 => return Ok(()),
            count => stream.write(&bytes[..count])?,
        };
    }
}
