//! What a guest reaches, and what the rules keep it from.

use super::guest;
use husk_tests::{Guest, wire};
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::thread;

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
