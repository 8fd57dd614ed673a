//! Terminals behind the standard streams: which streams lead to one, its window and its modes.
//!
//! A guest may set the modes, as for input key by key. The first time, those that it finds are kept, and [`restore`] sets them again:
//! when the tender ends by itself, or by a signal that it handles.

#![expect(unsafe_code, reason = "descriptors are asked by number")]

use husk_abi::stream::{MODES_SIZE, Stream, Window, kind};
use libc::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};

/// Modes of a terminal, as Linux has them.
pub type Modes = [u8; MODES_SIZE as usize];

/// Modes of the terminal behind each standard stream, as they were before the guest set others.
static ORIGINAL: [OnceLock<Modes>; 3] = [const { OnceLock::new() }; 3];
/// True for standard streams that are terminals; of others, the filters allow no modes to be asked for.
static IS_TERMINAL: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];
/// True for streams whose modes the guest has set.
static CHANGED: [AtomicBool; 3] = [const { AtomicBool::new(false) }; 3];

/// Requests of ioctl(2) about a terminal's modes, each with a pointer to [`Modes`], and about its window.
pub const GET: u32 = libc::TCGETS as u32;
/// Sets modes at once.
pub const SET: u32 = libc::TCSETS as u32;
/// Sets modes when all output has been sent.
pub const SET_DRAINED: u32 = libc::TCSETSW as u32;
/// Sets modes when all output has been sent, and discards input.
pub const SET_FLUSHED: u32 = libc::TCSETSF as u32;
/// Discards input or output.
pub const FLUSH: u32 = libc::TCFLSH as u32;
/// Returns the size of the window.
pub const WINDOW: u32 = libc::TIOCGWINSZ as u32;

/// Describes the standard streams.
pub fn streams() -> [Stream; 3] {
    let streams = [0, 1, 2].map(|descriptor| describe(descriptor).unwrap_or_default());
    for (stream, is_terminal) in streams.iter().zip(&IS_TERMINAL) {
        is_terminal.store(stream.kind == kind::TERMINAL, Relaxed);
    }
    streams
}

fn describe(descriptor: c_int) -> Option<Stream> {
    let mut status = MaybeUninit::<libc::stat>::uninit();
    // SAFETY: the status is a variable of ours.
    if unsafe { libc::fstat(descriptor, status.as_mut_ptr()) } != 0 {
        return None;
    }
    // SAFETY: fstat(2) succeeded, so it has filled in the status.
    let status = unsafe { status.assume_init() };
    let kind = match status.st_mode & libc::S_IFMT {
        libc::S_IFREG => kind::REGULAR,
        libc::S_IFIFO => kind::PIPE,
        libc::S_IFSOCK => kind::SOCKET,
        libc::S_IFCHR if modes(descriptor).is_ok() => kind::TERMINAL,
        _ => kind::UNKNOWN,
    };
    let size = if kind == kind::REGULAR { status.st_size as u64 } else { 0 };
    Some(Stream { kind, reserved: 0, size })
}

/// Makes a request of ioctl(2) whose argument points to a variable of the size that the request is for.
fn ask<T>(descriptor: c_int, request: u32, argument: &mut T) -> io::Result<()> {
    // SAFETY: the callers pass a variable of the request's type.
    match unsafe { libc::ioctl(descriptor, request as libc::Ioctl, std::ptr::from_mut(argument)) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Modes of the terminal behind a descriptor.
pub fn modes(descriptor: c_int) -> io::Result<Modes> {
    let mut modes = [0; MODES_SIZE as usize];
    ask(descriptor, GET, &mut modes)?;
    Ok(modes)
}

/// Sets the modes of the terminal behind a standard stream, by [`SET`], [`SET_DRAINED`] or [`SET_FLUSHED`].
pub fn set_modes(stream: c_int, request: u32, mut modes: Modes) -> io::Result<()> {
    keep_originals()?;
    if let Some(changed) = CHANGED.get(stream as usize) {
        // Before the change: a signal in between restores what is there.
        changed.store(true, Relaxed);
    }
    ask(stream, request, &mut modes)
}

/// Keeps the modes of all terminals among the streams, before the first change of any: they may be one and the same.
fn keep_originals() -> io::Result<()> {
    for ((stream, original), is_terminal) in (0..).zip(&ORIGINAL).zip(&IS_TERMINAL) {
        if is_terminal.load(Relaxed) && original.get().is_none() {
            let found = self::modes(stream)?;
            original.get_or_init(|| found);
        }
    }
    Ok(())
}

/// Discards input, output or both.
pub fn flush(descriptor: c_int, queue: c_int) -> io::Result<()> {
    // SAFETY: the argument of this request is a number.
    match unsafe { libc::ioctl(descriptor, FLUSH as libc::Ioctl, queue) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Size of the window of the terminal behind a descriptor.
pub fn window(descriptor: c_int) -> io::Result<Window> {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    ask(descriptor, WINDOW, &mut size)?;
    Ok(Window { sizes: [size.ws_row, size.ws_col, size.ws_xpixel, size.ws_ypixel] })
}

/// Moves the offset of a descriptor: lseek(2).
pub fn seek(descriptor: c_int, offset: i64, whence: c_int) -> io::Result<u64> {
    // SAFETY: lseek(2) takes numbers only.
    let offset = unsafe { libc::lseek(descriptor, offset, whence) };
    u64::try_from(offset).map_err(|_| io::Error::last_os_error())
}

/// Sets the modes again that were there before the guest set others. Async-signal-safe (signal-safety(7)).
pub fn restore() {
    for ((stream, original), changed) in (0..).zip(&ORIGINAL).zip(&CHANGED) {
        if let (true, Some(modes)) = (changed.swap(false, Relaxed), original.get()) {
            without_stop(|| {
                // What cannot be restored is lost: the terminal may be gone.
                let _ = ask(stream, SET, &mut { *modes });
            });
        }
    }
}

/// Does `what` with SIGTTOU blocked, which otherwise stops a process in the background that changes its terminal.
fn without_stop(what: impl FnOnce()) {
    let (mut set, mut before) = (MaybeUninit::<libc::sigset_t>::uninit(), MaybeUninit::<libc::sigset_t>::uninit());
    // SAFETY: the set is a variable of ours.
    unsafe { libc::sigemptyset(set.as_mut_ptr()) };
    // SAFETY: the set is a variable of ours, and the signal exists.
    unsafe { libc::sigaddset(set.as_mut_ptr(), libc::SIGTTOU) };
    // SAFETY: both sets are variables of ours; the first has been filled in.
    unsafe { libc::sigprocmask(libc::SIG_BLOCK, set.as_ptr(), before.as_mut_ptr()) };
    what();
    // SAFETY: sigprocmask(2) has filled in the set.
    unsafe { libc::sigprocmask(libc::SIG_SETMASK, before.as_ptr(), std::ptr::null_mut()) };
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::os::fd::AsRawFd;

    #[test]
    fn files_and_pipes_are_what_they_are() {
        let file = File::open("/proc/self/exe").expect("the test");
        let found = describe(file.as_raw_fd()).expect("it is open");
        assert_eq!((found.kind, found.size), (kind::REGULAR, file.metadata().expect("open").len()));
        let (reader, _writer) = io::pipe().expect("a pipe");
        assert_eq!(describe(reader.as_raw_fd()).map(|stream| stream.kind), Some(kind::PIPE));
        let null = File::open("/dev/null").expect("it is there");
        assert_eq!(describe(null.as_raw_fd()).map(|stream| stream.kind), Some(kind::UNKNOWN));
        assert_eq!(describe(-1), None);
        assert!(window(null.as_raw_fd()).is_err() && modes(null.as_raw_fd()).is_err());
    }
}
