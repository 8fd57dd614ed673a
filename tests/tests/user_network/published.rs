//! Published ports: clients of the host reach the guest, where the user says.

use super::{connect, expect_datagram, expect_echo, guest, with_server};
use husk_tests::network::Namespace;
use husk_tests::{Guest, requires, wire};
use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream, UdpSocket};
use std::time::Duration;

#[test]
fn published_ports_lead_to_the_guest() {
    if !wire::alone() {
        return;
    }
    let guest = guest("serve").flag("-p[::]:8007:7").flag("-p").flag("127.0.0.1:8008:7").flag("-p8007:7/udp");
    let outcome = with_server(guest, "127.0.0.1:8007", || {
        expect_echo("127.0.0.1:8007", 5);
        expect_echo("127.0.0.1:8007", 20 << 20);
        expect_echo("127.0.0.1:8008", 100_000);
        expect_echo("[::1]:8007", 100_000);
        expect_datagram("127.0.0.1:8007", 5);
        expect_datagram("127.0.0.1:8007", 60_000);
        assert!(TcpStream::connect("[::1]:8008").is_err(), "published at one address only");
    });
    outcome.expect_success();
}

#[test]
fn many_clients_are_served_at_once() {
    if !wire::alone() {
        return;
    }
    let outcome = with_server(guest("serve").flag("-p8007:7"), "127.0.0.1:8007", || {
        let mut clients: Vec<_> = (0..60).map(|_| connect("127.0.0.1:8007")).collect();
        for round in 0..20u8 {
            clients.iter_mut().for_each(|client| client.write_all(&[round; 1000]).expect("it reads"));
            for client in &mut clients {
                let mut answer = [0; 1000];
                client.read_exact(&mut answer).expect("it answers");
                assert_eq!(answer, [round; 1000]);
            }
        }
    });
    outcome.expect_success();
}

#[test]
fn a_burst_of_clients_is_served_and_none_is_reset() {
    const CLIENTS: usize = 2000;
    // The tender wants that many for a full budget.
    if !requires::descriptors(12_576 + 64) || !wire::alone() {
        return;
    }
    let program = Guest::program("reads_each").flag("-p8007:7").argument(CLIENTS.to_string());
    let mut server = program.spawn();
    server.expect_printed("ready", 1);
    let mut clients: Vec<TcpStream> = Vec::with_capacity(CLIENTS);
    for _ in 0..CLIENTS {
        let mut client = connect("127.0.0.1:8007");
        client.write_all(b"x").expect("connected");
        client.shutdown(Shutdown::Write).expect("connected");
        clients.push(client);
    }
    for mut client in clients {
        assert_eq!(client.read(&mut [0; 8]).map_err(|error| error.kind()), Ok(0));
    }
    server.expect_printed(&format!("{CLIENTS} bytes"), 1);
    server.finish().expect_success();
}

/// A tender with few descriptors serves as many clients as it can, and the others when those have left.
#[test]
fn clients_beyond_what_the_tender_can_have_wait_for_their_turn() {
    const CLIENTS: usize = 150;
    if !wire::alone() {
        return;
    }
    // The guest has 64 places: enough for those that can be served, and as many that have just left.
    let few = ["sh", "-c", "ulimit -n 44 && exec \"$@\"", "sh"];
    let outcome = with_server(guest("serve").flag("-p8007:7").through(&few), "127.0.0.1:8007", || {
        let mut waiting: Vec<_> = (0..CLIENTS).map(|_| connect("127.0.0.1:8007")).collect();
        waiting.iter_mut().for_each(|client| client.write_all(b"hello").expect("it can be sent"));
        for mut client in waiting {
            let mut answer = [0; 5];
            client.read_exact(&mut answer).expect("its turn comes");
            assert_eq!(&answer, b"hello");
        }
    });
    outcome.expect_success();
}

/// A guest that accepts nothing costs its tender no more than some frames, however much is sent to the guest.
#[test]
fn what_a_guest_does_not_take_does_not_pile_up() {
    const DATAGRAMS: usize = 100_000;
    const CLIENTS: usize = 50;
    // Each accepted client has a buffer for each direction.
    const BUFFERS_KIB: u64 = CLIENTS as u64 * 2 * 256;
    if !wire::alone() {
        return;
    }
    let mut running = guest("deaf").flag("-p8007:7").flag("-p8007:7/udp").spawn();
    running.expect_printed("ready", 1);
    let before = running.resident_kib();
    let mut clients: Vec<_> = (0..CLIENTS).map(|_| connect("127.0.0.1:8007")).collect();
    clients.iter_mut().for_each(|client| client.write_all(&[0; 10_000]).expect("the host takes so much"));
    let socket = UdpSocket::bind("127.0.0.1:0").expect("a free port");
    for _ in 0..DATAGRAMS {
        // Datagrams that the host does not take either are lost.
        let _ = socket.send_to(&[0; 1000], "127.0.0.1:8007");
    }
    if let (Some(before), Some(after)) = (before, running.resident_kib()) {
        assert!(after < before + BUFFERS_KIB + 16 * 1024, "{before} KiB, and {after} KiB with what waits");
    }
    running.input(b"now\n".to_vec()).finish().expect_success().expect_stdout("ready\nheard nothing\n");
}

#[test]
fn a_port_that_is_taken_is_named() {
    if !wire::alone() {
        return;
    }
    let _taken = TcpListener::bind("127.0.0.1:8007").expect("a free port");
    let outcome = guest("serve").flag("-p127.0.0.1:8007:7").run();
    outcome.expect_refusal(&["device 'net'", "TCP 127.0.0.1:8007 of the host cannot be published", "in use"]);
}

#[test]
fn a_port_is_published_at_the_loopback_unless_the_user_says_where() {
    if !wire::alone() {
        return;
    }
    wire::ip("addr add 198.51.100.1/32 dev lo");
    let guest = guest("serve").flag("-p8007:7").flag("-p8007:7/udp").flag("-p0.0.0.0:8008:7").flag("-p[::]:8009:7");
    let outcome = with_server(guest, "127.0.0.1:8007", || {
        expect_echo("127.0.0.1:8007", 5);
        expect_datagram("127.0.0.1:8007", 5);
        for closed in ["198.51.100.1:8007", "[::1]:8007", "[::1]:8008"] {
            assert!(TcpStream::connect(closed).is_err(), "{closed}");
        }
        for open in ["198.51.100.1:8008", "198.51.100.1:8009", "[::1]:8009"] {
            expect_echo(open, 5);
        }
    });
    outcome
        .expect_success()
        .expect_stderr("husk: TCP port 7 of the guest is at 127.0.0.1:8007\n")
        .expect_stderr("husk: UDP port 7 of the guest is at 127.0.0.1:8007\n")
        .expect_stderr("husk: TCP port 7 of the guest is at 0.0.0.0:8008, every IPv4 address of this host\n")
        .expect_stderr("husk: TCP port 7 of the guest is at [::]:8009, every address of this host\n");
}

/// Clients that the guest cannot distinguish, because their addresses mean nothing to it and their ports are the same.
#[test]
fn an_answer_goes_to_the_client_that_asked() {
    const ROUNDS: u8 = 20;
    if !wire::alone() {
        return;
    }
    let guest = guest("serve").flag("-p8007:7").flag("-p8007:7/udp").flag("-p[::1]:8007:7/udp");
    let outcome = with_server(guest, "127.0.0.1:8007", || {
        let client = |(address, server): (&str, &str)| {
            let socket = UdpSocket::bind(address).expect("a free port");
            socket.connect(server).expect("a loopback");
            socket.set_read_timeout(Some(super::PATIENCE)).expect("a socket has timeouts");
            socket
        };
        let v4 = ["127.0.0.1:5555", "127.0.0.2:5555", "127.0.0.3:5555"].map(|address| (address, "127.0.0.1:8007"));
        let clients = v4.into_iter().chain([("[::1]:5555", "[::1]:8007")]).map(client).collect::<Vec<_>>();
        for round in 0..ROUNDS {
            for (number, client) in clients.iter().enumerate() {
                client.send(&[number as u8, round]).expect("it can be sent");
            }
            for (number, client) in clients.iter().enumerate() {
                let mut answer = [0; 100];
                let length = client.recv(&mut answer).expect("an answer");
                assert_eq!(answer[..length], [number as u8, round], "the answer to client {number}");
            }
        }
    });
    outcome.expect_success();
}

/// A host with several addresses answers from the one that was asked: a client accepts answers from no other.
#[test]
fn an_answer_comes_from_the_address_that_was_asked() {
    if !wire::alone() {
        return;
    }
    let [host, away] = Namespace::pair("host", "away");
    host.ip("address add 198.18.0.1/24 dev host");
    host.ip("address add 203.0.113.1/32 dev lo");
    host.ip("address add 2001:db8:1::1/64 dev host nodad");
    host.ip("address add 2001:db8:2::1/128 dev lo nodad");
    away.ip("address add 198.18.0.2/24 dev away");
    away.ip("address add 2001:db8:1::2/64 dev away nodad");
    away.ip("route add 203.0.113.1 via 198.18.0.1");
    away.ip("-6 route add 2001:db8:2::1 via 2001:db8:1::1");
    let guest = guest("serve").flag("-p8007:7").flag("-p0.0.0.0:8007:7/udp").flag("-p[::]:8008:7/udp");
    let mut running = host.run(|| guest.spawn());
    running.expect_printed("ready", 1);
    away.run(|| {
        let addresses = ["198.18.0.1:8007", "203.0.113.1:8007", "203.0.113.1:8008", "[2001:db8:2::1]:8008"];
        for address in addresses {
            let own = if address.starts_with('[') { "[::]:0" } else { "0.0.0.0:0" };
            let socket = UdpSocket::bind(own).expect("a free port");
            socket.connect(address).expect("there is a route");
            socket.set_read_timeout(Some(Duration::from_secs(1))).expect("a socket has timeouts");
            let mut answer = [0; 100];
            // The first datagram may be lost during address resolution (ARP, NDP).
            let asked = (0..10).find_map(|_| {
                socket.send(b"hello").expect("it can be sent");
                socket.recv(&mut answer).ok()
            });
            assert_eq!(asked, Some(5), "{address}");
        }
    });
    host.run(|| connect("127.0.0.1:8007").write_all(b"quit").expect("it listens"));
    running.finish().expect_success();
}

#[test]
fn a_guest_that_listens_on_its_loopback_only_is_reached_where_its_port_is_published() {
    if !wire::alone() {
        return;
    }
    let mut running = Guest::program("listens_locally").flag("--net=user").flag("-p8007:7").flag("-p8008:8").spawn();
    running.expect_printed("listening\n", 1);
    // Published, but the program does not listen there.
    let mut bytes = Vec::new();
    let _ = TcpStream::connect("127.0.0.1:8008").and_then(|mut client| client.read_to_end(&mut bytes));
    let mut client = TcpStream::connect("127.0.0.1:8007").expect("published");
    client.read_to_end(&mut bytes).expect("the program closes it in order");
    assert_eq!(bytes, b"hello");
    // The client is the network's, as any other: no program takes it for one of its own.
    running.finish().expect_success().expect_stdout("listening\na client from 10.0.2.2 at 10.0.2.15:7\n");
}
