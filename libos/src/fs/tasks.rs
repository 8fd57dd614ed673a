//! `/proc/self/task`: a directory for each thread, with its name.
//!
//! The directory is brought up to date when a path in it is about to be opened, because threads come and go without a notice to
//! the files.

use super::Files;
use super::data::Data;
use super::inode::{Kind, Time};
use super::path::Follow;
use crate::errno::Errno;
use alloc::format;
use alloc::vec::Vec;
use linux_raw_sys::general as linux;

/// Path of the directory.
pub const TASKS: &str = "/proc/self/task";

/// Returns true if a path may lead to the directory, or into it.
pub fn concerns(path: &[u8]) -> bool {
    path.starts_with(b"/proc/") && path.windows(5).any(|part| part == b"/task")
}

impl Files {
    /// Brings the directory up to date: the threads by number, each with its name.
    pub fn show_tasks(&mut self, threads: &[(u32, &[u8])], now: Time) -> Result<(), Errno> {
        for gone in self.tasks(threads)? {
            self.forget(&format!("{TASKS}/{gone}/comm"), now)?;
            self.forget(&format!("{TASKS}/{gone}"), now)?;
        }
        for (id, name) in threads {
            let comm = format!("{TASKS}/{id}/comm");
            if self.resolve(linux::AT_FDCWD, comm.as_bytes(), true).is_err() {
                self.seed_parents(&comm, now)?;
                self.seed(comm.as_bytes(), Kind::Regular(Data::default()), 0o444, now)?;
            }
            self.write_text(comm.as_bytes(), &[name, &b"\n"[..]].concat())?;
        }
        Ok(())
    }

    /// Returns the threads that are in the directory but gone.
    fn tasks(&mut self, threads: &[(u32, &[u8])]) -> Result<Vec<u32>, Errno> {
        self.seed_parents(&format!("{TASKS}/"), Time::default())?;
        let node = self.resolve(linux::AT_FDCWD, TASKS.as_bytes(), true)?;
        let (mut gone, mut position) = (Vec::new(), 0);
        let Some(directory) = self.nodes[node].directory() else { return Ok(gone) };
        while let Some((next, entry)) = directory.entry_from(position) {
            position = next;
            let id = core::str::from_utf8(&entry.name).ok().and_then(|name| name.parse().ok());
            gone.extend(id.filter(|id| threads.iter().all(|(thread, _)| thread != id)));
        }
        Ok(gone)
    }

    fn forget(&mut self, path: &str, now: Time) -> Result<(), Errno> {
        let walked = self.walk(linux::AT_FDCWD, path.as_bytes(), Follow::Never)?;
        let node = walked.node()?;
        self.remove_name(walked.directory, walked.name(), node, now);
        Ok(())
    }
}
