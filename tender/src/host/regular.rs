//! Regular files of the host, at paths where anything may be.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Opens a regular file for reading. Neither waits for the writer of a FIFO nor takes a directory.
pub fn open(path: &Path) -> Option<File> {
    let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path);
    opened.ok().filter(|file| file.metadata().is_ok_and(|metadata| metadata.is_file()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_but_regular_files_is_opened() {
        let folder = tempfile::tempdir().expect("a folder");
        let (file, fifo) = (folder.path().join("file"), folder.path().join("fifo"));
        std::fs::write(&file, "text").expect("a file");
        let made = std::process::Command::new("mkfifo").arg(&fifo).status().expect("mkfifo runs");
        assert!(made.success() && open(&file).is_some());
        for other in [fifo.as_path(), folder.path(), Path::new("/dev/null"), Path::new("/none")] {
            assert!(open(other).is_none(), "{}", other.display());
        }
    }
}
