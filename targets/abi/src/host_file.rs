//! Files of the host that a guest may read: certificates, time zones, the tables of names.
//!
//! The tender lists what it offers in [`crate::boot::Info::host_files`]: absolute paths as the guest sees them; a path that ends
//! in `/` is a directory, all of whose files are offered. A guest reads one by a call ([`crate::call::Number::HostFile`]) when its
//! program looks for it: nothing is copied before. Files are short, so that a call returns all of one; the tender refuses a longer
//! one. Nothing can be written.

/// Most bytes of a path.
pub const PATH_MAXIMUM: u64 = 512;
/// Most bytes of a file, of a link's target, or of a directory's listing.
pub const LENGTH_MAXIMUM: u64 = 4 << 20;

/// Kinds of what lies at a path.
pub mod kind {
    /// A regular file: its contents.
    pub const FILE: u32 = 1;
    /// A directory. Its contents are a record for each entry: one byte, [`DIRECTORY`], or [`FILE`] for any other kind, and the
    /// name with a NUL. A name is 1 to 255 bytes, none of them `/`, and neither `.` nor `..`.
    pub const DIRECTORY: u32 = 2;
    /// A symbolic link: its target.
    pub const LINK: u32 = 3;
}

/// Value of a [`crate::call::Number::HostFile`].
///
/// ```text
/// bits 0 to 31     length    bytes of the contents; they were copied if there was room for all of them
/// bits 32 to 34    kind      a value of [`kind`]
/// ```
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// A value of [`kind`].
    pub kind: u32,
    /// Bytes of the contents; at most [`LENGTH_MAXIMUM`].
    pub length: u32,
}

impl Answer {
    /// Returns the call's value for this answer.
    pub const fn encode(self) -> u64 {
        self.length as u64 | (self.kind as u64) << 32
    }

    /// Decodes a call's value; `None` if it is no answer.
    pub const fn decode(value: u64) -> Option<Self> {
        let answer = Self { kind: (value >> 32) as u32, length: value as u32 };
        match answer.kind {
            kind::FILE | kind::DIRECTORY | kind::LINK if answer.length as u64 <= LENGTH_MAXIMUM => Some(answer),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_survive_the_trip() {
        for kind in [kind::FILE, kind::DIRECTORY, kind::LINK] {
            for length in [0, 1, LENGTH_MAXIMUM as u32] {
                let answer = Answer { kind, length };
                assert_eq!(Answer::decode(answer.encode()), Some(answer));
            }
        }
        for value in [0, 4 << 32, u64::MAX, 1 << 32 | (LENGTH_MAXIMUM + 1)] {
            assert_eq!(Answer::decode(value), None, "{value:#x}");
        }
    }
}
