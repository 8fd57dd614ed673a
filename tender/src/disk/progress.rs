//! What has been copied, shown on a terminal if that takes long.

use husk_tender::host::streams;
use std::fmt;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

/// Work that takes longer than this is shown.
const PATIENCE: Duration = Duration::from_secs(1);
/// Time from one line to the next.
const PERIOD: Duration = Duration::from_millis(200);

/// What has been copied.
pub struct Progress {
    names: u64,
    bytes: u64,
    /// Time of the next line; `None` without a terminal.
    next: Option<Instant>,
    is_shown: bool,
}

impl Progress {
    /// Nothing yet.
    pub fn new() -> Self {
        let next = std::io::stderr().is_terminal().then(|| Instant::now() + PATIENCE);
        Self { names: 0, bytes: 0, next, is_shown: false }
    }

    /// Counts names and bytes.
    pub fn add(&mut self, names: u64, bytes: u64) {
        self.names += names;
        self.bytes += bytes;
        let now = Instant::now();
        if self.next.is_some_and(|next| next <= now) {
            streams::write_error(&format!("\r{} files, {} ...\x1b[K", self.names, Bytes(self.bytes)));
            (self.next, self.is_shown) = (Some(now + PERIOD), true);
        }
    }

    /// Number of files, directories and other names.
    pub fn names(&self) -> u64 {
        self.names
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        if self.is_shown {
            streams::write_error("\r\x1b[K");
        }
    }
}

/// A number of bytes, roughly: `5.3M`.
pub struct Bytes(pub u64);

impl fmt::Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (unit, letter) in [(1_u64 << 40, 'T'), (1 << 30, 'G'), (1 << 20, 'M'), (1 << 10, 'K')] {
            if self.0 >= unit {
                let (whole, tenths) = (self.0 / unit, self.0 % unit * 10 / unit);
                return match tenths {
                    0 => write!(f, "{whole}{letter}"),
                    _ => write!(f, "{whole}.{tenths}{letter}"),
                };
            }
        }
        write!(f, "{}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_rounded_down() {
        let shown =
            [0, 1023, 1024, 64 << 20, (5 << 20) + (400 << 10), (1 << 41) - 1].map(|size| Bytes(size).to_string());
        assert_eq!(shown, ["0", "1023", "1K", "64M", "5.3M", "1.9T"]);
    }
}
