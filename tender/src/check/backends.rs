//! Back ends for networks and disks that this host offers.

use super::{Host, Lacking, Row, State};
use crate::devices::block::Uring;
use socket2::{Domain, Protocol, Socket, Type};
use std::env;
use std::fs::{File, OpenOptions};
use std::io;
use std::net::UdpSocket;
use std::os::unix::fs::OpenOptionsExt;
use std::sync::Arc;

const NETWORK: &str = "network";
const DISKS: &str = "disks";

/// Back ends of networks.
pub fn network() -> Vec<Row> {
    let v4 = UdpSocket::bind("127.0.0.1:0").map(|_| "--net user".to_owned());
    let v4 = v4.map_err(|error| Lacking::without(error, "bring the loopback interface up (`ip link set lo up`)"));
    let v6 = UdpSocket::bind("[::1]:0").map(|_| "--net user reaches both".to_owned());
    let v6 = v6.map_err(|error| {
        Lacking::without(error, "sysctl net.ipv6.conf.all.disable_ipv6=0; until then, guests reach IPv4 addresses only")
    });
    let echo = Socket::new(Domain::IPV4, Type::DGRAM, Some(Protocol::ICMPV4)).map(|_| "guests can ping".to_owned());
    let echo = echo.map_err(|error| {
        Lacking::without(error, "sysctl net.ipv4.ping_group_range='0 2147483647'; until then, guests cannot ping")
    });
    let tun = OpenOptions::new().read(true).write(true).open("/dev/net/tun");
    let tun = tun.map(|_| "--net tap:INTERFACE".to_owned()).map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::PermissionDenied => {
                "--net tap takes root, or an interface of yours (`ip tuntap add … user`)"
            }
            _ => "modprobe tun, or pass /dev/net/tun to the container",
        };
        Lacking::without(format!("/dev/net/tun: {error}"), remedy)
    });
    let passt = match on_path("passt") {
        true => Ok("--net passt:SOCKET".to_owned()),
        false => Err(Lacking::without("not installed", "install the package passt, if --net passt is wanted")),
    };
    vec![
        Row::of(NETWORK, "user mode", v4),
        Row::of(NETWORK, "IPv6", v6),
        Row::of(NETWORK, "echo", echo),
        Row::of(NETWORK, "TAP", tun),
        Row::of(NETWORK, "passt", passt),
    ]
}

/// Returns true if a program is in a folder of $PATH.
fn on_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    env::split_paths(&path).any(|folder| folder.join(program).is_file())
}

/// Back ends of disks.
pub fn disks(host: &Host) -> Vec<Row> {
    let ring =
        File::open("/").and_then(|file| Uring::new(&Arc::new(file), 8)).map(|_| "requests side by side".to_owned());
    let ring = ring.map_err(|error| {
        let switch = host.number("proc/sys/kernel/io_uring_disabled").unwrap_or(0);
        Lacking::without(format!("{error}; requests go one after the other"), remedy(&error, switch))
    });
    let direct = OpenOptions::new().read(true).write(true).custom_flags(libc::O_TMPFILE | libc::O_DIRECT).open(".");
    let direct = match direct {
        Ok(_) => Row::new(DISKS, "direct", State::Good, "files in this folder can be disks with ,direct"),
        Err(error) => Row::new(DISKS, "direct", State::Fact, format!("not shown for files in this folder: {error}")),
    };
    vec![Row::of(DISKS, "io_uring", ring), direct]
}

/// Remedy that makes io_uring available.
fn remedy(error: &io::Error, switch: u64) -> &'static str {
    match (error.raw_os_error(), switch) {
        (Some(libc::EPERM), 1..) => "sysctl kernel.io_uring_disabled=0",
        (Some(libc::EPERM), _) => "use a container whose filter lets io_uring through (seccomp profile)",
        (Some(libc::ENOMEM), _) => "allow more locked memory (`ulimit -l`)",
        (Some(libc::EMFILE), _) => "allow more descriptors (`ulimit -n`)",
        _ => "use Linux 5.10 or newer, with CONFIG_IO_URING",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_way_to_forbid_io_uring_has_its_remedy() {
        let remedy = |errno, switch| remedy(&io::Error::from_raw_os_error(errno), switch);
        assert!(remedy(libc::EPERM, 2).starts_with("sysctl"));
        assert!(remedy(libc::EPERM, 0).contains("seccomp"));
        assert!(remedy(libc::ENOMEM, 0).contains("ulimit -l"));
        assert!(remedy(libc::ENOSYS, 0).contains("CONFIG_IO_URING"));
    }
}
