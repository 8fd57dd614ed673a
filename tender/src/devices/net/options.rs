//! Value of `--net`: `[NAME=]BACKEND[,OPTION=VALUE]…`.

use super::address::{bytes, network};
use super::user;
use crate::devices::limit::Rate;
use husk_abi::device::{Address, source};
use std::net::IpAddr;
use std::os::fd::RawFd;
use std::path::PathBuf;

/// Options of a network device.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Backend behind the device.
    pub backend: Backend,
    /// Hardware address, if the user chooses it.
    pub mac: Option<[u8; 6]>,
    /// Most bytes per second sent, and as many received.
    pub rate: Option<Rate>,
    /// Source of the guest's IPv4 address.
    pub v4: Address,
    /// Source of the guest's IPv6 address.
    pub v6: Address,
}

/// Kinds of backend.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Backend {
    /// The TAP interface of this name.
    Tap(String),
    /// The TAP interface that is open as this descriptor.
    Descriptor(RawFd),
    /// The passt(1) that listens at this path.
    Passt(PathBuf),
    /// The user-mode network.
    User(user::Options),
}

impl Default for Options {
    fn default() -> Self {
        let ask = Address { source: source::ASK, ..Address::default() };
        Self { backend: Backend::User(user::Options::default()), mac: None, rate: None, v4: ask, v6: ask }
    }
}

/// Valid forms, for error messages.
const USAGE: &str = "write [NAME=]user, [NAME=]tap:INTERFACE, [NAME=]fd:NUMBER or [NAME=]passt:SOCKET";

impl Options {
    /// Reads the value of a `--net` flag: the name of the device, if there is one, and the options.
    pub fn parse(text: &str) -> Result<(Option<String>, Self), String> {
        let mut words = text.split(',');
        let first = words.next().unwrap_or_default();
        let (name, backend) = match first.split_once('=') {
            Some((name, backend)) => (Some(name.to_owned()), backend),
            None => (None, first),
        };
        let backend = match backend.split_once(':') {
            Some(("tap", interface)) => Backend::Tap(interface.to_owned()),
            Some(("fd", number)) => Backend::Descriptor(number.parse().map_err(|_| USAGE.to_owned())?),
            Some(("passt", path)) if !path.is_empty() => Backend::Passt(path.into()),
            None if backend == "user" => Backend::User(user::Options::default()),
            _ => return Err(USAGE.to_owned()),
        };
        let mut what = Self { backend, ..Self::default() };
        for word in words {
            let (key, value) = word.split_once('=').unwrap_or((word, ""));
            what.set(key, value)?;
        }
        Ok((name, what))
    }

    fn set(&mut self, key: &str, value: &str) -> Result<(), String> {
        match key {
            "ip" | "gw" | "dns" if matches!(self.backend, Backend::User(_)) => {
                return Err(format!("{key}= does not go with the user-mode network, whose addresses are fixed"));
            }
            "ip" => {
                let (address, prefix) = network(value).ok_or("write ip=ADDRESS/PREFIX, such as ip=10.0.0.2/24")?;
                let to = self.family(address);
                (to.address, to.prefix, to.source) = (bytes(address), prefix, source::GIVEN);
            }
            "gw" => {
                let address = value.parse().map_err(|_| "write gw=ADDRESS, such as gw=10.0.0.1")?;
                self.family(address).gateway = bytes(address);
            }
            "dns" => {
                let address = value.parse().map_err(|_| "write dns=ADDRESS, such as dns=1.1.1.1")?;
                self.family(address).name_server = bytes(address);
            }
            "mac" => {
                self.mac = Some(mac(value).ok_or("write mac=XX:XX:XX:XX:XX:XX, of one card: the first byte even")?)
            }
            _ => return Err(format!("no option '{key}'; there are ip=, gw=, dns= and mac=")),
        }
        Ok(())
    }

    fn family(&mut self, address: IpAddr) -> &mut Address {
        if address.is_ipv4() { &mut self.v4 } else { &mut self.v6 }
    }
}

fn mac(text: &str) -> Option<[u8; 6]> {
    let bytes: Vec<u8> = text.split(':').map(|byte| u8::from_str_radix(byte, 16).ok()).collect::<Option<_>>()?;
    let mac: [u8; 6] = bytes.try_into().ok()?;
    (mac[0] & 1 == 0 && mac != [0; 6]).then_some(mac)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(word: &str) -> (Option<String>, Options) {
        Options::parse(word).expect("well-formed")
    }

    #[test]
    fn a_device_is_described_in_one_word() {
        let word = "back=tap:tap0,ip=10.0.0.2/24,gw=10.0.0.1,dns=1.1.1.1,ip=fd00::2/64,mac=02:00:00:00:00:01";
        let (name, what) = parsed(word);
        assert_eq!((name.as_deref(), &what.backend), (Some("back"), &Backend::Tap("tap0".to_owned())));
        assert_eq!((&what.v4.address[..4], what.v4.prefix, what.v4.source), (&[10, 0, 0, 2][..], 24, source::GIVEN));
        assert_eq!((&what.v4.gateway[..4], &what.v4.name_server[..4]), (&[10, 0, 0, 1][..], &[1, 1, 1, 1][..]));
        assert_eq!((what.v6.address[0], what.v6.prefix, what.mac), (0xfd, 64, Some([2, 0, 0, 0, 0, 1])));
        let (name, what) = parsed("fd:3");
        assert_eq!((name, what.backend), (None, Backend::Descriptor(3)));
        assert_eq!(what.v4.source, source::ASK);
        let (_, what) = parsed("passt:/run/user/1000/passt.socket");
        assert_eq!(what.backend, Backend::Passt("/run/user/1000/passt.socket".into()));
    }

    #[test]
    fn what_is_wrong_is_named() {
        for (wrong, part) in [
            ("", "[NAME=]user"),
            ("bridge:br0", "tap:INTERFACE"),
            ("fd:x", "fd:NUMBER"),
            ("passt:", "passt:SOCKET"),
            ("tap:a,ip=10.0.0.2", "ip=ADDRESS/PREFIX"),
            ("tap:a,ip=10.0.0.2/33", "ip=ADDRESS/PREFIX"),
            ("tap:a,gw=x", "gw=ADDRESS"),
            ("tap:a,mac=01:0:0:0:0:1", "mac="),
            ("user,ip=10.0.0.2/24", "whose addresses are fixed"),
            ("tap:a,speed=1", "no option 'speed'"),
        ] {
            let error = Options::parse(wrong).expect_err(wrong);
            assert!(error.contains(part), "{wrong}: {error}");
        }
    }
}
