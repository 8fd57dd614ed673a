//! Clients that take all that they can get, and clients that vanish: others are still served.

#![expect(unsafe_code, reason = "limits of the process have no other interface")]

use super::{PATIENCE, connect, expect_datagram, expect_echo, guest, with_server};
use husk_tests::network::Namespace;
use husk_tests::{Guest, eventually, wire};
use std::fs;
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

/// Most connections of one address at a time: docs/network.md.
const OF_ONE_ADDRESS: usize = 4096;

/// Raises the test's limit of descriptors to the hard limit, and returns it.
fn allow_descriptors() -> usize {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: `limit` is a live variable, which the kernel writes.
    assert_eq!(unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) }, 0);
    limit.rlim_cur = limit.rlim_max;
    // SAFETY: `limit` is a live variable, which the kernel only reads.
    assert_eq!(unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &limit) }, 0);
    limit.rlim_cur as usize
}

/// Returns true if a connection is still open on the other side, which has sent nothing.
fn is_open(stream: &mut TcpStream) -> bool {
    stream.set_nonblocking(true).expect("it can");
    matches!(stream.read(&mut [0]), Err(error) if error.kind() == ErrorKind::WouldBlock)
}

/// Makes an address of the host from which connections to itself come.
fn attacker() -> &'static str {
    wire::ip("addr add 198.51.100.2/32 dev lo");
    "198.51.100.2"
}

#[test]
fn datagrams_of_one_client_take_nobody_elses_place() {
    const DATAGRAMS: usize = 10_400;
    /// Datagrams that are sent before the test waits for their arrival.
    const ROW: usize = 32;
    if !wire::alone() {
        return;
    }
    let attacker = attacker();
    let guest = guest("serve").flag("-p0.0.0.0:8007:7").flag("-p0.0.0.0:8007:7/udp");
    let outcome = with_server(guest, "127.0.0.1:8007", || {
        let known = UdpSocket::bind("127.0.0.1:0").expect("a free port");
        known.connect("127.0.0.1:8007").expect("a loopback");
        // A datagram may be dropped behind the many others.
        known.set_read_timeout(Some(Duration::from_millis(500))).expect("a socket has timeouts");
        let ask = |what: &[u8]| {
            eventually("an answer comes", || {
                let mut answer = [0; 100];
                known.send(what).expect("it can be sent");
                let length = known.recv(&mut answer).ok()?;
                (&answer[..length] == what).then_some(())
            });
        };
        ask(b"before");
        for row in 0..DATAGRAMS / ROW {
            let port = |number| 10_000 + (row * ROW + number) as u16;
            let sockets = (0..ROW).filter_map(|number| UdpSocket::bind((attacker, port(number))).ok());
            let sockets: Vec<_> = sockets.collect();
            for socket in &sockets {
                socket.send_to(b"x", (attacker, 8007)).expect("it can be sent");
            }
            if let Some(last) = sockets.last() {
                last.set_read_timeout(Some(Duration::from_millis(20))).expect("a socket has timeouts");
                let _ = last.recv(&mut [0; 8]);
            }
        }
        ask(b"after");
        expect_datagram("127.0.0.1:8007", 5);
        expect_datagram(&format!("{attacker}:8007"), 5);
        expect_echo("127.0.0.1:8007", 5);
    });
    outcome.expect_success();
}

#[test]
fn idle_connections_of_one_client_take_nobody_elses_place() {
    const CONNECTIONS: usize = 10_300;
    /// Connections that are opened before the test waits until they are accepted.
    const ROW: usize = 256;
    if !wire::alone() {
        return;
    }
    let attacker = attacker();
    // The test holds the clients' ends, and other tests run beside it.
    let count = CONNECTIONS.min(allow_descriptors().saturating_sub(2000));
    let mut running = Guest::program("echo_server").flag("--memory=1G").flag("-p0.0.0.0:8007:7").spawn();
    running.expect_printed("ready", 1);
    let mut held = Vec::new();
    while held.len() < count {
        held.push(connect(&format!("{attacker}:8007")));
        if held.len().is_multiple_of(ROW) {
            // Connections are accepted in the order in which they came.
            expect_echo("127.0.0.1:8007", 5);
        }
    }
    for _ in 0..3 {
        expect_echo("127.0.0.1:8007", 5);
    }
    // Afterwards, none of the attacker's connections was used within the last second.
    thread::sleep(Duration::from_secs(1));
    expect_echo(&format!("{attacker}:8007"), 5);
    let open = held.iter_mut().filter_map(|stream| is_open(stream).then_some(())).count();
    assert!((1..=OF_ONE_ADDRESS).contains(&open), "{open} of {count} connections are open");
    drop(held);
    connect("127.0.0.1:8007").write_all(b"end").expect("it listens");
    running.finish().expect_success();
}

/// Client that sends a byte in each of its connections now and then, to a tender with few descriptors.
#[test]
fn a_slow_client_keeps_nobody_out() {
    const CONNECTIONS: usize = 100;
    const TIME: Duration = Duration::from_secs(3);
    if !wire::alone() {
        return;
    }
    let attacker = attacker();
    let few = ["sh", "-c", "ulimit -n 150 && exec \"$@\"", "sh"];
    let guest = Guest::program("echo_server").flag("--memory=256M").flag("-p0.0.0.0:8007:7").through(&few);
    let mut running = guest.spawn();
    running.expect_printed("ready", 1);
    let end = Instant::now() + TIME;
    let mut slow: Vec<_> = (0..CONNECTIONS).map(|_| connect(&format!("{attacker}:8007"))).collect();
    while Instant::now() < end {
        slow.iter_mut().for_each(|stream| drop(stream.write(b"x")));
        expect_echo("127.0.0.1:8007", 1000);
        thread::sleep(Duration::from_millis(100));
    }
    drop(slow);
    connect("127.0.0.1:8007").write_all(b"end").expect("it listens");
    running.finish().expect_success();
}

#[test]
fn a_connection_that_is_idle_for_too_long_ends() {
    if !wire::alone() {
        return;
    }
    let guest = guest("serve").flag("-p8007:7").flag("--net-idle=2s");
    let outcome = with_server(guest, "127.0.0.1:8007", || {
        let (mut busy, mut idle) = (connect("127.0.0.1:8007"), connect("127.0.0.1:8007"));
        let ask = |stream: &mut TcpStream| {
            let mut answer = [0; 5];
            stream.write_all(b"hello").expect("it is open");
            stream.read_exact(&mut answer).expect("it answers");
        };
        ask(&mut idle);
        let started = Instant::now();
        while is_open(&mut idle) {
            ask(&mut busy);
            assert!(started.elapsed() < PATIENCE, "it does not end");
            thread::sleep(Duration::from_millis(10));
        }
        ask(&mut busy);
        assert!(started.elapsed() >= Duration::from_secs(2), "{:?}", started.elapsed());
    });
    outcome.expect_success();
}

#[test]
fn a_client_that_vanishes_is_given_up() {
    if !wire::alone() {
        return;
    }
    let [host, away] = Namespace::pair("host", "away");
    host.ip("address add 198.18.0.1/24 dev host");
    away.ip("address add 198.18.0.2/24 dev away");
    let guest = Guest::program("farewell").flag("-p0.0.0.0:8007:7").flag("--net-keepalive=1s");
    let mut running = host.run(|| guest.spawn());
    running.expect_printed("ready", 1);
    let client = away.run(|| {
        let mut client = connect("198.18.0.1:8007");
        client.write_all(b"hello").expect("connected");
        client.read_exact(&mut [0; 5]).expect("an answer");
        client
    });
    away.ip("link set away down");
    running.finish().expect_success().expect_stdout("ready\nit was broken off: ConnectionReset\n");
    drop(client);
}

/// Memory of the tender for a client: the guest accepts nothing, so none of the memory is the guest's.
#[test]
fn an_idle_connection_takes_little_memory() {
    const CLIENTS: u64 = 1000;
    const MOST: u64 = 8 << 10;
    if !wire::alone() {
        return;
    }
    allow_descriptors();
    let mut running = guest("deaf").flag("-p8007:7").spawn();
    running.expect_printed("ready", 1);
    let before = running.resident_kib();
    let clients: Vec<_> = (0..CLIENTS).map(|_| connect("127.0.0.1:8007")).collect();
    // Wait until all are accepted: each is a descriptor of the tender's.
    let descriptors = || fs::read_dir(format!("/proc/{}/fd", running.id())).map_or(0, Iterator::count) as u64;
    eventually("all clients are let in", || (descriptors() > CLIENTS).then_some(()));
    if let (Some(before), Some(after)) = (before, running.resident_kib()) {
        let each = (after.saturating_sub(before) << 10) / CLIENTS;
        eprintln!("{each} bytes for a connection");
        assert!((1000..=MOST).contains(&each), "{each} bytes for a connection: {before} KiB before, {after} after");
    }
    drop(clients);
    running.input(b"now\n".to_vec()).finish().expect_success();
}
