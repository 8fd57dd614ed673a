//! Files that describe the network: those of `/proc/net` and `/sys/class/net`.
//!
//! They are made when a path there is first used, because few programs look. The libos fills them ([`crate::net`]).

use super::Files;
use super::generated::Generated;
use super::inode::{Kind, Time};
use super::network_table::{Attribute, Table};
use super::path::Follow;
use crate::errno::Errno;
use alloc::string::String;
use linux_raw_sys::general as linux;

/// Names below `/proc/self/net`.
const TABLES: [(&str, Table); 8] = [
    ("arp", Table::Neighbours),
    ("dev", Table::Interfaces),
    ("if_inet6", Table::Addresses),
    ("route", Table::Routes),
    ("tcp", Table::Tcp),
    ("tcp6", Table::Tcp6),
    ("udp", Table::Udp),
    ("udp6", Table::Udp6),
];

/// Names below `/sys/class/net/NAME`.
const ATTRIBUTES: [(&str, Attribute); 13] = [
    ("address", Attribute::Address),
    ("addr_len", Attribute::AddressLength),
    ("broadcast", Attribute::Broadcast),
    ("carrier", Attribute::Carrier),
    ("flags", Attribute::Flags),
    ("ifindex", Attribute::Index),
    ("mtu", Attribute::Mtu),
    ("operstate", Attribute::State),
    ("type", Attribute::Type),
    ("statistics/rx_bytes", Attribute::ReceivedBytes),
    ("statistics/rx_packets", Attribute::Received),
    ("statistics/tx_bytes", Attribute::SentBytes),
    ("statistics/tx_packets", Attribute::Sent),
];

impl Files {
    /// Makes the files, if a path may lead to one and they are not there.
    #[inline]
    pub(super) fn show_networks(&mut self, path: &[u8]) -> Result<(), Errno> {
        if self.networks.is_pending && leads_to_networks(path) { self.make_networks() } else { Ok(()) }
    }

    #[cold]
    fn make_networks(&mut self) -> Result<(), Errno> {
        self.networks.is_pending = false;
        // They are root's, whoever the program is by now.
        let caller = core::mem::take(&mut self.caller);
        let made = self.make_all_networks();
        self.caller = caller;
        self.networks.is_pending = made.is_err();
        made
    }

    /// Makes the files that are not there; ENOMEM if there is no memory for one.
    fn make_all_networks(&mut self) -> Result<(), Errno> {
        for (name, table) in TABLES {
            self.make_network(&["/proc/self/net/", name].concat(), table)?;
        }
        let device = self.networks.device.map(|name| (true, String::from_utf8_lossy(name)));
        for (of_device, interface) in [(false, "lo".into())].into_iter().chain(device) {
            for (name, attribute) in ATTRIBUTES {
                let path = ["/sys/class/net/", &interface, "/", name].concat();
                self.make_network(&path, Table::Attribute { of_device, attribute })?;
            }
        }
        Ok(())
    }

    fn make_network(&mut self, path: &str, table: Table) -> Result<(), Errno> {
        let now = Time::default();
        let kind = Kind::Generated(Generated::Network(table));
        let made = self.seed_parents(path, now).and_then(|()| {
            let walked = self.walk(linux::AT_FDCWD, path.as_bytes(), Follow::Never)?;
            if walked.found.is_ok() { Ok(()) } else { self.seed(path.as_bytes(), kind, 0o444, now).map(drop) }
        });
        match made {
            Err(Errno::ENOMEM) => Err(Errno::ENOMEM),
            // What the program was given in this place, such as a folder of the host, stays.
            _ => Ok(()),
        }
    }
}

/// Returns true if a path may lead to the files, also one that begins at a directory above them.
fn leads_to_networks(path: &[u8]) -> bool {
    let begin = path.iter().position(|byte| !matches!(byte, b'/' | b'.')).unwrap_or(path.len());
    let path = &path[begin..];
    let has_net = || path.windows(3).any(|part| part == b"net");
    match path.first() {
        Some(b'p') => path.starts_with(b"proc/") && !path.starts_with(b"proc/sys/") && has_net(),
        Some(b's') if path.starts_with(b"sys") => matches!(path, b"sys" | b"sys/") || path.starts_with(b"sys/class"),
        Some(b's' | b't' | b'1') => {
            (path.starts_with(b"self/") || path.starts_with(b"thread-self/") || path.starts_with(b"1/")) && has_net()
        }
        Some(b'n') => path.starts_with(b"net"),
        Some(b'c') => path.starts_with(b"class"),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::super::network_table::Networks;
    use super::*;

    #[test]
    fn files_of_the_network_are_there_once_a_path_leads_to_them() {
        let mut files = Files::empty(1 << 20, Time::default()).expect("memory");
        files.networks = Networks { device: Some(b"net"), is_pending: true };
        files.show_networks(b"/proc/self/maps").expect("nothing is made");
        assert!(files.networks.is_pending);
        files.show_networks(b"/sys/class/net").expect("memory");
        let found: Vec<_> = ["/proc/self/net/tcp6", "/sys/class/net/net/mtu", "/sys/class/net/lo/statistics/tx_bytes"]
            .iter()
            .map(|path| files.resolve(linux::AT_FDCWD, path.as_bytes(), true).is_ok())
            .collect();
        assert_eq!(found, [true; 3]);
    }

    #[test]
    fn paths_lead_to_the_files_from_every_directory_above_them() {
        let paths = ["/proc/net/dev", "proc/1/net", "//sys/class", "/sys", "self/net/tcp", "net/lo/mtu", "./class/net"];
        for path in paths {
            assert!(leads_to_networks(path.as_bytes()), "{path}");
        }
        for path in
            ["/proc/self/maps", "/proc/sys/net/core/somaxconn", "/etc/services", "/sys/fs/cgroup", "data/net", ""]
        {
            assert!(!leads_to_networks(path.as_bytes()), "{path}");
        }
    }

    #[test]
    fn what_lies_in_the_place_of_a_file_stays() {
        let mut files = Files::empty(1 << 20, Time::default()).expect("memory");
        files.seed_parents("/sys/class/net/", Time::default()).expect("memory");
        files
            .seed(b"/sys/class/net/lo", Kind::Generated(Generated::Overcommit), 0o444, Time::default())
            .expect("memory");
        files.networks = Networks { device: Some(b"net"), is_pending: true };
        files.show_networks(b"/sys/class/net").expect("memory");
        let found = ["/sys/class/net/net/mtu", "/sys/class/net/lo", "/sys/class/net/lo/mtu"]
            .map(|path| files.resolve(linux::AT_FDCWD, path.as_bytes(), true).is_ok());
        assert_eq!(found, [true, true, false]);
    }
}
