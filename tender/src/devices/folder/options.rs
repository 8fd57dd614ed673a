//! Value of `--files`: `GUEST=HOST[:ro][:cache=never]`.

use crate::devices::place::place;
use std::path::PathBuf;

/// Options of a folder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Absolute path in the guest, without `.`, `..` or empty components.
    pub guest: String,
    /// Directory or file of the host.
    pub host: PathBuf,
    /// True if the guest can only read.
    pub read_only: bool,
    /// True if no attributes and no names are kept, so that the guest sees each change of the host at once.
    pub never_cached: bool,
}

impl Options {
    /// Reads the value of a `--files` flag.
    pub fn parse(text: &str) -> Result<Self, String> {
        const USAGE: &str = "write GUEST=HOST or GUEST=HOST:ro, such as /data=./data";
        let (guest, mut host) = text.split_once('=').ok_or(USAGE)?;
        let (mut read_only, mut never_cached) = (false, false);
        while let Some((rest, word)) = host.rsplit_once(':') {
            match word {
                "ro" => read_only = true,
                "rw" => {}
                "cache=never" => never_cached = true,
                _ => break,
            }
            host = rest;
        }
        if host.is_empty() {
            return Err(USAGE.to_owned());
        }
        Ok(Self { guest: place(guest)?, host: host.into(), read_only, never_cached })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_is_described_in_one_word() {
        let options = |guest: &str, host: &str, read_only, never_cached| Options {
            guest: guest.into(),
            host: host.into(),
            read_only,
            never_cached,
        };
        for (text, expected) in [
            ("/data=/srv/data", options("/data", "/srv/data", false, false)),
            ("/etc//app/=conf:ro", options("/etc/app", "conf", true, false)),
            ("/a=b=c:rw", options("/a", "b=c", false, false)),
            ("/a=b:c", options("/a", "b:c", false, false)),
            ("/a=b:ro:c", options("/a", "b:ro:c", false, false)),
            ("/a=b:cache=never", options("/a", "b", false, true)),
            ("/a=b:ro:cache=never", options("/a", "b", true, true)),
            ("/a=b:cache=never:ro", options("/a", "b", true, true)),
            ("/a=b:cache=1", options("/a", "b:cache=1", false, false)),
        ] {
            assert_eq!(Options::parse(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (text, part) in [
            ("", "write GUEST=HOST"),
            ("/data", "write GUEST=HOST"),
            ("/data=", "write GUEST=HOST"),
            ("/data=:ro", "write GUEST=HOST"),
            ("/data=:ro:cache=never", "write GUEST=HOST"),
            ("data=/srv", "absolute path"),
            ("/=/srv", "absolute path"),
            ("/a/../b=/srv", "has . or .."),
        ] {
            let error = Options::parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
