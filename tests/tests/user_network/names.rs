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
    let folder = tempfile::tempdir().expect("a folder");
    let file = folder.path().join("resolv.conf");
    fs::write(&file, "nameserver 127.0.0.1\n").expect("a file");
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
