//! Guests that are sent more than they can serve: they serve again afterwards, and stay within their memory.

use husk_tests::wire::{self, Tap};
use husk_tests::{Guest, build, eventually};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::time::Duration;

/// Longest wait for an answer after the flood.
const PATIENCE: Duration = Duration::from_secs(20);
/// Memory of the guest, and most memory of its tender on top, in MiB.
const MEMORY: u64 = 64;
const TENDER: u64 = 16;
/// Network device of the guest, with the hardware address that the frames here are sent to.
const DEVICE: &str = "--net=tap:tap0,ip=10.0.0.2/24,mac=02:00:00:00:00:07";

/// Runs a server that echoes at port 7, runs `flood` against the server, and checks that it answers afterwards.
fn flooded(guest: Guest, ready: &str, flood: impl FnOnce(&Tap)) {
    if !wire::alone() {
        return;
    }
    let tap = Tap::new("tap0", 1500);
    wire::ip("addr add 10.0.0.1/24 dev tap0");
    let mut running = guest.flag(DEVICE).flag(format!("--memory={MEMORY}M")).spawn();
    running.expect_printed(ready, 1);
    tap.wait_until_up();
    flood(&tap);
    // While the guest works off its backlog, ARP queries for its address may time out (EHOSTUNREACH).
    let connect = || TcpStream::connect_timeout(&([10, 0, 0, 2], 7).into(), PATIENCE).ok();
    let mut client = eventually("the guest still listens", connect);
    client.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
    client.write_all(b"hello").expect("connected");
    let mut answer = [0; 5];
    client.read_exact(&mut answer).expect("it still answers");
    assert_eq!(&answer, b"hello");
    let resident = running.resident_kib().expect("it still runs");
    assert!(resident < (MEMORY + TENDER) << 10, "{resident} KiB");
}

fn ordinary() -> Guest {
    Guest::program("echo_server")
}

fn native() -> Guest {
    Guest::image(build::image("echo", "echo"))
}

/// Internet checksum of IP and TCP: RFC 1071.
fn checksum(parts: &[&[u8]]) -> [u8; 2] {
    let words = parts.iter().flat_map(|part| part.chunks(2));
    let mut sum: u32 = words.map(|word| u32::from(word[0]) << 8 | u32::from(word[1])).sum();
    while sum > 0xffff {
        sum = (sum & 0xffff) + (sum >> 16);
    }
    (!(sum as u16)).to_be_bytes()
}

/// SYN segment in a frame, to port 7, from a machine that does not exist: a different connection for each number.
fn opening(number: u32) -> Vec<u8> {
    let port = (1024 + number / 100 % 60_000) as u16;
    let from = [10, 0, 0, 100 + (number % 100) as u8];
    let mut ip = vec![0x45, 0, 0, 40, 0, 0, 0, 0, 64, 6, 0, 0];
    ip.extend(from);
    ip.extend([10, 0, 0, 2]);
    let sum = checksum(&[&ip]);
    ip[10..12].copy_from_slice(&sum);
    let mut tcp = port.to_be_bytes().to_vec();
    tcp.extend([0, 7]);
    tcp.extend(number.to_be_bytes());
    tcp.extend([0, 0, 0, 0, 0x50, 0x02, 0xff, 0xff, 0, 0, 0, 0]);
    let sum = checksum(&[&ip[12..20], &[0, 6, 0, 20], &tcp]);
    tcp[16..18].copy_from_slice(&sum);
    [&[2, 0, 0, 0, 0, 7, 2, 0, 0, 0, 0, 1, 8, 0][..], &ip, &tcp].concat()
}

/// SYN flood: opens far more connections than a guest keeps half open, and completes none.
fn open_and_forget(tap: &Tap) {
    const SEGMENTS: u32 = 20_000;
    let mut sent = 0;
    for number in 0..SEGMENTS {
        // The interface does not take all frames while the guest gets no processor time.
        let enough = SEGMENTS / 10;
        match tap.send(&opening(number)) {
            true => sent += 1,
            false if sent < enough => {
                eventually("the wire takes a segment", || tap.send(&opening(number)).then_some(()));
                sent += 1;
            }
            false => {}
        }
    }
}

/// Sends datagrams to an open and to a closed port.
fn send_and_send(_: &Tap) {
    const DATAGRAMS: usize = 100_000;
    let socket = UdpSocket::bind("10.0.0.1:0").expect("a free port");
    for number in 0..DATAGRAMS {
        // Datagrams that the interface does not take are lost.
        let _ = socket.send_to(&[0; 1000], SocketAddr::from(([10, 0, 0, 2], [7, 9][number % 2])));
    }
}

#[test]
fn connections_that_nobody_goes_on_with_keep_no_one_else_out() {
    flooded(ordinary(), "ready", open_and_forget);
}

#[test]
fn a_native_server_survives_connections_that_nobody_goes_on_with() {
    flooded(native(), "listening", open_and_forget);
}

#[test]
fn a_server_survives_a_flood_of_datagrams() {
    flooded(ordinary(), "ready", send_and_send);
}

#[test]
fn a_native_server_survives_a_flood_of_datagrams() {
    flooded(native(), "listening", send_and_send);
}
