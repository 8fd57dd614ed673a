//! Names of a guest: its own (`--hostname`), those that the user adds (`--add-host`), and those of the host's hosts(5).

use std::collections::HashSet;
use std::fmt::Write;
use std::net::IpAddr;

/// Longest name of a machine (HOST_NAME_MAX).
const HOSTNAME_MAXIMUM: usize = 64;
/// Longest name, and longest part of one between dots (RFC 1035).
const NAME_MAXIMUM: usize = 253;
const LABEL_MAXIMUM: usize = 63;

/// A name with its address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Added {
    name: String,
    address: Address,
}

/// Address of a name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Address {
    Of(IpAddr),
    /// The host, as a user-mode network shows it.
    Gateway,
}

impl Added {
    /// Reads `NAME:ADDRESS`, the value of `--add-host`.
    pub fn parse(text: &str) -> Result<Self, String> {
        const USAGE: &str = "write NAME:ADDRESS, such as db.example:192.0.2.7 or db.example:2001:db8::7; the address \
                             host-gateway is the host's, in a user-mode network";
        let (name, address) = text.split_once([':', '=']).ok_or(USAGE)?;
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')).unwrap_or(address);
        let address = match bare {
            "host-gateway" => Address::Gateway,
            _ => Address::Of(bare.parse().map_err(|_| format!("'{address}' is no address; {USAGE}"))?),
        };
        if !is_name(name) {
            return Err(format!("'{}' is no name of a machine; {USAGE}", name.escape_debug()));
        }
        Ok(Self { name: name.to_owned(), address })
    }

    /// Returns true if the address is the host's, as a user-mode network shows it.
    pub fn is_gateway(&self) -> bool {
        self.address == Address::Gateway
    }
}

/// Reads the value of `--hostname`.
pub fn hostname(text: &str) -> Result<String, String> {
    let is_plain = !text.contains('_');
    match is_name(text) && is_plain && text.len() <= HOSTNAME_MAXIMUM {
        true => Ok(text.to_owned()),
        false => Err("write a name of up to 64 letters, digits, hyphens and dots, such as web-1".to_owned()),
    }
}

/// Returns true for labels of letters, digits, hyphens and underscores, with dots between them; no label begins or ends with a hyphen.
fn is_name(name: &str) -> bool {
    let is_label = |label: &str| {
        let is_plain = label.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_');
        is_plain && (1..=LABEL_MAXIMUM).contains(&label.len()) && !label.starts_with('-') && !label.ends_with('-')
    };
    name.len() <= NAME_MAXIMUM && name.split('.').all(is_label)
}

/// Returns the hosts(5) of a guest called `hostname`: its own names, those that the user `added`, and of the `host`'s file the rest.
/// Names of the host's loopback are left out, because its addresses lead to the guest itself there. `gateway` is the address of the host.
pub fn hosts(hostname: &str, added: &[Added], gateway: IpAddr, host: &str) -> String {
    let mut text = format!("127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\t{hostname}\n");
    let own = ["localhost", "ip6-localhost", "ip6-loopback", hostname];
    let mut known: HashSet<String> = own.map(str::to_ascii_lowercase).into();
    for Added { name, address } in added {
        let address = if let Address::Of(address) = address { *address } else { gateway };
        // Writing to a string does not fail.
        let _ = writeln!(text, "{address}\t{name}");
        known.insert(name.to_ascii_lowercase());
    }
    for line in host.lines() {
        let mut words = line.split('#').next().unwrap_or_default().split_ascii_whitespace();
        let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { continue };
        let names: Vec<_> = words.filter(|name| is_name(name) && !known.contains(&name.to_ascii_lowercase())).collect();
        if !address.to_canonical().is_loopback() && !names.is_empty() {
            let _ = writeln!(text, "{address}\t{}", names.join(" "));
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_checked() {
        for good in ["web", "web-1.example.com", &"a".repeat(63)] {
            assert_eq!(hostname(good), Ok(good.to_owned()));
        }
        for bad in
            ["", "-web", "web-", "web_1", "a b", "a..b", ".", "web.", "wéb", "a\n", &"a".repeat(64), &"a.".repeat(40)]
        {
            assert!(hostname(bad).expect_err(bad).contains("letters, digits, hyphens and dots"), "{bad}");
        }
    }

    #[test]
    fn added_names_are_read_as_other_tools_read_them() {
        let shown = |text: &str| {
            let added = Added::parse(text).expect(text);
            hosts("h", &[added], [10, 0, 2, 4].into(), "").lines().last().map(str::to_owned).expect("a line")
        };
        assert_eq!(shown("db:192.0.2.7"), "192.0.2.7\tdb");
        assert_eq!(shown("db=192.0.2.7"), "192.0.2.7\tdb");
        assert_eq!(shown("my_db.test:2001:db8::7"), "2001:db8::7\tmy_db.test");
        assert_eq!(shown("db:[2001:db8::7]"), "2001:db8::7\tdb");
        assert_eq!(shown("host.docker.internal:host-gateway"), "10.0.2.4\thost.docker.internal");
        for (bad, part) in [
            ("db", "write NAME:ADDRESS"),
            ("db:", "'' is no address"),
            ("db:example.com", "'example.com' is no address"),
            ("db:1.2.3", "'1.2.3' is no address"),
            (":192.0.2.7", "'' is no name"),
            ("a b:192.0.2.7", "'a b' is no name"),
            ("a\u{1b}:192.0.2.7", "'a\\u{1b}' is no name"),
        ] {
            let error = Added::parse(bad).expect_err(bad);
            assert!(error.contains(part), "{bad}: {error}");
        }
    }

    #[test]
    fn a_guest_has_the_names_that_mean_something_to_it() {
        let host = "127.0.0.1 localhost build-7\n::1 localhost\n::ffff:127.0.0.1 build-8\n# 192.0.2.9 secret\n\
                    192.0.2.1\tdb db.corp # the old one\n192.0.2.2 cache DB\nfe80::1%eth0 router\nnonsense\n0.0.0.0 ads.example\n";
        let added = [Added::parse("db:192.0.2.7").expect("well-formed")];
        let text = hosts("web", &added, [10, 0, 2, 4].into(), host);
        let expected = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\tweb\n192.0.2.7\tdb\n\
                        192.0.2.1\tdb.corp\n192.0.2.2\tcache\n0.0.0.0\tads.example\n";
        assert_eq!(text, expected);
    }
}
