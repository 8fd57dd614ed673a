//! Value of `--mount`, `NAME:PATH[:ro]`: the place at which a guest shows the file system of a disk. The guest reads the file system; for
//! the tender, the disk is bytes.

use super::place::place;
use husk_abi::block::{self, MountFlags};
use husk_abi::note::is_device_name;
use std::fmt;
use zerocopy::IntoBytes;

/// Mount of a disk.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mount {
    /// Name of the disk.
    pub disk: String,
    /// Absolute path in the guest, without `.`, `..` or empty components.
    pub place: String,
    /// True if the guest can only read.
    pub read_only: bool,
}

impl Mount {
    /// Reads the value of a `--mount` flag.
    pub fn parse(text: &str) -> Result<Self, String> {
        const USAGE: &str =
            "write NAME:PATH or NAME:PATH:ro, such as data:/var/lib/app; NAME is that of a --block NAME=FILE";
        let (disk, path) = text.split_once(':').ok_or(USAGE)?;
        if !is_device_name(disk) {
            return Err(USAGE.to_owned());
        }
        let (path, read_only) = match path.rsplit_once(':') {
            Some((path, "ro")) => (path, true),
            Some((path, "rw")) => (path, false),
            _ => (path, false),
        };
        Ok(Self { disk: disk.to_owned(), place: place(path)?, read_only })
    }

    /// What the guest reads of the mount, behind the properties of the disk.
    pub fn properties(&self) -> Vec<u8> {
        let flags = if self.read_only { MountFlags::READ_ONLY } else { MountFlags::empty() };
        let mount = block::Mount { flags: flags.bits(), path_length: self.place.len() as u32 };
        let mut bytes = mount.as_bytes().to_vec();
        bytes.extend_from_slice(self.place.as_bytes());
        bytes.resize(bytes.len().next_multiple_of(8), 0);
        bytes
    }
}

impl fmt::Display for Mount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let only = if self.read_only { ":ro" } else { "" };
        write!(f, "{}:{}{only}", self.disk, self.place)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_mount_is_described_in_one_word() {
        for (text, disk, place, read_only) in [
            ("data:/var/lib/app", "data", "/var/lib/app", false),
            ("data:/srv//x/:ro", "data", "/srv/x", true),
            ("a-b:/x:rw", "a-b", "/x", false),
            ("d:/x:y", "d", "/x:y", false),
        ] {
            let expected = Mount { disk: disk.into(), place: place.into(), read_only };
            assert_eq!(Mount::parse(text), Ok(expected), "{text}");
        }
        for (text, part) in [
            ("", "write NAME:PATH"),
            ("/data", "write NAME:PATH"),
            ("data=/x", "write NAME:PATH"),
            (":/x", "write NAME:PATH"),
            ("data:", "absolute path"),
            ("data:x", "absolute path"),
            ("data:/", "absolute path"),
            ("data:/a/../b", "has . or .."),
            ("data:/a\x1b[2J", "control characters"),
            ("data:/a\0", "control characters"),
        ] {
            let error = Mount::parse(text).expect_err(text);
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
