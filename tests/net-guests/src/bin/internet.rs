//! Uses TCP and UDP as a native program does, with the servers at the address in its first argument. The second argument, if
//! there is one, is an address without a route.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use core::net::SocketAddr;
use guests::word;
use husk::abi::call::News;
use husk::clock::monotonic_ns;
use husk::internet::{Error, Internet, TcpStream};
use husk::{device, wait};

husk::entry!(main);

/// Longest duration of a step, in nanoseconds.
const PATIENCE_NS: u64 = 30_000_000_000;

fn main() -> Result<(), Error> {
    let server: SocketAddr = word(1).parse().expect("an address");
    let mut internet = Internet::open("net").expect("a network");
    assert_eq!(Internet::open("net").err(), Some(device::Error::Taken));
    until_addressed(&mut internet);
    ports_belong_to_one(&internet)?;

    let mut stream = internet.connect(SocketAddr::new(server.ip(), 9))?;
    let refused = in_time(&mut internet, || stream.read(&mut [0])).expect_err("nobody listens");
    husk::println!("9: {refused}");
    assert_eq!(stream.write(b"?"), Err(Error::Refused));
    if let Ok(nowhere) = word(2).parse() {
        let error = internet.connect(nowhere).expect_err("there is no way");
        husk::println!("{nowhere}: {error}");
    }

    let count = there_and_back(&mut internet, server)?;
    husk::println!("{count} bytes came back");

    let mut stream = internet.connect(server)?;
    write_all(&mut internet, &mut stream, b"more than is read")?;
    let reset = in_time(&mut internet, || stream.read(&mut [0])).expect_err("it is reset");
    husk::println!("{reset}");

    let datagrams = internet.bind(0)?;
    let mut bytes = [0; 2000];
    assert_eq!(datagrams.receive_from(&mut bytes), Err(Error::NotYet));
    assert_eq!(datagrams.send_to(&bytes, server), Err(Error::TooLong));
    datagrams.send_to(&[5; 1400], server)?;
    let (count, from) = in_time(&mut internet, || datagrams.receive_from(&mut bytes))?;
    assert!(from == server && bytes[..count].iter().all(|byte| *byte == 5));
    husk::println!("{count} bytes came back");

    // A wait for nothing but a deadline ends, too.
    let soon = monotonic_ns() + 5_000_000;
    while monotonic_ns() < soon {
        wait::any(&mut [&mut internet], News::empty(), soon);
    }
    let mut stream = internet.connect(server)?;
    write_all(&mut internet, &mut stream, &[1; 200_000])?;
    drop(stream);
    assert!(internet.settle(monotonic_ns() + PATIENCE_NS), "the server reads all");
    husk::println!("said goodbye");
    Ok(())
}

/// Waits for the result of `what`, for `PATIENCE_NS` at most.
fn in_time<T>(internet: &mut Internet, what: impl FnMut() -> Result<T, Error>) -> Result<T, Error> {
    internet.until(monotonic_ns() + PATIENCE_NS, what)
}

fn until_addressed(internet: &mut Internet) {
    let deadline = monotonic_ns() + PATIENCE_NS;
    if internet.is_asking() {
        assert_eq!(internet.connect(([10, 0, 0, 1], 9).into()).err(), Some(Error::NotYet));
    }
    while internet.is_asking() {
        assert!(monotonic_ns() < deadline, "the network lends an address");
        wait::any(&mut [internet], News::empty(), deadline);
    }
    for (address, prefix) in internet.addresses().iter().filter(|(address, _)| address.is_ipv4()) {
        husk::println!("address {address}/{prefix}");
    }
}

fn ports_belong_to_one(internet: &Internet) -> Result<(), Error> {
    let (listener, datagrams) = (internet.listen(80, 1)?, internet.bind(80)?);
    assert_eq!(internet.listen(80, 1).err(), Some(Error::PortTaken));
    assert_eq!(internet.bind(80).err(), Some(Error::PortTaken));
    drop((listener, datagrams));
    internet.listen(80, 1)?;
    internet.bind(80).map(drop)
}

fn write_all(internet: &mut Internet, stream: &mut TcpStream, mut bytes: &[u8]) -> Result<(), Error> {
    while !bytes.is_empty() {
        let count = in_time(internet, || stream.write(bytes))?;
        bytes = &bytes[count..];
    }
    Ok(())
}

/// Sends a million bytes while it receives what comes back, which must be the same. Returns their number.
fn there_and_back(internet: &mut Internet, server: SocketAddr) -> Result<usize, Error> {
    let sent: Vec<u8> = (0..1_000_000_u32).map(|at| (at / 7) as u8).collect();
    let (mut received, mut bytes) = (Vec::new(), vec![0; 32 << 10]);
    let mut stream = internet.connect(server)?;
    assert_eq!(stream.peer_address(), server);
    let mut done = 0;
    loop {
        let written = if done < sent.len() { stream.write(&sent[done..]) } else { Ok(0) };
        match written {
            Ok(0) => stream.finish(),
            Ok(count) => done += count,
            Err(Error::NotYet) => {}
            Err(error) => return Err(error),
        }
        match stream.read(&mut bytes) {
            Ok(0) => break,
            Ok(count) => received.extend_from_slice(&bytes[..count]),
            Err(Error::NotYet) => drop(wait::any(&mut [internet], News::empty(), u64::MAX)),
            Err(error) => return Err(error),
        }
    }
    assert_eq!(stream.write(b"more"), Err(Error::Finished));
    assert!(received == sent);
    Ok(received.len())
}
