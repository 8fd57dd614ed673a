//! The standard streams, which exist before anything else is opened.
//!
//! The kernel gives a new file the lowest free descriptor. In a process that was started without one of the standard streams,
//! the next file to be opened, such as a guest's disk, would become that stream: what the guest prints would go to the disk.
//! The standard library opens /dev/null for them, in the part of its start that `husk` does without.
//!
//! Lines for the person at the terminal are written by [`say!`](crate::say) alone, which neither panics nor changes the exit
//! status when standard error is gone, and waits where `eprintln!` loses the rest: standard error may be a pipe that another
//! process has made non-blocking (O_NONBLOCK belongs to the open file description, which they share).

#![expect(unsafe_code, reason = "descriptors are looked at and opened by number")]

use std::fmt::{Arguments, Write};
use std::io;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::{Duration, Instant};

/// Modes to open the streams with, in the order of their descriptors: outputs are not readable.
const MODES: [libc::c_int; 3] = [libc::O_RDONLY, libc::O_WRONLY, libc::O_WRONLY];

/// Opens /dev/null as each standard stream that is closed. Called before any other file is opened.
pub fn open_closed() -> io::Result<()> {
    (0..).zip(MODES).filter(|(descriptor, _)| is_closed(*descriptor)).try_for_each(open)
}

fn is_closed(descriptor: libc::c_int) -> bool {
    // SAFETY: F_GETFD reads a flag, and fails for a number that is no descriptor.
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

/// Time for which [`say!`](crate::say) waits for a reader of a non-blocking standard error.
const PATIENCE: Duration = Duration::from_secs(5);

/// True after a wait for a reader was in vain: no line waits for a reader again until one is written.
static IS_STUCK: AtomicBool = AtomicBool::new(false);

/// Writes a line to standard error, as `eprintln!` does.
#[macro_export]
macro_rules! say {
    ($($piece:tt)*) => {
        $crate::host::streams::write_line(format_args!($($piece)*))
    };
}

/// Writes the line of [`say!`](crate::say).
pub fn write_line(line: Arguments<'_>) {
    let mut text = String::new();
    // A type that fails to format leaves what it has written so far.
    let _ = writeln!(text, "{line}");
    write_error(&text);
}

/// Writes to standard error, in one piece where the kernel takes it as one. Text without a reader is lost.
pub fn write_error(text: &str) {
    write_to(libc::STDERR_FILENO, text.as_bytes());
}

fn write_to(descriptor: libc::c_int, mut bytes: &[u8]) {
    let mut until = None;
    while !bytes.is_empty() {
        // SAFETY: the bytes are ours.
        let written = unsafe { libc::write(descriptor, bytes.as_ptr().cast(), bytes.len()) };
        if let Ok(written) = usize::try_from(written) {
            bytes = &bytes[written..];
            IS_STUCK.store(false, Relaxed);
            continue;
        }
        match io::Error::last_os_error().kind() {
            io::ErrorKind::Interrupted => {}
            io::ErrorKind::WouldBlock => {
                let until = *until.get_or_insert_with(|| Instant::now() + PATIENCE);
                if IS_STUCK.load(Relaxed) || !has_room(descriptor, until) {
                    IS_STUCK.store(true, Relaxed);
                    return;
                }
            }
            _ => return,
        }
    }
}

/// Writes a line to standard error if it is taken without waiting, for handlers of signals, too.
pub fn write_at_once(line: &[u8]) {
    let mut room = libc::pollfd { fd: libc::STDERR_FILENO, events: libc::POLLOUT, revents: 0 };
    // SAFETY: one entry of our own.
    if unsafe { libc::poll(&mut room, 1, 0) } == 1 && room.revents == libc::POLLOUT {
        // SAFETY: the bytes are the caller's.
        unsafe { libc::write(libc::STDERR_FILENO, line.as_ptr().cast(), line.len()) };
    }
}

/// Waits until the descriptor has room. Returns true if it has before `until`.
fn has_room(descriptor: libc::c_int, until: Instant) -> bool {
    let mut room = libc::pollfd { fd: descriptor, events: libc::POLLOUT, revents: 0 };
    let left = until.saturating_duration_since(Instant::now());
    let timeout = libc::timespec { tv_sec: left.as_secs() as i64, tv_nsec: left.subsec_nanos().into() };
    // A signal interrupts the call, and the write is tried again. ppoll(2), which all threads may call.
    // SAFETY: one entry of our own; the time is a variable; no set is given.
    !left.is_zero() && unsafe { libc::ppoll(&mut room, 1, &timeout, std::ptr::null()) } != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::{AsRawFd, FromRawFd};

    #[test]
    fn a_reader_is_waited_for_in_vain_once() {
        let mut ends = [0; 2];
        // SAFETY: room for two descriptors.
        assert_eq!(unsafe { libc::pipe2(ends.as_mut_ptr(), libc::O_NONBLOCK) }, 0);
        // SAFETY: both are new, and owned by nothing else.
        let [mut reader, writer] = ends.map(|descriptor| unsafe { File::from_raw_fd(descriptor) });
        write_to(writer.as_raw_fd(), &vec![b'-'; 1 << 20]);
        assert!(IS_STUCK.load(Relaxed));
        // Were each waited for, this would take an hour.
        (0..1000).for_each(|_| write_to(writer.as_raw_fd(), b"lost\n"));
        let mut bytes = vec![0; 1 << 20];
        let read = reader.read(&mut bytes).expect("it is full");
        assert!(bytes[..read].iter().all(|byte| *byte == b'-'));
        write_to(writer.as_raw_fd(), b"line\n");
        assert!(!IS_STUCK.load(Relaxed));
        let left = reader.read(&mut bytes).expect("there is more");
        assert!(bytes[..left].ends_with(b"line\n"));
    }
}
