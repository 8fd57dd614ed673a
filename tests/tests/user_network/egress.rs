//! Addresses that a guest reaches, and those that the rules deny. The host and the network outside are network namespaces of
//! the test's own.

use super::guest;
use husk_tests::network::Namespace;
use husk_tests::{Guest, wire};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::thread;

/// Addresses outside: public ones, a private one, and those of metadata services in several forms.
const OUTSIDE: [&str; 12] = [
    "192.0.2.1",
    "2001:db8::1",
    "64:ff9b::192.0.2.1",
    "10.1.2.3",
    "fd12::3",
    "169.254.169.254",
    "100.100.100.200",
    "168.63.129.16",
    "192.0.0.192",
    "fd00:ec2::254",
    "64:ff9b::169.254.169.254",
    "2002:a9fe:a9fe::1",
];
/// Addresses of the host itself.
const OWN: [&str; 3] = ["198.18.0.1", "203.0.113.1", "2001:db8:1::1"];
/// Port of the servers at these addresses.
const PORT: u16 = 9000;

/// Host, and the network outside of it.
struct World {
    host: Namespace,
    _outside: Namespace,
}

impl World {
    /// Makes a world with a server at each address; `None` if this machine cannot.
    fn new() -> Option<Self> {
        if !wire::alone() {
            return None;
        }
        let [host, outside] = Namespace::pair("host", "outside");
        let allow =
            || fs::write("/proc/sys/net/ipv4/ping_group_range", "0 2147483647").expect("it is our own network's");
        host.run(allow);
        host.ip("address add 198.18.0.1/24 dev host");
        host.ip("address add 2001:db8:1::1/64 dev host nodad");
        host.ip("address add 203.0.113.1/32 dev lo");
        host.ip("route add default via 198.18.0.2");
        host.ip("-6 route add default via 2001:db8:1::2");
        outside.ip("address add 198.18.0.2/24 dev outside");
        outside.ip("address add 2001:db8:1::2/64 dev outside nodad");
        for address in OUTSIDE {
            let prefix = if address.contains(':') { "128 dev lo nodad" } else { "32 dev lo" };
            outside.ip(&format!("address add {address}/{prefix}"));
        }
        outside.run(|| OUTSIDE.iter().for_each(|address| answer_all(address)));
        host.run(|| OWN.iter().chain(&["127.0.0.1"]).for_each(|address| answer_all(address)));
        Some(Self { host, _outside: outside })
    }

    /// Checks that a guest with these flags that tries `words` gets these answers.
    fn reached(&self, flags: &[&str], words: &[(&str, &str)]) {
        let guest = flags.iter().fold(guest("reach"), |guest, flag| guest.flag(*flag));
        self.host.run(|| reached(guest, words));
    }

    /// Checks that a guest with these flags gets the same answer from each of the `addresses`.
    fn each(&self, flags: &[&str], addresses: &[&str], answer: &str) {
        let word = |address: &&str| {
            let address = if address.contains(':') { format!("[{address}]") } else { (*address).to_owned() };
            format!("tcp:{address}:{PORT}")
        };
        let words: Vec<_> = addresses.iter().map(word).collect();
        let words: Vec<_> = words.iter().map(|word| (word.as_str(), answer)).collect();
        self.reached(flags, &words);
    }
}

/// Checks that the guest that tries `words` gets these answers.
pub fn reached(guest: Guest, words: &[(&str, &str)]) {
    let expected: String = words.iter().map(|(word, answer)| format!("{word}: {answer}\n")).collect();
    let guest = words.iter().fold(guest, |guest, (word, _)| guest.argument(*word));
    guest.run().expect_success().expect_stdout(&expected);
}

/// Server at an address, for TCP and UDP, that answers a client with `heard ` and the client's message.
fn answer_all(address: &str) {
    let listener = TcpListener::bind((address, PORT)).expect("a free port");
    let socket = UdpSocket::bind((address, PORT)).expect("a free port");
    // Threads inherit the network namespace of the thread that makes them. They end with the process.
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

#[test]
fn a_guest_reaches_what_is_outside() {
    let Some(world) = World::new() else { return };
    let words = [
        ("tcp:192.0.2.1:9000", "heard hello"),
        ("udp:192.0.2.1:9000", "heard hello"),
        ("tcp:[2001:db8::1]:9000", "heard hello"),
        ("udp:[2001:db8::1]:9000", "heard hello"),
        ("tcp:[64:ff9b::192.0.2.1]:9000", "heard hello"),
        ("tcp:10.1.2.3:9000", "heard hello"),
        ("tcp:192.0.2.1:9001", "refused"),
        ("udp:192.0.2.1:9001", "refused"),
        ("udp:[2001:db8::1]:9001", "refused"),
        ("ping:10.0.2.2", "echo"),
        ("ping:fd68:7573:6b00:2::2", "echo"),
        ("ping:192.0.2.1", "echo"),
        ("ping:2001:db8::1", "echo"),
    ];
    world.reached(&["--net=user"], &words);
}

#[test]
fn rules_say_what_a_guest_reaches() {
    let Some(world) = World::new() else { return };
    let answers = |first, second| [("tcp:192.0.2.1:9000", first), ("tcp:10.1.2.3:9000", second)];
    world.reached(&["--deny=192.0.2.0/24:9000"], &answers("refused", "heard hello"));
    world.reached(&["--allow=192.0.2.0/24:9000"], &answers("heard hello", "refused"));
    world.reached(&["--deny=192.0.2.1", "--allow=all"], &answers("refused", "heard hello"));
    world.reached(&["--allow=private"], &answers("refused", "heard hello"));
    world.each(&["--deny=private"], &["10.1.2.3", "fd12::3"], "refused");
    world.each(&["--deny=192.0.2.1"], &["64:ff9b::192.0.2.1"], "refused");
}

#[test]
fn nothing_leaves_a_guest_that_is_denied_all() {
    let Some(world) = World::new() else { return };
    let flags = ["--deny=all"];
    world.each(&flags, &OUTSIDE, "refused");
    world.each(&flags, &OWN, "refused");
    let words = [
        ("udp:192.0.2.1:9000", "refused"),
        ("udp:[2001:db8::1]:9000", "refused"),
        ("ping:10.0.2.2", "echo"),
        ("ping:192.0.2.1", "silence"),
        ("ping:2001:db8::1", "silence"),
        ("tcp:10.0.2.4:9000", "refused"),
    ];
    world.reached(&flags, &words);
}

#[test]
fn services_that_tell_secrets_are_reached_only_if_they_are_allowed() {
    let Some(world) = World::new() else { return };
    let secrets = &OUTSIDE[5..];
    world.each(&["--net=user"], secrets, "refused");
    world.each(&["--allow=all"], secrets, "refused");
    world.each(&["--allow=metadata"], secrets, "heard hello");
    world.reached(&["--net=user"], &[("udp:169.254.169.254:9000", "refused"), ("ping:169.254.169.254", "silence")]);
}

#[test]
fn the_host_itself_is_reached_only_if_it_is_allowed() {
    let Some(world) = World::new() else { return };
    let loopback = |answer| [("tcp:10.0.2.4:9000", answer), ("udp:10.0.2.4:9000", answer)];
    world.reached(&["--net=user"], &loopback("refused"));
    world.reached(&["--allow=host:9000"], &loopback("heard hello"));
    world.each(&["--net=user"], &OWN, "refused");
    world.each(&["--allow=host"], &OWN, "heard hello");
    world.each(&["--allow=203.0.113.1:9000"], &["203.0.113.1"], "heard hello");
    world.each(&["--allow=203.0.113.0/24"], &["203.0.113.1"], "refused");
    world.reached(&["--net=user"], &[("udp:198.18.0.1:9000", "refused"), ("ping:203.0.113.1", "silence")]);
}

/// Addresses of the host may change while a guest runs.
#[test]
fn an_address_that_the_host_gets_later_is_its_own() {
    let Some(world) = World::new() else { return };
    let later = || {
        let guest = guest("reach").flag("--net=user").argument("wait").argument("tcp:192.0.2.1:9000");
        let mut running = guest.spawn();
        running.expect_printed("waiting", 1);
        wire::ip("address add 192.0.2.1/32 dev lo");
        answer_all("192.0.2.1");
        running.say("now");
        running.finish().expect_success().expect_stdout("waiting\ntcp:192.0.2.1:9000: refused\n");
    };
    world.host.run(later);
}
