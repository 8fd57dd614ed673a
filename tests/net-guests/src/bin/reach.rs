//! Tries to reach the addresses in its arguments, one after the other, and prints each result: `tcp:ADDRESS`, `udp:ADDRESS`
//! (both with a port: sends `hello` there and prints the answer), `ping:ADDRESS`, or `name:ADDRESS` and `name-tcp:ADDRESS`
//! (both with a port: asks there for the address of a name, and prints the last address of the answer). `wait` waits for a
//! line of input.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;
use core::net::{IpAddr, SocketAddr};
use husk::abi::call::News;
use husk::{boot, clock, wait};
use net_guests::host::Host;
use smoltcp::phy::ChecksumCapabilities;
use smoltcp::socket::{icmp, tcp, udp};
use smoltcp::wire::{Icmpv4Packet, Icmpv4Repr, Icmpv6Packet, Icmpv6Repr};

husk::entry!(main);

/// Longest wait for an answer, in nanoseconds.
const PATIENCE_NS: u64 = 3_000_000_000;

fn main() {
    let mut host = Host::new(false);
    for (number, word) in boot::arguments().skip(1).enumerate() {
        let word = core::str::from_utf8(word).expect("text");
        if word == "wait" {
            husk::println!("waiting");
            while !wait::any(&mut [], News::INPUT, u64::MAX).contains(News::INPUT) {}
            continue;
        }
        let (how, to) = word.split_once(':').expect("how:whom");
        let port = 40_000 + number as u16;
        let answer = match how {
            "tcp" => stream(&mut host, to.parse().expect("an address"), port, b"hello", |_| false),
            "udp" => datagram(&mut host, to.parse().expect("an address"), port, b"hello"),
            "name" => datagram(&mut host, to.parse().expect("an address"), port, QUERY).map(address),
            "name-tcp" => {
                let framed = [&(QUERY.len() as u16).to_be_bytes()[..], QUERY].concat();
                let whole = |heard: &[u8]| heard.len() > 2 && heard.len() - 2 == usize::from(heard[1]);
                stream(&mut host, to.parse().expect("an address"), port, &framed, whole).map(address)
            }
            "ping" => ping(&mut host, to.parse().expect("an address"), port),
            _ => panic!("no way '{how}'"),
        };
        match answer {
            Some(answer) => husk::println!("{word}: {}", core::str::from_utf8(&answer).unwrap_or("?")),
            None => husk::println!("{word}: silence"),
        }
    }
}

/// Query for the address of `example.test` (RFC 1035).
const QUERY: &[u8] = b"\x12\x34\x01\x00\x00\x01\x00\x00\x00\x00\x00\x00\x07example\x04test\x00\x00\x01\x00\x01";

/// Returns the address at the end of an answer as text, and anything else as it is.
fn address(answer: Vec<u8>) -> Vec<u8> {
    match answer[..] {
        [.., a, b, c, d] if answer.len() > QUERY.len() => alloc::format!("{a}.{b}.{c}.{d}").into_bytes(),
        _ => answer,
    }
}

/// Works until `done` returns an answer, or `PATIENCE_NS` have passed.
fn until(host: &mut Host, mut done: impl FnMut(&mut Host) -> Option<Vec<u8>>) -> Option<Vec<u8>> {
    let deadline = clock::monotonic_ns() + PATIENCE_NS;
    while clock::monotonic_ns() < deadline {
        host.work();
        if let Some(answer) = done(host) {
            return Some(answer);
        }
        clock::sleep_until(clock::monotonic_ns() + 200_000);
    }
    None
}

/// Returns the bytes that come back to `what`, until the peer ends or `is_all` says that they are complete.
fn stream(host: &mut Host, to: SocketAddr, port: u16, what: &[u8], is_all: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    let buffer = || tcp::SocketBuffer::new(vec![0; 16 << 10]);
    let handle = host.sockets.add(tcp::Socket::new(buffer(), buffer()));
    let context = host.interface.context();
    host.sockets.get_mut::<tcp::Socket<'_>>(handle).connect(context, to, port).expect("it can be tried");
    let mut said = false;
    let mut heard = Vec::new();
    until(host, |host| {
        let socket = host.sockets.get_mut::<tcp::Socket<'_>>(handle);
        if socket.state() == tcp::State::Closed {
            return Some(if heard.is_empty() { b"refused".to_vec() } else { heard.clone() });
        }
        if !said && socket.can_send() {
            said = socket.send_slice(what).is_ok();
            if what == b"hello" {
                socket.close();
            }
        }
        if socket.can_recv() {
            let _ = socket.recv(|bytes| {
                heard.extend_from_slice(bytes);
                (bytes.len(), ())
            });
        }
        let is_over = said && !socket.may_recv() && !heard.is_empty();
        (is_over || is_all(&heard)).then(|| heard.clone())
    })
}

fn datagram(host: &mut Host, to: SocketAddr, port: u16, what: &[u8]) -> Option<Vec<u8>> {
    let packets = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; 4096]);
    let handle = host.sockets.add(udp::Socket::new(packets(), packets()));
    let socket = host.sockets.get_mut::<udp::Socket<'_>>(handle);
    socket.bind(port).expect("the port is free");
    socket.send_slice(what, to).expect("there is room");
    let packets = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 1024]);
    let refusals = host.sockets.add(icmp::Socket::new(packets(), packets()));
    let socket = host.sockets.get_mut::<icmp::Socket<'_>>(refusals);
    socket.bind(icmp::Endpoint::Udp(port.into())).expect("it is free");
    until(host, |host| {
        if host.sockets.get_mut::<icmp::Socket<'_>>(refusals).recv().is_ok() {
            return Some(b"refused".to_vec());
        }
        Some(host.sockets.get_mut::<udp::Socket<'_>>(handle).recv().ok()?.0.to_vec())
    })
}

fn ping(host: &mut Host, to: IpAddr, identifier: u16) -> Option<Vec<u8>> {
    let packets = || icmp::PacketBuffer::new(vec![icmp::PacketMetadata::EMPTY; 4], vec![0; 1024]);
    let handle = host.sockets.add(icmp::Socket::new(packets(), packets()));
    let socket = host.sockets.get_mut::<icmp::Socket<'_>>(handle);
    socket.bind(icmp::Endpoint::Ident(identifier)).expect("it is free");
    let checksums = ChecksumCapabilities::default();
    match to {
        IpAddr::V4(_) => {
            let repr = Icmpv4Repr::EchoRequest { ident: identifier, seq_no: 1, data: b"echo" };
            let bytes = socket.send(repr.buffer_len(), to.into()).expect("there is room");
            repr.emit(&mut Icmpv4Packet::new_unchecked(bytes), &checksums);
        }
        IpAddr::V6(far) => {
            let own = host.interface.get_source_address_ipv6(&far);
            let repr = Icmpv6Repr::EchoRequest { ident: identifier, seq_no: 1, data: b"echo" };
            let bytes = socket.send(repr.buffer_len(), to.into()).expect("there is room");
            repr.emit(&own, &far, &mut Icmpv6Packet::new_unchecked(bytes), &checksums);
        }
    }
    until(host, |host| {
        let (bytes, _) = host.sockets.get_mut::<icmp::Socket<'_>>(handle).recv().ok()?;
        Some(bytes.get(8..)?.to_vec())
    })
}
