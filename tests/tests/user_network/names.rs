//! Name queries of guests, which go to the host's name server, and their answers.

use super::egress::reached;
use super::guest;
use husk_tests::{Guest, wire};
use std::fs;
use std::io::{Read, Write};
use std::net::{TcpListener, UdpSocket};
use std::thread;

/// Answer to a query of the guest's: its question, and an address if an IPv4 address was asked for.
fn name_answer(query: &[u8], address: [u8; 4]) -> Vec<u8> {
    let mut answer = query.to_vec();
    answer[2] |= 0x80;
    if query[query.len() - 3] != 1 {
        return answer;
    }
    answer[7] = 1;
    answer.extend(b"\xc0\x0c\x00\x01\x00\x01\x00\x00\x00\x3c\x00\x04");
    answer.extend(address);
    answer
}

/// Name server at 127.0.0.1 that answers 192.0.2.7, and by UDP first sends datagrams that are no answer to the query.
fn answer_names() {
    let listener = TcpListener::bind("127.0.0.1:53").expect("a free port");
    let socket = UdpSocket::bind("127.0.0.1:53").expect("a free port");
    thread::spawn(move || {
        while let Ok((mut client, _)) = listener.accept() {
            let mut length = [0; 2];
            let _ = client.read_exact(&mut length);
            let mut query = vec![0; usize::from(u16::from_be_bytes(length))];
            if client.read_exact(&mut query).is_ok() {
                let answer = name_answer(&query, [192, 0, 2, 7]);
                let length = (answer.len() as u16).to_be_bytes();
                // In pieces, because TCP may deliver them so.
                for piece in [&length[..1], &length[1..], &answer[..20], &answer[20..]] {
                    let _ = client.write_all(piece);
                }
            }
        }
    });
    thread::spawn(move || {
        let mut query = [0; 600];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let query = &query[..length];
            assert!(query.len() > 12 && query[2] & 0x80 == 0, "nothing but queries comes here");
            let mut forged = name_answer(query, [6, 6, 6, 6]);
            forged[0] ^= 0xff;
            let mut renamed = name_answer(query, [6, 6, 6, 6]);
            renamed[14] ^= 1;
            let cut = &name_answer(query, [6, 6, 6, 6])[..query.len() - 1];
            for wrong in [&forged, &renamed, cut, &b"heard hello, and far more than a header"[..], query] {
                let _ = socket.send_to(wrong, from);
            }
            let _ = socket.send_to(&name_answer(query, [192, 0, 2, 7]), from);
        }
    });
}

/// Checks the answers of `guest` on a host with the name server 127.0.0.1.
fn with_name_server(guest: Guest, flags: &[&str], words: &[(&str, &str)]) {
    with_resolver("nameserver 127.0.0.1\n", guest, flags, words);
}

/// Checks the answers of `guest` on a host with this resolv.conf(5).
fn with_resolver(text: &str, guest: Guest, flags: &[&str], words: &[(&str, &str)]) {
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("resolv.conf");
    fs::write(&file, text).expect("a file");
    let script = format!("mount --bind {} /etc/resolv.conf && exec \"$@\"", file.display());
    let guest = flags.iter().fold(guest, |guest, flag| guest.flag(*flag));
    reached(guest.through(&["unshare", "-m", "sh", "-c", &script, "sh"]), words);
}

#[test]
fn name_servers_of_the_host_are_asked_for_names_alone() {
    if !wire::alone() {
        return;
    }
    answer_names();
    let words = [
        ("name:10.0.2.3:53", "192.0.2.7"),
        ("name-tcp:10.0.2.3:53", "192.0.2.7"),
        ("name:[fd68:7573:6b00:2::3]:53", "192.0.2.7"),
        ("udp:10.0.2.3:53", "refused"),
        ("tcp:10.0.2.3:53", "refused"),
        ("tcp:10.0.2.3:54", "refused"),
        ("udp:10.0.2.3:54", "refused"),
    ];
    with_name_server(guest("reach"), &["--net=user"], &words);
}

#[test]
fn rules_say_whether_names_are_asked_for() {
    if !wire::alone() {
        return;
    }
    answer_names();
    let answers = |answer| [("name:10.0.2.3:53", answer), ("name-tcp:10.0.2.3:53", answer)];
    for denied in ["--deny=dns", "--deny=all", "--deny=all:53", "--allow=192.0.2.0/24"] {
        with_name_server(guest("reach"), &[denied], &answers("refused"));
    }
    with_name_server(guest("reach"), &["--allow=192.0.2.0/24", "--allow=dns"], &answers("192.0.2.7"));
    with_name_server(guest("reach"), &["--deny=private"], &answers("192.0.2.7"));
}

/// Programs with a C library ask for IPv4 and IPv6 addresses at once.
#[test]
fn an_ordinary_program_looks_names_up() {
    if !wire::alone() {
        return;
    }
    answer_names();
    with_name_server(Guest::program("resolves"), &["--net=user"], &[("example.test", "192.0.2.7")]);
    with_name_server(Guest::program("resolves"), &["--deny=dns"], &[("example.test", "not found")]);
}

/// Name server at `address` that answers 192.0.2.8 for names that end in `corp.test`, and that there is no other; or, if it `fails`,
/// SERVFAIL for all of them.
fn answer_names_of_a_domain(address: &str, fails: bool) {
    let socket = UdpSocket::bind((address, 53)).expect("a free port");
    thread::spawn(move || {
        let mut query = [0; 600];
        while let Ok((length, from)) = socket.recv_from(&mut query) {
            let query = &query[..length];
            let is_known = query.windows(11).any(|part| part == b"\x04corp\x04test\0");
            let mut answer = name_answer(query, [192, 0, 2, 8]);
            if fails || !is_known {
                answer.truncate(length);
                (answer[3], answer[7]) = (if fails { 2 } else { 3 }, 0);
            }
            let _ = socket.send_to(&answer, from);
        }
    });
}

#[test]
fn names_are_looked_up_in_the_domains_of_the_host() {
    if !wire::alone() {
        return;
    }
    answer_names_of_a_domain("127.0.0.1", false);
    let text = "nameserver 127.0.0.1\nsearch none.test corp.test\noptions timeout:2\n";
    let words = |found| [("db", found), ("db.corp.test", "192.0.2.8"), ("db.other.test", "not found")];
    with_resolver(text, Guest::program("resolves"), &["--net=user"], &words("192.0.2.8"));
    with_resolver(text, Guest::program("resolves"), &["--net=user", "--no-host-files"], &words("not found"));
}

#[test]
fn another_server_answers_for_one_that_does_not() {
    if !wire::alone() {
        return;
    }
    answer_names_of_a_domain("127.0.0.1", false);
    answer_names_of_a_domain("127.0.0.2", true);
    let silent = UdpSocket::bind("127.0.0.3:53").expect("a free port");
    let words = [("db.corp.test", "192.0.2.8"), ("mail.corp.test", "192.0.2.8"), ("db.other.test", "not found")];
    // One that fails, one that is silent, one at which nothing listens.
    for before in ["127.0.0.2", "127.0.0.3", "127.0.0.4"] {
        for timeout in [1, 5] {
            let text = format!("nameserver {before}\nnameserver 127.0.0.1\noptions timeout:{timeout} attempts:1\n");
            with_resolver(&text, Guest::program("resolves"), &["--net=user"], &words);
        }
    }
    let all = "nameserver 127.0.0.2\nnameserver 127.0.0.3\nnameserver 127.0.0.1\n";
    with_resolver(all, Guest::program("resolves"), &["--net=user"], &words);
    drop(silent);
}

#[test]
fn name_servers_are_those_of_the_command_line() {
    if !wire::alone() {
        return;
    }
    answer_names_of_a_domain("127.0.0.1", false);
    answer_names_of_a_domain("127.0.0.2", true);
    let text = "nameserver 127.0.0.2\nsearch corp.test\n";
    let words = [("db", "192.0.2.8"), ("db.corp.test", "192.0.2.8")];
    with_resolver(text, Guest::program("resolves"), &["--dns=127.0.0.4", "--dns=127.0.0.1"], &words);
    with_resolver(text, Guest::program("resolves"), &["--net=user"], &[("db.corp.test", "not found")]);
}

/// systemd-resolved has one address for all programs of the host, and its own option.
#[test]
fn the_stub_of_the_host_is_asked() {
    if !wire::alone() {
        return;
    }
    answer_names_of_a_domain("127.0.0.53", false);
    let text = "nameserver 127.0.0.53\noptions edns0 trust-ad\nsearch corp.test\n";
    with_resolver(text, Guest::program("resolves"), &["--net=user"], &[("db", "192.0.2.8")]);
}
