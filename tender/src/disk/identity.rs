//! Identity of a file system, secret of its hashes, and its times.
//!
//! With `SOURCE_DATE_EPOCH` (reproducible-builds.org) all of these depend on its value, label and size alone, so that the same
//! files give the same disk, byte for byte.

use crate::error::{Error, Result};
use husk_tender::host::entropy;
use rsext4::{Clock, Ext4Result, Ext4Timestamp};
use std::time::{SystemTime, UNIX_EPOCH};

/// The variable.
const VARIABLE: &str = "SOURCE_DATE_EPOCH";
/// Range of an inode's times, in seconds: 32 bits with a sign, and two more that count beyond them.
const TIMES: std::ops::RangeInclusive<i64> = i32::MIN as i64..=(i32::MIN as i64 + (1 << 34) - 1);

/// Identity of a file system.
pub struct Identity {
    /// UUID, of version 4, or 8 if it is made of other data.
    pub uuid: [u8; 16],
    /// Secret of the hashes of names.
    pub hash_seed: [u32; 4],
    /// Time of everything that happens to the file system.
    pub time: Time,
}

impl Identity {
    /// Identity of a file system with this size and label.
    pub fn new(size: u64, label: &[u8]) -> Result<Self> {
        let time = Time::of(std::env::var_os(VARIABLE).as_deref())?;
        let mut bytes = [0; 32];
        let version = match time.fixed {
            Some(seconds) => {
                let parts = [b"husk disk 1".as_slice(), &seconds.to_le_bytes(), &size.to_le_bytes(), label];
                let halves = bytes.as_chunks_mut::<16>().0;
                for (number, half) in (0..).zip(halves) {
                    *half = digest(&[&[number], parts.concat().as_slice()].concat()).to_le_bytes();
                }
                8
            }
            None => {
                entropy::fill(&mut bytes).map_err(|error| Error::Refused(error.to_string()))?;
                4
            }
        };
        let [mut uuid, seed] = [0, 16].map(|start| <[u8; 16]>::try_from(&bytes[start..start + 16]).unwrap_or_default());
        uuid[6] = uuid[6] & 0xf | version << 4;
        uuid[8] = uuid[8] & 0x3f | 0x80;
        let hash_seed = [0, 4, 8, 12].map(|start| u32::from_le_bytes([0, 1, 2, 3].map(|byte| seed[start + byte])));
        Ok(Self { uuid, hash_seed, time })
    }
}

/// FNV-1a with 128 bits: spreads its input, and is no secret.
fn digest(bytes: &[u8]) -> u128 {
    const OFFSET: u128 = 0x6c62_272e_07bb_0142_62b8_2175_6295_c58d;
    const PRIME: u128 = 0x0100_0000_0000_0000_0000_013b;
    bytes.iter().fold(OFFSET, |digest, byte| (digest ^ u128::from(*byte)).wrapping_mul(PRIME))
}

/// The clock of the file system: the host's, or one that stands still.
#[derive(Clone, Copy)]
pub struct Time {
    fixed: Option<i64>,
}

impl Time {
    /// Clock by the value of the variable.
    fn of(value: Option<&std::ffi::OsStr>) -> Result<Self> {
        let Some(value) = value.filter(|value| !value.is_empty()) else { return Ok(Self { fixed: None }) };
        let seconds = value.to_str().and_then(|text| text.parse().ok()).filter(|seconds| TIMES.contains(seconds));
        let refused = || Error::about(VARIABLE, "write a number of seconds since 1970, or unset it");
        Ok(Self { fixed: Some(seconds.ok_or_else(refused)?) })
    }

    /// Returns the times of access and of change that a file gets. With a fixed clock, none is later than that, and a file counts as
    /// read when it was changed, because copying it may count as reading.
    pub fn of_file(self, read: (i64, u32), changed: (i64, u32)) -> [Ext4Timestamp; 2] {
        let (read, changed) = match self.fixed {
            Some(latest) => [changed.min((latest, 0)); 2].into(),
            None => (read, changed),
        };
        [read, changed].map(|(seconds, rest)| Ext4Timestamp::new(seconds.clamp(*TIMES.start(), *TIMES.end()), rest))
    }
}

impl Clock for Time {
    fn now(&self) -> Ext4Result<Ext4Timestamp> {
        if let Some(seconds) = self.fixed {
            return Ok(Ext4Timestamp::new(seconds, 0));
        }
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Ok(Ext4Timestamp::new(now.as_secs() as i64, now.subsec_nanos()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fixed_clock_is_the_latest_time() {
        let clock = Time::of(Some("1000".as_ref())).expect("a number");
        assert_eq!(clock.now(), Ok(Ext4Timestamp::new(1000, 0)));
        assert_eq!(clock.of_file((2000, 5), (2000, 5)), [Ext4Timestamp::new(1000, 0); 2]);
        assert_eq!(clock.of_file((2000, 5), (900, 5)), [Ext4Timestamp::new(900, 5); 2]);
        let clock = Time::of(None).expect("none");
        assert_eq!(clock.of_file((7, 8), (i64::MAX, 5)).map(|time| time.sec), [7, 15_032_385_535]);
        for text in ["now", "1e3", "99999999999999"] {
            assert!(Time::of(Some(text.as_ref())).is_err(), "{text}");
        }
    }

    #[test]
    fn digests_are_those_of_fnv() {
        assert_eq!(digest(b"a"), 0xd228_cb69_6f1a_8caf_7891_2b70_4e4a_8964);
    }
}
