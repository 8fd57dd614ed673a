//! Configuration of the host's resolver: resolv.conf(5).

use super::regular::open;
use std::fmt::Write;
use std::fs::File;
use std::io::Read;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

/// The file.
pub const PATH: &str = "/etc/resolv.conf";
/// Most bytes of it that are read.
const SIZE_MAXIMUM: u64 = 64 << 10;
/// Most name servers that a resolver uses (MAXNS).
pub const SERVERS_MAXIMUM: usize = 3;
/// Timeout without an option of that name (RES_TIMEOUT), and the longest (RES_MAXRETRANS), in seconds.
const TIMEOUT_S: u64 = 5;
const TIMEOUT_MAXIMUM_S: u64 = 30;

/// Configuration of a resolver.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Resolver {
    /// Name servers in the order in which they are tried, at most [`SERVERS_MAXIMUM`].
    servers: Vec<IpAddr>,
    /// Domains in which a name is looked up.
    search: Vec<String>,
    /// Options, such as `ndots:2`.
    options: Vec<String>,
}

impl Resolver {
    /// Reads the host's configuration; a host without one has the defaults.
    pub fn of_host() -> Self {
        open(Path::new(PATH)).map(|file| Self::read(&file)).unwrap_or_default()
    }

    /// Reads the configuration in an open file.
    pub fn read(file: &File) -> Self {
        let mut text = vec![];
        // What could be read before an error counts.
        let _ = file.take(SIZE_MAXIMUM).read_to_end(&mut text);
        Self::parse(&String::from_utf8_lossy(&text))
    }

    /// Parses a resolv.conf(5). Words that no resolver understands are left out.
    pub fn parse(text: &str) -> Self {
        let mut resolver = Self::default();
        for line in text.lines() {
            let line = line.split(['#', ';']).next().unwrap_or_default();
            let mut words = line.split_ascii_whitespace();
            let (keyword, words) = (words.next(), words.filter(|word| is_word(word)).map(str::to_owned));
            match keyword {
                Some("nameserver") if resolver.servers.len() < SERVERS_MAXIMUM => {
                    resolver
                        .servers
                        .extend(line.split_ascii_whitespace().nth(1).and_then(|word| word.parse::<IpAddr>().ok()));
                }
                Some("search") => resolver.search = words.collect(),
                Some("domain") => resolver.search = words.take(1).collect(),
                Some("options") => resolver.options.extend(words),
                _ => {}
            }
        }
        resolver
    }

    /// Name servers in the order in which they are tried: if none is configured, the one of this machine, as resolvers have it.
    pub fn servers(&self) -> Vec<IpAddr> {
        match self.servers.is_empty() {
            true => vec![Ipv4Addr::LOCALHOST.into()],
            false => self.servers.clone(),
        }
    }

    /// Time for which a resolver waits for an answer.
    pub fn timeout(&self) -> Duration {
        let written = self.options.iter().rev().find_map(|option| option.strip_prefix("timeout:")?.parse().ok());
        Duration::from_secs(written.unwrap_or(TIMEOUT_S).clamp(1, TIMEOUT_MAXIMUM_S))
    }

    /// Returns the text of a resolv.conf(5) with these name servers, and search domains and options of this one.
    pub fn text(&self, servers: &[IpAddr]) -> String {
        let mut text = String::new();
        for server in servers {
            // Writing to a string does not fail.
            let _ = writeln!(text, "nameserver {server}");
        }
        for (keyword, words) in [("search", &self.search), ("options", &self.options)] {
            if !words.is_empty() {
                let _ = writeln!(text, "{keyword} {}", words.join(" "));
            }
        }
        text
    }
}

/// Returns true for a domain or an option: printable, and not longer than a name can be.
fn is_word(word: &str) -> bool {
    word.len() <= 255 && word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-_:".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_is_read_as_resolvers_read_it() {
        let text = "# nameserver 1.1.1.1\ndomain old.test\nsearch a.test b.test # c.test\nnameserver 9.9.9.9\n \
                    nameserver\t::1 \nnameserver x\noptions ndots:2 timeout:3\n;options no\noptions rotate \u{1b}[m\n";
        let resolver = Resolver::parse(text);
        assert_eq!(resolver.servers(), ["9.9.9.9".parse::<IpAddr>().expect("v4"), "::1".parse().expect("v6")]);
        assert_eq!(resolver.timeout(), Duration::from_secs(3));
        let shown = resolver.text(&["10.0.2.3".parse().expect("an address")]);
        assert_eq!(shown, "nameserver 10.0.2.3\nsearch a.test b.test\noptions ndots:2 timeout:3 rotate\n");
    }

    #[test]
    fn what_is_not_configured_has_its_default() {
        let resolver = Resolver::parse("options timeout:0\n");
        assert_eq!(resolver.servers(), [IpAddr::from([127, 0, 0, 1])]);
        assert_eq!(resolver.timeout(), Duration::from_secs(1));
        assert_eq!(Resolver::default().timeout(), Duration::from_secs(5));
        assert_eq!(Resolver::default().text(&[]), "");
        let many = "nameserver 192.0.2.1\n".repeat(5);
        assert_eq!(Resolver::parse(&many).servers().len(), SERVERS_MAXIMUM);
    }
}
