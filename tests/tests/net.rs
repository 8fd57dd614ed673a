//! Sockets of the internet families. Within a program they are as on Linux, so each such program also passes as a process;
//! with a network device there is a TAP interface, and this machine is at the other end.

use husk_tests::network::accept;
use husk_tests::wire::attached;
use husk_tests::{Guest, Running, build, native, network, requires, wire};
use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, TcpListener, TcpStream, UdpSocket};
use std::thread;
use std::time::Duration;

/// Checks that the program `name` ends well as a process of this machine and in a guest, with the same output.
fn same_as_a_process(name: &str) {
    Guest::program(name).run().expect_success().expect_stdout(&native::output("programs", name));
}

#[test]
fn connections_are_as_on_linux() {
    same_as_a_process("tcp");
}

#[test]
fn datagrams_are_as_on_linux() {
    same_as_a_process("udp");
}

#[test]
fn options_and_control_data_are_as_on_linux() {
    same_as_a_process("socket_options");
}

#[test]
fn ten_thousand_connections_fit() {
    Guest::program("many_connections").run().expect_success().expect_stdout("10000 connections\n");
}

/// Network device of a guest that has to ask for its address.
const ASKING: &str = "--net=tap:tap0";
/// Network device of a guest with fixed addresses.
const DEVICE: &str = "--net=tap:tap0,ip=10.0.0.2/24,gw=10.0.0.1,dns=10.0.0.1,ip=fd00::2/64";

/// Echoes the bytes of the next connection, up to its FIN.
fn serve_one(listener: &TcpListener) {
    let (mut stream, _) = accept(listener);
    let mut bytes = vec![0; 64 << 10];
    loop {
        match stream.read(&mut bytes).expect("bytes") {
            0 => break,
            count => stream.write_all(&bytes[..count]).expect("a reader"),
        }
    }
    stream.shutdown(Shutdown::Write).expect("connected");
}

/// Name server that answers queries for IPv4 addresses with 10.0.0.1, and all others with no address.
fn name_server() {
    let socket = UdpSocket::bind("10.0.0.1:53").expect("a port");
    thread::spawn(move || {
        let mut question = [0; 512];
        while let Ok((length, from)) = socket.recv_from(&mut question) {
            let is_v4 = question[length - 3] == 1;
            let mut answer = question[..length].to_vec();
            answer[2..4].copy_from_slice(&[0x81, 0x80]);
            answer[7] = is_v4.into();
            if is_v4 {
                // Pointer to the name in the question, type A, class IN, a time to live of a minute, four bytes.
                answer.extend([0xc0, 12, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4, 10, 0, 0, 1]);
            }
            socket.send_to(&answer, from).expect("it listens");
        }
    });
}

/// DHCP server that leases 10.0.0.2 to any client: RFC 2131 and 2132.
fn lender() {
    const KIND: usize = 242;
    let socket = UdpSocket::bind("0.0.0.0:67").expect("a port");
    socket.set_broadcast(true).expect("allowed");
    thread::spawn(move || {
        let mut asked = [0; 1500];
        while let Ok((length, _)) = socket.recv_from(&mut asked) {
            assert!(length > KIND && asked[236..241] == [99, 130, 83, 99, 53], "it begins with its kind");
            let mut answer = asked[..240].to_vec();
            answer[0] = 2;
            answer[16..20].copy_from_slice(&[10, 0, 0, 2]);
            // DHCPOFFER for DHCPDISCOVER, DHCPACK for DHCPREQUEST.
            answer.extend([53, 1, if asked[KIND] == 1 { 2 } else { 5 }]);
            answer.extend([54, 4, 10, 0, 0, 1, 51, 4, 0, 0, 14, 16, 1, 4, 255, 255, 255, 0]);
            answer.extend([3, 4, 10, 0, 0, 1, 6, 4, 10, 0, 0, 1, 255]);
            answer.resize(300, 0);
            socket.send_to(&answer, "10.0.0.255:68").expect("a wire");
        }
    });
}

fn client_of(device: &str, host: &str, address: &str, nowhere: &str, expected: &str) {
    // Before the server, which waits for a minute: a build can take longer.
    let client = Guest::program("net_client");
    if !attached() {
        return;
    }
    if device == ASKING {
        lender();
    }
    name_server();
    let address: IpAddr = address.parse().expect("an address");
    let listener = TcpListener::bind((address, 0)).expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let datagrams = UdpSocket::bind((address, port)).expect("a port");
    let last = thread::spawn(move || {
        serve_one(&listener);
        let (mut stream, _) = accept(&listener);
        thread::sleep(Duration::from_millis(300));
        stream.read_to_end(&mut Vec::new())
    });
    thread::spawn(move || {
        let mut bytes = [0; 2000];
        while let Ok((length, from)) = datagrams.recv_from(&mut bytes) {
            datagrams.send_to(&bytes[..length], from).expect("it listens");
        }
    });
    let guest = client.flag(device).argument(host).argument(port.to_string()).argument(nowhere);
    guest.run().expect_success().expect_stdout(expected);
    assert_eq!(last.join().expect("no panic").expect("it ends in order"), 2_000_000);
}

#[test]
fn a_program_finds_and_reaches_a_server() {
    let expected = "server.husk.test is 10.0.0.1\nfrom 10.0.0.2\n2000000 bytes came back\na datagram came back\n";
    client_of(DEVICE, "server.husk.test", "10.0.0.1", "10.0.0.77", expected);
}

#[test]
fn a_program_asks_for_its_address() {
    let expected = "server.husk.test is 10.0.0.1\nfrom 10.0.0.2\n2000000 bytes came back\na datagram came back\n";
    client_of(ASKING, "server.husk.test", "10.0.0.1", "10.0.0.77", expected);
}

#[test]
fn a_program_reaches_a_server_by_ipv6() {
    let expected = "fd00::1 is fd00::1\nfrom fd00::2\n2000000 bytes came back\na datagram came back\n";
    client_of(DEVICE, "fd00::1", "fd00::1", "fd00::77", expected);
}

/// Echo server that is ready, on a network of this thread's; `None` if there can be no network.
fn echo_server() -> Option<Running> {
    attached().then(|| {
        let mut server = Guest::program("echo_server").flag(DEVICE).spawn();
        server.expect_printed("ready", 1);
        wire::wait_until_up("tap0");
        server
    })
}

#[test]
fn a_server_answers_many_at_once() {
    let Some(server) = echo_server() else { return };
    let connect = |address: &str| {
        let stream = TcpStream::connect((address, 7)).expect("it listens");
        stream.set_read_timeout(Some(Duration::from_secs(30))).expect("allowed");
        stream
    };
    let mut streams: Vec<_> = (0..300).map(|number| connect(["10.0.0.2", "fd00::2"][number % 2])).collect();
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&number.to_ne_bytes()).expect("connected");
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        let mut bytes = [0; 8];
        stream.read_exact(&mut bytes).expect("an answer");
        assert_eq!(usize::from_ne_bytes(bytes), number);
    }
    let refused = TcpStream::connect(("10.0.0.2", 9)).expect_err("nobody listens");
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    streams[0].write_all(b"end").expect("connected");
    server.finish().expect_success();
    // Other connections are reset, or have ended: they do not hang.
    let _ = streams[1].read(&mut [0]);
}

/// Runs a native program, without libos, that speaks TCP and UDP with servers of this test, attached by this flag. There is no
/// route to `nowhere`.
fn native_client(device: &str, nowhere: Option<&str>) {
    if !attached() {
        return;
    }
    if device == ASKING {
        lender();
    }
    let listener = TcpListener::bind("10.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let datagrams = UdpSocket::bind(("10.0.0.1", port)).expect("a port");
    thread::spawn(move || {
        let mut bytes = [0; 2000];
        while let Ok((length, from)) = datagrams.recv_from(&mut bytes) {
            datagrams.send_to(&bytes[..length], from).expect("it listens");
        }
    });
    let last = thread::spawn(move || {
        serve_one(&listener);
        // Closing a connection that has unread bytes resets it (RST).
        let (mut stream, _) = accept(&listener);
        stream.read_exact(&mut [0]).expect("there is more than that");
        drop(stream);
        let (mut stream, _) = accept(&listener);
        thread::sleep(Duration::from_millis(300));
        stream.read_to_end(&mut Vec::new())
    });
    let guest = Guest::image(build::image("net-guests", "internet")).flag(device).argument(format!("10.0.0.1:{port}"));
    let told = nowhere.map(|nowhere| format!("{nowhere}: there is no way to that address\n"));
    nowhere.into_iter().fold(guest, Guest::argument).run().expect_success().expect_stdout(&format!(
        "address 10.0.0.2/24\n9: nobody listens there\n{}1000000 bytes came back\n\
         the other side has ended the connection\n1400 bytes came back\nsaid goodbye\n",
        told.unwrap_or_default()
    ));
    assert_eq!(last.join().expect("no panic").expect("it ends in order"), 200_000);
}

#[test]
fn a_native_program_reaches_a_server() {
    native_client("--net=tap:tap0,ip=10.0.0.2/24", Some("192.0.2.1:9"));
}

#[test]
fn a_native_program_asks_for_its_address() {
    native_client(ASKING, None);
}

/// Hardware address, and the IPv6 link-local address that follows from it: RFC 4291, appendix A.
const MAC: &str = "mac=02:00:00:00:00:07";
const ON_LINK: &str = "fe80::ff:fe00:7";

#[test]
fn interfaces_are_told() {
    Guest::program("interfaces").run().expect_success().expect_stdout("lo 127.0.0.1/8\nlo ::1/128\n1 lo\n");
    if !attached() {
        return;
    }
    let attached = Guest::program("interfaces").flag(format!("{DEVICE},{MAC}"));
    let addresses = format!("lo 127.0.0.1/8\nnet 10.0.0.2/24\nlo ::1/128\nnet fd00::2/64\nnet {ON_LINK}/64\n");
    attached.run().expect_success().expect_stdout(&format!("{addresses}1 lo\n2 net\n"));
}

#[test]
fn a_program_has_the_address_that_a_router_tells() {
    if !attached() {
        return;
    }
    wire::advertise("tap0", [0xfd, 0, 0, 0, 0, 0, 0, 0]);
    let listener = TcpListener::bind("[fd00::1]:0").expect("a port");
    let port = listener.local_addr().expect("bound").port();
    let from = thread::spawn(move || {
        let (mut stream, from) = accept(&listener);
        let _ = stream.read_to_end(&mut Vec::new());
        from.ip()
    });
    let guest = Guest::program("connects").flag(format!("--net=tap:tap0,ip=10.0.0.2/24,{MAC}"));
    guest.argument(format!("[fd00::1]:{port}")).run().expect_success();
    assert_eq!(from.join().expect("no panic").to_string(), "fd00::ff:fe00:7");
}

#[test]
fn a_program_answers_ping() {
    let Some(_server) = echo_server() else { return };
    for address in ["10.0.0.2", "fd00::2"] {
        assert!(wire::ping(address.parse().expect("an address")), "{address}");
    }
}

/// A program and this machine receive datagrams to a group that they have joined.
#[test]
fn groups_are_joined_and_left() {
    if !attached() {
        return;
    }
    wire::ip("route add 239.0.0.0/8 dev tap0");
    let groups = ["239.1.2.3", "ff15::7"];
    let mut guest = groups.into_iter().fold(Guest::program("groups").flag(DEVICE), Guest::argument).spawn();
    for (group, bound, guest_address) in [(groups[0], "0.0.0.0", "10.0.0.2"), (groups[1], "::", "fd00::2")] {
        let socket = UdpSocket::bind((bound, 5001)).expect("a port");
        socket.set_read_timeout(Some(Duration::from_secs(20))).expect("allowed");
        match group.parse().expect("an address") {
            IpAddr::V4(group) => socket.join_multicast_v4(&group, &[10, 0, 0, 1].into()),
            IpAddr::V6(group) => socket.join_multicast_v6(&group, wire::interface("tap0")),
        }
        .expect("it can be joined");
        guest.expect_printed(&format!("{group} joined\n"), 1);
        // A datagram that is lost is not sent again.
        wire::wait_until_up("tap0");
        socket.send_to(b"hello", (group, 5000)).expect("there is a way");
        guest.expect_printed(&format!("{group} left\n"), 1);
        let mut bytes = [0; 100];
        let (length, from) = socket.recv_from(&mut bytes).expect("it comes");
        assert_eq!((&bytes[..length], from.ip().to_string().as_str()), (&b"from the guest"[..], guest_address));
        // The guest has left the group: it receives only the second datagram.
        socket.send_to(b"unheard", (group, 5000)).expect("there is a way");
        socket.send_to(b"end", (guest_address, 5000)).expect("there is a way");
    }
    let said = |from| format!("hello from {from}\n");
    guest.finish().expect_success().expect_stdout(&format!(
        "239.1.2.3 joined\n{}239.1.2.3 left\nff15::7 joined\n{}ff15::7 left\n",
        said("10.0.0.1"),
        said("fd00::1")
    ));
}

#[test]
fn a_server_on_the_loopback_interface_is_not_reached_by_a_tap_interface_and_its_user_is_told() {
    let guest = Guest::program("listens_locally").flag(DEVICE);
    if !attached() {
        return;
    }
    let mut server = guest.spawn();
    server.expect_printed("listening", 1);
    wire::wait_until_up("tap0");
    for _ in 0..2 {
        let refused = TcpStream::connect("10.0.0.2:7").expect_err("nobody listens outside");
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
    }
    server.signal("TERM", 1);
    let outcome = server.finish();
    outcome.expect_stdout("listening\n").expect_stderr("let it listen on 0.0.0.0:7 or [::]:7");
    assert_eq!(outcome.stderr().matches("its loopback interface only").count(), 1, "{outcome}");
}

/// Connections that are opened at once, and in all.
const BURST: usize = 1000;
const CROWD: usize = 10_000;

#[test]
fn thousands_of_connections_from_outside_are_opened_at_once_and_held() {
    if !requires::descriptors(CROWD as u64 + 500) || !attached() {
        return;
    }
    let crowd = Guest::program("crowd").flag(DEVICE).flag("--memory=512M").argument(CROWD.to_string());
    let mut server = crowd.spawn();
    server.expect_printed("ready", 1);
    wire::wait_until_up("tap0");
    let mut streams = Vec::with_capacity(CROWD);
    while streams.len() < CROWD {
        streams.extend(network::connect_at_once(([10, 0, 0, 2], 7).into(), BURST));
    }
    server.expect_printed(&format!("holding {CROWD}"), 1);
    for (number, stream) in streams.iter_mut().enumerate() {
        stream.write_all(&number.to_ne_bytes()).expect("connected");
    }
    for (number, stream) in streams.iter_mut().enumerate() {
        let mut bytes = [0; 8];
        stream.read_exact(&mut bytes).expect("an answer");
        assert_eq!(usize::from_ne_bytes(bytes), number);
    }
    server.finish().expect_success();
}
