//! The user-mode network: native guests with a TCP/IP stack, and clients and servers of the host.

use husk_tests::{Guest, Outcome, build, wire};
use std::io::{ErrorKind, Read, Write};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::{Duration, Instant};

const PATIENCE: Duration = Duration::from_secs(20);

fn guest(name: &str) -> Guest {
    Guest::image(build::image("net-guests", name))
}

/// Runs the server of the guests with port 7 published as 8007, and `talk` meanwhile; then asks it to end.
fn with_server(guest: Guest, address: &str, talk: impl FnOnce()) -> Outcome {
    let mut running = guest.spawn();
    running.expect_printed("ready", 1);
    talk();
    connect(address).write_all(b"quit").expect("it listens");
    running.finish()
}

/// Connects, in spite of a server that has just started.
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

/// What `address` sends back of `length` bytes is the same.
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

/// What `address` sends back to a datagram.
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
fn published_ports_lead_to_the_guest() {
    if !wire::alone() {
        return;
    }
    let guest = guest("serve").flag("-p8007:7").flag("-p").flag("127.0.0.1:8008:7").flag("-p8007:7/udp");
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

/// A server that answers one client with `heard ` and what it said, for TCP and UDP.
fn answer_one(address: &str) {
    let listener = TcpListener::bind(address).expect("a free port");
    let socket = UdpSocket::bind(address).expect("a free port");
    // Threads share the network of the one that makes them. They end with the process.
    thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let mut heard = [0; 5];
            if client.read_exact(&mut heard).is_ok() {
                let _ = client.write_all(&[b"heard ", &heard[..]].concat());
            }
        }
    });
    thread::spawn(move || {
        let mut heard = [0; 100];
        while let Ok((length, from)) = socket.recv_from(&mut heard) {
            let _ = socket.send_to(&[b"heard ", &heard[..length]].concat(), from);
        }
    });
}

/// Two addresses that are outside for a guest: the host's own, as it happens.
fn outside() {
    wire::ip("addr add 192.0.2.1/32 dev lo");
    wire::ip("-6 addr add 2001:db8::1/128 dev lo nodad");
}

#[test]
fn a_guest_reaches_what_is_outside() {
    if !wire::alone() {
        return;
    }
    outside();
    answer_one("192.0.2.1:9000");
    answer_one("[2001:db8::1]:9000");
    std::fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").expect("it is our own network's");
    let words = [
        ("tcp:192.0.2.1:9000", "heard hello"),
        ("udp:192.0.2.1:9000", "heard hello"),
        ("tcp:[2001:db8::1]:9000", "heard hello"),
        ("udp:[2001:db8::1]:9000", "heard hello"),
        ("tcp:192.0.2.1:9001", "refused"),
        ("udp:192.0.2.1:9001", "refused"),
        ("udp:[2001:db8::1]:9001", "refused"),
        ("ping:10.0.2.2", "echo"),
        ("ping:fd68:7573:6b00:2::2", "echo"),
        ("ping:192.0.2.1", "echo"),
        ("ping:2001:db8::1", "echo"),
    ];
    reached(guest("reach").flag("--net=user"), &words);
}

/// The guest that tries `words` finds these answers.
fn reached(guest: Guest, words: &[(&str, &str)]) {
    let expected: String = words.iter().map(|(word, answer)| format!("{word}: {answer}\n")).collect();
    let guest = words.iter().fold(guest, |guest, (word, _)| guest.argument(*word));
    guest.run().expect_success().expect_stdout(&expected);
}

#[test]
fn rules_say_what_a_guest_reaches() {
    if !wire::alone() {
        return;
    }
    outside();
    answer_one("192.0.2.1:9000");
    answer_one("192.0.2.1:9001");
    let answers = |first, second| [("tcp:192.0.2.1:9000", first), ("tcp:192.0.2.1:9001", second)];
    reached(guest("reach").flag("--deny=all:9000"), &answers("refused", "heard hello"));
    reached(guest("reach").flag("--allow=192.0.2.0/24:9000"), &answers("heard hello", "refused"));
    reached(guest("reach").flag("--deny=192.0.2.1").flag("--allow=all"), &answers("refused", "refused"));
}

#[test]
fn the_hosts_loopback_is_reached_only_if_it_is_allowed() {
    if !wire::alone() {
        return;
    }
    answer_one("127.0.0.1:9000");
    reached(guest("reach").flag("--net=user"), &[("tcp:10.0.2.4:9000", "refused"), ("udp:10.0.2.4:9000", "refused")]);
    let words = [("tcp:10.0.2.4:9000", "heard hello"), ("udp:10.0.2.4:9000", "heard hello")];
    reached(guest("reach").flag("--allow=host:9000"), &words);
}

#[test]
fn name_servers_of_the_host_are_asked() {
    if !wire::alone() {
        return;
    }
    answer_one("127.0.0.1:53");
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("resolv.conf");
    std::fs::write(&file, "nameserver 127.0.0.1\n").expect("a file");
    let script = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", file.display());
    let guest = guest("reach").flag("--net=user").through(&["unshare", "-m", "sh", "-c", &script, "sh"]);
    reached(
        guest,
        &[("udp:10.0.2.3:53", "heard hello"), ("tcp:10.0.2.3:53", "heard hello"), ("tcp:10.0.2.3:54", "refused")],
    );
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
        // Less the burst, and what waits in buffers on the way.
        assert!(started.elapsed() > Duration::from_millis(1000), "{:?}", started.elapsed());
    });
    outcome.expect_success();
}

/// A tender that can have few descriptors serves as many clients as it can, and the others when those have left.
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

/// A guest that takes nothing costs its tender no more than some frames, however much is sent to it.
#[test]
fn what_a_guest_does_not_take_does_not_pile_up() {
    const DATAGRAMS: usize = 100_000;
    const CLIENTS: usize = 50;
    // What each client has that is let in: a buffer for each direction.
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
        // What the host does not take either is lost.
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
    outcome.expect_refusal(&["device 'net'", "port 8007 of the host cannot be published", "in use"]);
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
