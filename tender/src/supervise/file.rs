//! The file of `--status-file`, opened before the tender exists.

#![expect(unsafe_code, reason = "standard streams are looked at by number")]

use crate::error::Error;
use std::fs::{File, Metadata, OpenOptions};
use std::os::fd::BorrowedFd;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::Path;

/// Opens the status file and truncates it: a regular file, which is created if there is none. Refuses a symbolic link, the
/// files in `used` and the standard streams, because the guest writes to these or husk reads from them.
pub fn open<'p>(path: &Path, used: impl IntoIterator<Item = &'p Path>) -> Result<File, Error> {
    let refused = |reason: String| Error::StatusFile { path: path.to_owned(), reason };
    let opened = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_NOCTTY)
        .open(path);
    let file = opened.map_err(|error| match error.raw_os_error() {
        Some(libc::ELOOP) => refused("it is a symbolic link; name the file itself".to_owned()),
        _ => refused(format!("{error}; name a file in a folder that exists and can be written to")),
    })?;
    let unknown = |error: std::io::Error| refused(error.to_string());
    let found = file.metadata().map_err(unknown)?;
    if !found.is_file() {
        return Err(refused("it is not a regular file; name one, or a name that is free".to_owned()));
    }
    if let Some(other) = used.into_iter().find(|other| other.metadata().is_ok_and(|other| is_same(&found, &other))) {
        return Err(refused(format!("it is {}, which this run uses; name another file", other.display())));
    }
    if (libc::STDIN_FILENO..=libc::STDERR_FILENO).any(|stream| is_stream(&found, stream)) {
        return Err(refused("it is open as a standard stream, which the guest has; name another file".to_owned()));
    }
    file.set_len(0).map_err(unknown)?;
    Ok(file)
}

fn is_same(one: &Metadata, other: &Metadata) -> bool {
    (one.dev(), one.ino()) == (other.dev(), other.ino())
}

fn is_stream(found: &Metadata, stream: libc::c_int) -> bool {
    // SAFETY: the standard streams are open since the start (`streams::open_closed`), and stay so.
    let stream = unsafe { BorrowedFd::borrow_raw(stream) };
    let stream = stream.try_clone_to_owned().map(File::from).and_then(|stream| stream.metadata());
    stream.is_ok_and(|stream| is_same(found, &stream))
}
