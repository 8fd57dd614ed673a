//! Value of `--block`: `[NAME=]FILE[,ro][,sector=N][,direct]`.

use crate::devices::limit::Rate;
use crate::devices::mount::Mount;
use husk_abi::block::{SECTOR_MAXIMUM, SECTOR_MINIMUM};
use husk_abi::note::is_device_name;
use std::path::PathBuf;

/// Options of a block device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// File or block device of the host that holds the bytes.
    pub file: PathBuf,
    /// True if the guest can only read.
    pub read_only: bool,
    /// Bytes of a sector; by default, the least that the file allows.
    pub sector: Option<u32>,
    /// True if accesses bypass the host's page cache (O_DIRECT).
    pub direct: bool,
    /// Most bytes per second read and written.
    pub rate: Option<Rate>,
    /// Most requests per second carried out.
    pub operations: Option<Rate>,
    /// Place at which the guest shows the disk's file system.
    pub mount: Option<Mount>,
}

impl Options {
    /// Reads the value of a `--block` flag: the name of the device, if there is one, and the options.
    pub fn parse(text: &str) -> Result<(Option<String>, Self), String> {
        let mut words = text.split(',');
        let first = words.next().unwrap_or_default();
        let (name, file) = match first.split_once('=') {
            // A word before `=` that cannot be the name of a device belongs to the name of the file.
            Some((name, file)) if is_device_name(name) => (Some(name.to_owned()), file),
            _ => (None, first),
        };
        if file.is_empty() {
            return Err("write [NAME=]FILE, such as data=disk.img".to_owned());
        }
        let mut options = Self { file: file.into(), ..Self::default() };
        for word in words {
            options.set(word)?;
        }
        Ok((name, options))
    }

    fn set(&mut self, word: &str) -> Result<(), String> {
        match word.split_once('=') {
            None if word == "ro" => self.read_only = true,
            None if word == "direct" => self.direct = true,
            Some(("sector", size)) => {
                let possible = |size: &u32| size.is_power_of_two() && (SECTOR_MINIMUM..=SECTOR_MAXIMUM).contains(size);
                let size = size.parse().ok().filter(possible);
                self.sector = Some(size.ok_or("write sector=512, sector=1024, sector=2048 or sector=4096")?);
            }
            _ => return Err(format!("no option '{word}'; there are ro, sector= and direct")),
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> (Option<String>, Options) {
        Options::parse(text).expect("well-formed")
    }

    #[test]
    fn a_disk_is_described_in_one_word() {
        let all =
            Options { file: "a/b.img".into(), read_only: true, sector: Some(4096), direct: true, ..Options::default() };
        assert_eq!(parsed("data=a/b.img,ro,sector=4096,direct"), (Some("data".into()), all));
        let plain = |file: &str| Options { file: file.into(), ..Options::default() };
        assert_eq!(parsed("disk.img"), (None, plain("disk.img")));
        assert_eq!(parsed("./a=b.img"), (None, plain("./a=b.img")));
        assert_eq!(parsed("data=a=b.img"), (Some("data".into()), plain("a=b.img")));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (wrong, part) in [
            ("", "write [NAME=]FILE"),
            ("data=", "write [NAME=]FILE"),
            ("a,rw", "no option 'rw'"),
            ("a,sector=513", "write sector=512"),
            ("a,sector=8192", "write sector=512"),
            ("a,sector", "no option 'sector'"),
            ("a,ro=1", "no option 'ro=1'"),
        ] {
            let error = Options::parse(wrong).expect_err(wrong);
            assert!(error.contains(part), "{wrong}: {error}");
        }
    }
}
