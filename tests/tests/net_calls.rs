//! Errors that a network reports, and options that concern its packets: through a TAP interface, whose other end is in a namespace of
//! the test.

use husk_tests::network::Namespace;
use husk_tests::{Guest, build, native, wire};
use std::fs;
use std::net::{IpAddr, SocketAddr};

/// Network device of the guest.
const DEVICE: &str = "--net=tap:tap0,ip=10.0.0.2/24,gw=10.0.0.1,ip=fd00::2/64,gw=fd00::1";

/// Gives this thread a network with the other end of the guest's TAP interface in it, which forwards packets. Returns false if
/// there can be none.
fn routed() -> bool {
    let attached = wire::attached();
    if attached {
        for words in [
            "link set lo up",
            "route add unreachable 198.51.100.0/24",
            "route add prohibit 203.0.113.0/24",
            "-6 route add unreachable 2001:db8:1::/64",
            "-6 route add prohibit 2001:db8:2::/64",
        ] {
            wire::ip(words);
        }
        for (name, value) in [
            ("ipv4/ip_forward", "1"),
            ("ipv6/conf/all/forwarding", "1"),
            // All errors are reported, however many there are.
            ("ipv4/icmp_ratelimit", "0"),
            ("ipv6/icmp/ratelimit", "0"),
        ] {
            fs::write(format!("/proc/sys/net/{name}"), value).expect("a setting of the namespace");
        }
    }
    attached
}

#[test]
fn details_of_errors_are_as_on_linux() {
    Guest::program("socket_errors").run().expect_success().expect_stdout(&native::output("programs", "socket_errors"));
}

/// A `struct sockaddr_in` or `sockaddr_in6` without a port.
fn name(ip: IpAddr) -> Vec<u8> {
    match ip {
        IpAddr::V4(ip) => [vec![2, 0, 0, 0], ip.octets().to_vec(), vec![0; 8]].concat(),
        IpAddr::V6(ip) => [vec![10, 0], vec![0; 6], ip.octets().to_vec(), vec![0; 4]].concat(),
    }
}

/// Returns what a guest prints of its connection and its datagram to `to`: the error number of both, and for the second its origin,
/// type and code, and the machine `from` that reports it.
fn reported(to: &str, errno: u8, [origin, kind, code]: [u8; 3], from: &str) -> String {
    let to: SocketAddr = to.parse().expect("an address");
    let (level, option) = if to.is_ipv4() { (0, 11) } else { (41, 25) };
    let reporter = name(from.parse().expect("an address"));
    let details = [vec![errno, 0, 0, 0, origin, kind, code, 0], vec![0; 8], reporter].concat();
    format!(
        "a connection to {to}: Err(Some({errno}))\na datagram to {to}: 8 bytes to {:?}, flags 2000, {:?}\n",
        name(to.ip()),
        [(level, option, details)]
    )
}

#[test]
fn unreachable_peers_have_the_errors_that_the_network_reports() {
    let guest = Guest::program("socket_errors").flag(DEVICE);
    if !routed() {
        return;
    }
    let cases = [
        ("198.51.100.1:9", 113, [2, 3, 1], "10.0.0.1"),
        ("203.0.113.1:9", 113, [2, 3, 13], "10.0.0.1"),
        ("192.0.2.1:9", 101, [2, 3, 0], "10.0.0.1"),
        ("10.0.0.1:9", 111, [2, 3, 3], "10.0.0.1"),
        ("[fd00::1]:9", 111, [3, 1, 4], "fd00::1"),
        ("[2001:db8:2::1]:9", 13, [3, 1, 1], "fd00::1"),
    ];
    let expected: String = cases.iter().map(|(to, errno, code, from)| reported(to, *errno, *code, from)).collect();
    cases.iter().fold(guest, |guest, (to, ..)| guest.argument(*to)).run().expect_success().expect_stdout(&expected);
}

/// Hardware addresses of the guest and of the other end of its cable.
const MAC: &str = "02:00:00:00:00:07";
const OTHER_MAC: &str = "02:00:00:00:00:09";

/// Returns a namespace of this machine that has what a guest with [`DEVICE`] and [`MAC`] has: the interface `net` with these
/// addresses and routers, and the same other end, in the second namespace.
fn like_a_guest() -> [Namespace; 2] {
    let pair = Namespace::pair("net", "other");
    pair[0].run(|| fs::write("/proc/sys/net/ipv6/conf/net/accept_dad", "0")).expect("a setting of the namespace");
    for words in [
        "link set net down".to_owned(),
        format!("link set net address {MAC} up"),
        "addr add 10.0.0.2/24 broadcast + dev net".to_owned(),
        "-6 addr add fd00::2/64 dev net".to_owned(),
        "route add default via 10.0.0.1".to_owned(),
        "-6 route add default via fd00::1".to_owned(),
    ] {
        pair[0].ip(&words);
    }
    for words in [
        &format!("link set other address {OTHER_MAC}"),
        "addr add 10.0.0.1/24 dev other",
        "-6 addr add fd00::1/64 dev other nodad",
    ] {
        pair[1].ip(words);
    }
    pair
}

/// Compares a program in a guest with a TAP interface and the same one natively with the same addresses.
fn is_as_natively(name: &str, arguments: &[&str]) {
    if !wire::attached() {
        return;
    }
    wire::ip(&format!("link set tap0 address {OTHER_MAC}"));
    let [here, _other] = like_a_guest();
    let natively = here.run(|| native::output_with("programs", name, arguments));
    let guest = Guest::program(name).flag(format!("{DEVICE},mac={MAC}"));
    arguments
        .iter()
        .fold(guest, |guest, argument| guest.argument(*argument))
        .run()
        .expect_success()
        .expect_stdout(&natively);
}

#[test]
fn routes_interfaces_and_neighbours_are_listed_as_on_linux() {
    let to = [
        "10.0.0.1",
        "192.0.2.1",
        "10.0.0.9",
        "10.0.0.2",
        "10.0.0.255",
        "255.255.255.255",
        "224.0.0.1",
        "127.0.0.1",
        "2001:db8::1",
        "fd00::2",
        "fd00::9",
        "fe80::9",
        "ff02::1",
        "::1",
    ];
    is_as_natively("asks_routes", &to);
}

#[test]
fn functions_of_c_list_interfaces_as_on_linux() {
    is_as_natively("interfaces", &[]);
}

#[test]
fn crates_list_interfaces_and_routes_as_on_linux() {
    if !wire::attached() {
        return;
    }
    let [image, program] = build::apart("tests/network-programs", "interfaces");
    let [here, _other] = like_a_guest();
    let natively = here.run(|| native::output_of(&program, &[]));
    Guest::image(image).flag(format!("{DEVICE},mac={MAC}")).run().expect_success().expect_stdout(&natively);
}

#[test]
fn a_guest_without_a_network_has_routes_to_itself() {
    if !wire::alone() {
        return;
    }
    Guest::program("asks_routes").run().expect_success().expect_stdout(&native::output("programs", "asks_routes"));
}

#[test]
fn files_describe_the_network_as_on_linux() {
    is_as_natively("reads_network_tables", &["10.0.0.1"]);
}

#[test]
fn attributes_of_the_device_are_files() {
    if !wire::attached() {
        return;
    }
    let guest = Guest::program("reads_network_tables").flag(format!("{DEVICE},mac={MAC}")).flag("--env=DEVICE=net");
    let outcome = guest.argument("10.0.0.1").run();
    outcome.expect_success();
    let expected = format!(
        "net address: {MAC}\nnet addr_len: 6\nnet broadcast: ff:ff:ff:ff:ff:ff\nnet carrier: 1\nnet flags: 0x1003\nnet ifindex: 2\n\
         net mtu: 1500\nnet operstate: up\nnet type: 1\nnet: true\n"
    );
    assert!(outcome.stdout().ends_with(&expected), "{outcome}");
}

#[test]
fn files_describe_a_guest_without_a_network() {
    if !wire::alone() {
        return;
    }
    let natively = native::output("programs", "reads_network_tables");
    Guest::program("reads_network_tables").run().expect_success().expect_stdout(&natively);
}
