//! The user-mode network: native guests with a TCP/IP stack, and clients and servers of the host.

mod egress;
mod failures;
mod fairness;
mod names;
mod published;

use husk_tests::{Guest, Outcome, build, wire};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn guest(name: &str) -> Guest {
    Guest::image(build::image("net-guests", name))
}

/// Runs a guest that serves port 7, published as 8007, and `talk` beside it; then asks the guest to end.
fn with_server(guest: Guest, address: &str, talk: impl FnOnce()) -> Outcome {
    let mut running = guest.spawn();
    running.expect_printed("ready", 1);
    talk();
    connect(address).write_all(b"quit").expect("it listens");
    running.finish()
}

/// Connects, with retries for a server that has just started.
fn connect(address: &str) -> TcpStream {
    let deadline = Instant::now() + PATIENCE;
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => {
                stream.set_read_timeout(Some(PATIENCE)).expect("a socket has timeouts");
                return stream;
            }
            Err(error) => assert!(Instant::now() < deadline, "{address}: {error}"),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

/// Checks that `address` echoes `length` bytes by TCP.
fn expect_echo(address: &str, length: usize) {
    let sent: Vec<u8> = (0..length).map(|at| (at / 7) as u8).collect();
    let mut stream = connect(address);
    let mut writer = stream.try_clone().expect("a second descriptor");
    let (mut received, copy) = (Vec::new(), sent.clone());
    let writing = thread::spawn(move || {
        writer.write_all(&copy).expect("it reads");
        writer.shutdown(std::net::Shutdown::Write).expect("it is open");
    });
    stream.read_to_end(&mut received).expect("it answers");
    writing.join().expect("the writer does not panic");
    assert!(received == sent, "{} of {length} bytes came back", received.len());
}

/// Checks that `address` echoes a datagram of `length` bytes.
fn expect_datagram(address: &str, length: usize) {
    let socket = UdpSocket::bind("0.0.0.0:0").expect("a free port");
    socket.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket has timeouts");
    let sent = vec![b'd'; length];
    let mut received = vec![0; 1 << 16];
    let deadline = Instant::now() + PATIENCE;
    loop {
        socket.send_to(&sent, address).expect("it can be sent");
        match socket.recv(&mut received) {
            Ok(count) => return assert!(received[..count] == sent, "{count} of {length} bytes"),
            Err(error) => assert!(
                matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) && Instant::now() < deadline,
                "{address}: {error}"
            ),
        }
    }
}

#[test]
fn an_address_is_given_by_dhcp() {
    if !wire::alone() {
        return;
    }
    let outcome = with_server(guest("serve").flag("-p8007:7").argument("dhcp"), "127.0.0.1:8007", || {});
    outcome.expect_success();
    let line = "address 10.0.2.15/24, router Some(10.0.2.2), name servers [10.0.2.3]";
    assert!(outcome.stdout().is_empty() || outcome.stdout().contains(line), "{outcome}");
}

#[test]
fn a_limited_network_is_as_fast_as_it_may_be() {
    if !wire::alone() {
        return;
    }
    let guest = guest("serve").flag("-p8007:7").flag("--net-rate=2M:64K");
    let outcome = with_server(guest, "127.0.0.1:8007", || {
        let started = Instant::now();
        expect_echo("127.0.0.1:8007", 4 << 20);
        // 2 s, less the burst and the bytes that wait in buffers on the way.
        assert!(started.elapsed() > Duration::from_millis(1000), "{:?}", started.elapsed());
    });
    outcome.expect_success();
}

#[test]
fn a_wire_reaches_the_same_guest() {
    if !wire::alone() {
        return;
    }
    wire::ip("tuntap add tap0 mode tap");
    wire::ip("addr add 10.9.0.1/24 dev tap0");
    wire::ip("link set tap0 up");
    let guest = guest("serve").flag("--net=net=tap:tap0,ip=10.9.0.2/24,gw=10.9.0.1");
    let outcome = with_server(guest, "10.9.0.2:7", || {
        assert!(wire::ping([10, 9, 0, 2].into()));
        expect_echo("10.9.0.2:7", 5 << 20);
        expect_datagram("10.9.0.2:7", 1400);
    });
    outcome.expect_success();
}

#[test]
fn a_device_that_does_not_match_the_image_is_named() {
    let refused = |flags: &[&str], parts: &[&str]| {
        flags.iter().fold(guest("serve"), |guest, flag| guest.flag(*flag)).run().expect_refusal(parts);
    };
    refused(&[], &["the image wants a network device 'net'", "add --net net=user"]);
    refused(&["--net=wan=user"], &["--net wan: the image has no device of that name", "'net' (network)"]);
    refused(&["--net=user", "--net=net=user"], &["--net net is given twice"]);
    refused(&["--net=tap:husk-none"], &["device 'net'", "there is no interface 'husk-none'", "ip tuntap add"]);
    refused(&["--net=carrier-pigeon"], &["--net", "tap:INTERFACE"]);
    let hello = Guest::image(build::image("hello", "hello")).flag("--net=user").run();
    hello.expect_refusal(&["the image has no network device", "[package.metadata.husk.devices]"]);
}
