//! Asks rtnetlink(7) for interfaces and routes as libraries do, and prints what it says.

#![expect(
    clippy::undocumented_unsafe_blocks,
    reason = "every call takes numbers, or pointers to locals that outlive it"
)]

use libc::*;
use programs::errno;
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::ptr::null_mut;
use std::time::Duration;

const DUMP: u16 = (NLM_F_REQUEST | NLM_F_DUMP) as u16;
const ACK: u16 = (NLM_F_REQUEST | NLM_F_ACK) as u16;
const REQUEST: u16 = NLM_F_REQUEST as u16;
/// Attributes, and groups of notifications.
const IFLA_IFNAME: u16 = 3;
const RTA_DST: u16 = 1;
const GROUPS: u32 = 1;

/// Sends a request of this kind, and prints the messages that answer it.
fn ask(socket: i32, what: &str, kind: u16, flags: u16, body: &[u8]) {
    let head =
        [&(16 + body.len() as u32).to_ne_bytes()[..], &kind.to_ne_bytes(), &flags.to_ne_bytes(), &[7; 4], &[0; 4]];
    let request = [&head.concat()[..], body].concat();
    let sent = unsafe { send(socket, request.as_ptr().cast(), request.len(), 0) };
    assert_eq!(sent, request.len() as isize, "{}", errno());
    println!("{what}:");
    let mut is_over = false;
    while !is_over {
        let peeked = unsafe { recv(socket, null_mut(), 0, MSG_PEEK | MSG_TRUNC) };
        let mut bytes = vec![0u8; 32 << 10];
        let length = unsafe { recv(socket, bytes.as_mut_ptr().cast(), bytes.len(), 0) };
        assert_eq!(peeked, length, "the length of the next message");
        let mut rest = &bytes[..usize::try_from(length).expect("an answer")];
        while let Some((message, behind)) = cut(rest, 4, 0) {
            let is_end = show(&message[4..]);
            is_over |= is_end || flags & NLM_F_DUMP as u16 == 0;
            rest = behind;
        }
    }
}

/// Cuts off the first message or attribute of `bytes`, which begins with its length.
fn cut(bytes: &[u8], width: usize, least: usize) -> Option<(&[u8], &[u8])> {
    let length = match width {
        4 => u32::from_ne_bytes(*bytes.first_chunk()?) as usize,
        _ => u16::from_ne_bytes(*bytes.first_chunk()?).into(),
    };
    let whole = bytes.get(..length).filter(|whole| whole.len() > least)?;
    Some((whole, bytes.get(length.next_multiple_of(4)..).unwrap_or_default()))
}

/// Prints a message without its length. Returns true for the end of an answer.
fn show(message: &[u8]) -> bool {
    let kind = u16::from_ne_bytes([message[0], message[1]]);
    let body = &message[12..];
    let head = match u32::from(kind) {
        2 => {
            let number = i32::from_ne_bytes(body[..4].try_into().expect("four"));
            println!("  error {number} about {} bytes", body.len() - 4);
            return true;
        }
        3 => return true,
        16 => 16,
        20 => 8,
        24 | 28 => 12,
        _ => panic!("an answer of kind {kind}"),
    };
    let mut words = vec![];
    let mut rest = &body[head..];
    while let Some((attribute, behind)) = cut(rest, 2, 4) {
        let number = u16::from_ne_bytes([attribute[2], attribute[3]]);
        words.extend(word(kind, number, &attribute[4..], body));
        rest = behind;
    }
    // Attributes have no order.
    words.sort();
    let four = |at: usize| u32::from_ne_bytes(body[at..at + 4].try_into().expect("four"));
    let facts = match kind {
        16 => format!("kind {} number {} flags {:x}", u16::from_ne_bytes([body[2], body[3]]), four(4), four(8)),
        20 => format!("prefix {} flags {:x} scope {} number {}", body[1], body[2], body[3], four(4)),
        24 => format!("table {} scope {} type {}", body[4], body[6], body[7]),
        // A neighbour without ARP is none that anybody has asked for.
        _ if body[8] == 0x40 => return false,
        _ => format!("number {} state {} type {}", four(4), body[8], body[11]),
    };
    println!("  {} {facts}", words.join(" "));
    false
}

/// Returns what an attribute of a message says, if that is not special to a machine.
fn word(kind: u16, attribute: u16, value: &[u8], body: &[u8]) -> Option<String> {
    let ip = || match value.len() {
        4 => IpAddr::from(*value.first_chunk::<4>().expect("four")),
        _ => IpAddr::from(*value.first_chunk::<16>().expect("sixteen")),
    };
    let number = || u32::from_ne_bytes(value.try_into().expect("four"));
    let name = || String::from_utf8_lossy(&value[..value.len() - 1]).into_owned();
    Some(match (kind, attribute) {
        (16, 1) => format!("mac {value:x?}"),
        (16, 2) => format!("everybody {value:x?}"),
        (16, 3) => name(),
        (16, 4) => format!("mtu {}", number()),
        (16, 16) => format!("state {}", value[0]),
        (16, 33) => format!("carrier {}", value[0]),
        (20, 1) => format!("address {}", ip()),
        (20, 2) => format!("local {}", ip()),
        (20, 3) => name(),
        (20, 4) => format!("everybody {}", ip()),
        (20, 8) => format!("flags {:x}", number() & 0x80),
        (24, 1) => format!("{}/{}", ip(), body[1]),
        (24, 4) => format!("by {}", number()),
        (24, 5) => format!("via {}", ip()),
        (24, 6) => format!("metric {}", number()),
        (24, 7) => format!("from {}", ip()),
        (28, 1) => format!("neighbour {}", ip()),
        (28, 2) => format!("mac {value:x?}"),
        _ => return None,
    })
}

fn attribute(kind: u16, value: &[u8]) -> Vec<u8> {
    let mut bytes = [&(4 + value.len() as u16).to_ne_bytes()[..], &kind.to_ne_bytes(), value].concat();
    bytes.resize(bytes.len().next_multiple_of(4), 0);
    bytes
}

/// Opens a socket that asks. It belongs to groups of notifications, as those of libraries do.
fn open() -> i32 {
    let socket = unsafe { socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE) };
    let mut address: sockaddr_nl = unsafe { std::mem::zeroed() };
    (address.nl_family, address.nl_groups) = (AF_NETLINK as u16, GROUPS);
    assert_eq!(unsafe { bind(socket, (&raw const address).cast(), size_of_val(&address) as u32) }, 0, "{}", errno());
    for option in [NETLINK_EXT_ACK, NETLINK_ADD_MEMBERSHIP] {
        set(socket, option, 1);
    }
    socket
}

fn set(socket: i32, option: i32, to: i32) {
    let result = unsafe { setsockopt(socket, SOL_NETLINK, option, (&raw const to).cast(), 4) };
    assert_eq!(result, 0, "{option}: {}", errno());
}

/// Requests about interfaces.
fn ask_links(socket: i32) {
    let link = |rest: Vec<u8>| [vec![0; 16], rest].concat();
    ask(socket, "interfaces", RTM_GETLINK, DUMP, &link(vec![]));
    ask(socket, "interfaces, asked for by one flag", RTM_GETLINK, REQUEST | NLM_F_ROOT as u16, &link(vec![]));
    ask(socket, "lo", RTM_GETLINK, REQUEST, &link(attribute(IFLA_IFNAME, b"lo\0")));
    ask(socket, "no interface", RTM_GETLINK, REQUEST, &link(attribute(IFLA_IFNAME, b"none-such\0")));
    ask(socket, "no name", RTM_GETLINK, REQUEST, &link(vec![]));
    ask(socket, "a request that is too short", RTM_GETLINK, REQUEST, &[0; 8]);
    ask(socket, "an unknown request", 999, REQUEST, &[0; 8]);
    let change = [0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0];
    ask(socket, "a change", RTM_SETLINK, ACK, &change);
    set(socket, NETLINK_CAP_ACK, 1);
    ask(socket, "a change, with short errors", RTM_SETLINK, ACK, &change);
    set(socket, NETLINK_CAP_ACK, 0);
    ask(socket, "nothing", 1, ACK, &[]);
}

/// Requests about addresses: all, those of an interface, and one.
fn ask_addresses(socket: i32) {
    let about = |family: i32, number: u8, rest: Vec<u8>| [vec![family as u8, 0, 0, 0, number, 0, 0, 0], rest].concat();
    for (what, family) in [("addresses", 0), ("addresses of IPv4", AF_INET), ("addresses of IPv6", AF_INET6)] {
        ask(socket, what, RTM_GETADDR, DUMP, &about(family, 0, vec![]));
    }
    set(socket, NETLINK_GET_STRICT_CHK, 1);
    ask(socket, "addresses of lo", RTM_GETADDR, DUMP, &about(AF_INET, 1, vec![]));
    set(socket, NETLINK_GET_STRICT_CHK, 0);
    let one = |address: [u8; 16]| about(AF_INET6, 0, attribute(1, &address));
    ask(socket, "::1", RTM_GETADDR, REQUEST, &one([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]));
    ask(socket, "a foreign address", RTM_GETADDR, REQUEST, &one([9; 16]));
    ask(socket, "127.0.0.1", RTM_GETADDR, REQUEST, &about(AF_INET, 0, attribute(1, &[127, 0, 0, 1])));
}

/// Requests about routes: all, and those to some addresses.
fn ask_routes(socket: i32, to: &[IpAddr]) {
    let route = |family: i32, rest: Vec<u8>| [vec![family as u8], vec![0; 11], rest].concat();
    ask(socket, "routes", RTM_GETROUTE, DUMP, &route(AF_INET, vec![]));
    ask(socket, "routes of IPv6", RTM_GETROUTE, DUMP, &route(AF_INET6, vec![]));
    for to in to {
        let (family, octets) = match to {
            IpAddr::V4(v4) => (AF_INET, v4.octets().to_vec()),
            IpAddr::V6(v6) => (AF_INET6, v6.octets().to_vec()),
        };
        let mut body = route(family, attribute(RTA_DST, &octets));
        body[1] = octets.len() as u8 * 8;
        ask(socket, &format!("to {to}"), RTM_GETROUTE, REQUEST, &body);
    }
}

/// Requests about neighbours, one of which has answered.
fn ask_neighbours(socket: i32, neighbour: IpAddr) {
    let IpAddr::V4(v4) = neighbour else { return };
    let to = SocketAddr::new(neighbour, 9);
    println!("{:?}", TcpStream::connect_timeout(&to, Duration::from_secs(60)).map_err(|error| error.kind()).err());
    let about = |number: u8, rest: Vec<u8>| [vec![AF_INET as u8, 0, 0, 0, number], vec![0; 7], rest].concat();
    ask(socket, "neighbours", RTM_GETNEIGH, DUMP, &about(0, vec![]));
    ask(socket, "one", RTM_GETNEIGH, REQUEST, &about(2, attribute(RTA_DST, &v4.octets())));
    ask(socket, "another", RTM_GETNEIGH, REQUEST, &about(2, attribute(RTA_DST, &[10, 0, 0, 77])));
    ask(socket, "at lo", RTM_GETNEIGH, REQUEST, &about(1, attribute(RTA_DST, &v4.octets())));
    ask(socket, "at none", RTM_GETNEIGH, REQUEST, &about(77, attribute(RTA_DST, &v4.octets())));
}

/// Sends more requests than there is room for answers: the loss is reported once, and what was there before stays.
fn ask_too_much(socket: i32) {
    let request =
        [&20u32.to_ne_bytes()[..], &RTM_GETADDR.to_ne_bytes(), &REQUEST.to_ne_bytes(), &[0; 8], &[2, 0, 0, 0]];
    let requests = request.concat().repeat(200);
    for _ in 0..40 {
        unsafe { send(socket, requests.as_ptr().cast(), requests.len(), 0) };
    }
    let mut bytes = [0; 4096];
    let mut receive = || match unsafe { recv(socket, bytes.as_mut_ptr().cast(), 4096, MSG_DONTWAIT) } {
        -1 => Err(errno()),
        length => Ok(length),
    };
    println!("a loss: {:?}", receive());
    println!("an answer from before: {:?}", receive());
    println!("an end: {:?}", std::iter::repeat_with(receive).find(Result::is_err));
}

fn main() {
    let to: Vec<IpAddr> = std::env::args().skip(1).map(|to| to.parse().expect("an address")).collect();
    // An ordinary program has no right to change anything.
    assert_eq!(unsafe { setgroups(0, std::ptr::null()) }, 0, "{}", errno());
    assert_eq!(unsafe { setgid(65534) }, 0, "{}", errno());
    assert_eq!(unsafe { setuid(65534) }, 0, "{}", errno());
    let socket = open();
    // Else errors have a text in words of the kernel.
    set(socket, NETLINK_EXT_ACK, 0);
    ask_links(socket);
    ask_addresses(socket);
    ask_routes(socket, &to);
    if let Some(neighbour) = to.first() {
        ask_neighbours(socket, *neighbour);
    }
    ask_too_much(socket);
}
