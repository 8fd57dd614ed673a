//! Setting a file's times.

use super::Files;
use super::inode::Time;
use super::layout::Timespec;
use crate::errno::Errno;
use linux_raw_sys::general as linux;

/// Change of one of a file's times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Leaves the time as it is.
    Omit,
    /// Sets the present time.
    Now,
    /// Sets this time.
    To(Time),
    /// No time: an error, after those of the file's name.
    Invalid,
}

impl Change {
    /// Reads the `struct timespec` of a program.
    pub fn read(raw: Timespec) -> Self {
        match u32::try_from(raw.nanoseconds) {
            Ok(linux::UTIME_OMIT) => Self::Omit,
            Ok(linux::UTIME_NOW) => Self::Now,
            Ok(nanoseconds @ 0..1_000_000_000) => Self::To(Time { seconds: raw.seconds, nanoseconds }),
            _ => Self::Invalid,
        }
    }

    fn apply(self, to: &mut Time, now: Time) {
        match self {
            Self::Omit | Self::Invalid => {}
            Self::Now => *to = now,
            Self::To(time) => *to = time,
        }
    }
}

/// Event of inotify(7) about these changes.
pub fn event(accessed: Change, modified: Change) -> u32 {
    match (accessed, modified) {
        (_, Change::Omit) => linux::IN_ACCESS,
        (Change::Omit, _) => linux::IN_MODIFY,
        _ => linux::IN_ATTRIB,
    }
}

impl Files {
    /// utimensat(2); without a path, futimens(3).
    pub fn set_times(
        &mut self,
        directory: i32,
        path: Option<&[u8]>,
        accessed: Change,
        modified: Change,
        flags: u32,
        now: Time,
    ) -> Result<(), Errno> {
        if accessed == Change::Omit && modified == Change::Omit {
            return Ok(());
        }
        if flags & !(linux::AT_SYMLINK_NOFOLLOW | linux::AT_EMPTY_PATH) != 0 {
            return Err(Errno::EINVAL);
        }
        let node = match path {
            None => self.description(directory)?.node,
            Some(b"") if flags & linux::AT_EMPTY_PATH != 0 => self.node_at(directory)?,
            Some(path) => self.resolve(directory, path, flags & linux::AT_SYMLINK_NOFOLLOW == 0)?,
        };
        if [accessed, modified].contains(&Change::Invalid) {
            return Err(Errno::EINVAL);
        }
        let times = &mut self.nodes[node].times;
        accessed.apply(&mut times.accessed, now);
        modified.apply(&mut times.modified, now);
        times.changed = now;
        self.report(node, event(accessed, modified));
        Ok(())
    }
}
