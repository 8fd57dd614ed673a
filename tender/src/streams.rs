//! The standard streams, which exist before anything else is opened.
//!
//! The kernel gives a new file the lowest free descriptor. In a process that was started without one of the standard streams,
//! the next file to be opened, such as a guest's disk, would become that stream: what the guest prints would go to the disk.
//! The standard library opens /dev/null for them, in the part of its start that `husk` does without.

#![expect(unsafe_code, reason = "descriptors are looked at and opened by number")]

use crate::error::Error;
use std::io;

/// How each is opened, in the order of their descriptors: nothing is read from an output.
const MODES: [libc::c_int; 3] = [libc::O_RDONLY, libc::O_WRONLY, libc::O_WRONLY];

/// Opens /dev/null as each standard stream that is closed. Called before any other file is opened.
pub fn open_closed() -> Result<(), Error> {
    (0..).zip(MODES).filter(|(descriptor, _)| is_closed(*descriptor)).try_for_each(open).map_err(Error::NoStreams)
}

fn is_closed(descriptor: libc::c_int) -> bool {
    // SAFETY: reads a flag of a descriptor, if it is one.
    let flags = unsafe { libc::fcntl(descriptor, libc::F_GETFD) };
    flags == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EBADF)
}

/// Opens /dev/null as this descriptor, which is the lowest that is free.
fn open((descriptor, mode): (libc::c_int, libc::c_int)) -> io::Result<()> {
    // SAFETY: the path is a constant.
    match unsafe { libc::open(c"/dev/null".as_ptr(), mode) } {
        -1 => Err(io::Error::last_os_error()),
        opened if opened == descriptor => Ok(()),
        _ => Err(io::Error::from_raw_os_error(libc::EBUSY)),
    }
}
