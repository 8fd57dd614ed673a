//! The console: standard input, output and error of the tender.

use crate::gate;
use core::fmt;
use husk_abi::call::{News, Number, Status, Waited};
use husk_abi::stream::{MODES_SIZE, Window, request};

/// Stream number of standard output.
pub const OUTPUT: u64 = 1;
/// Stream number of standard error.
pub const ERROR: u64 = 2;

/// Modes of a terminal: Linux's `struct termios`.
pub type Modes = [u8; MODES_SIZE as usize];

/// Writes from `length` bytes at `address`. Returns the number of bytes written.
pub fn write_at(stream: u64, address: u64, length: u64) -> Result<u64, Status> {
    gate::call(Number::ConsoleWrite, stream, address, length, 0)
}

/// Reads up to `length` bytes to `address`. Returns the number of bytes read; 0 at the end of the input.
pub fn read_at(address: u64, length: u64) -> Result<u64, Status> {
    gate::call(Number::ConsoleRead, address, length, 0, 0)
}

/// Returns the size of the window of the terminal behind a stream.
pub fn window(stream: u64) -> Result<Window, Status> {
    gate::call(Number::Terminal, stream, request::WINDOW, 0, 0).map(Window::decode)
}

/// Returns the modes of the terminal behind a stream.
pub fn modes(stream: u64) -> Result<Modes, Status> {
    let mut modes = [0; MODES_SIZE as usize];
    gate::call(Number::Terminal, stream, request::GET, modes.as_mut_ptr() as u64, MODES_SIZE)?;
    Ok(modes)
}

/// Sets the modes of the terminal behind a stream, by one of the [`request`]s for that.
pub fn set_modes(stream: u64, how: u64, modes: &Modes) -> Result<(), Status> {
    gate::call(Number::Terminal, stream, how, modes.as_ptr() as u64, MODES_SIZE).map(|_| ())
}

/// Discards input, output or both of the terminal behind a stream: see [`request::FLUSH`].
pub fn flush(stream: u64, queue: u64) -> Result<(), Status> {
    gate::call(Number::Terminal, stream, request::FLUSH, queue, 0).map(|_| ())
}

/// Moves the offset of standard input, a regular file, as lseek(2) does. Returns the new offset.
pub fn seek_input(offset: i64, whence: u64) -> Result<u64, Status> {
    gate::call(Number::InputSeek, offset as u64, whence, 0, 0)
}

/// Blocks until a read would not block, or the monotonic clock reaches `deadline_ns`. Returns true if a read would not block.
pub fn wait_for_input(deadline_ns: u64) -> bool {
    let waited = gate::call(Number::Wait, deadline_ns, News::INPUT.bits(), 0, 0);
    waited.is_ok_and(|value| Waited::decode(value).news.contains(News::INPUT))
}

/// Writes a prefix of `bytes`. Returns its length.
pub fn write(stream: u64, bytes: &[u8]) -> Result<usize, Status> {
    write_at(stream, bytes.as_ptr() as u64, bytes.len() as u64).map(|count| count as usize)
}

/// Writes all of `bytes`.
pub fn write_all(stream: u64, mut bytes: &[u8]) -> Result<(), Status> {
    while !bytes.is_empty() {
        let count = write(stream, bytes)?;
        bytes = bytes.get(count..).unwrap_or_default();
    }
    Ok(())
}

/// Reads into `bytes`. Returns the number of bytes read; 0 at the end of the input.
pub fn read(bytes: &mut [u8]) -> Result<usize, Status> {
    read_at(bytes.as_mut_ptr() as u64, bytes.len() as u64).map(|count| count as usize)
}

/// A stream as a target for `write!`, unbuffered.
#[derive(Clone, Copy, Debug)]
pub struct Stream(pub u64);

impl fmt::Write for Stream {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        write_all(self.0, text.as_bytes()).map_err(|_| fmt::Error)
    }
}

/// Prints to a stream in as few calls as its length allows; errors are ignored, because there is no place to report them.
pub fn print(stream: u64, arguments: fmt::Arguments<'_>) {
    if let Some(text) = arguments.as_str() {
        let _ = write_all(stream, text.as_bytes());
        return;
    }
    let mut line = Line { stream, bytes: [0; 256], length: 0 };
    let _ = fmt::write(&mut line, arguments);
    line.flush();
}

/// Buffer that gathers the pieces of one `print`.
struct Line {
    stream: u64,
    bytes: [u8; 256],
    length: usize,
}

impl Line {
    fn flush(&mut self) {
        let _ = write_all(self.stream, self.bytes.get(..self.length).unwrap_or_default());
        self.length = 0;
    }
}

impl fmt::Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.length == self.bytes.len() {
                self.flush();
            }
            if let Some(slot) = self.bytes.get_mut(self.length) {
                *slot = byte;
                self.length += 1;
            }
        }
        Ok(())
    }
}

/// Prints to standard output.
#[macro_export]
macro_rules! print {
    ($($argument:tt)*) => { $crate::console::print($crate::console::OUTPUT, ::core::format_args!($($argument)*)) };
}

/// Prints a line to standard output.
#[macro_export]
macro_rules! println {
    () => { $crate::print!("\n") };
    ($($argument:tt)*) => { $crate::print!("{}\n", ::core::format_args!($($argument)*)) };
}

/// Prints a line to standard error.
#[macro_export]
macro_rules! eprintln {
    ($($argument:tt)*) => {
        $crate::console::print(
            $crate::console::ERROR,
            ::core::format_args!("{}\n", ::core::format_args!($($argument)*)),
        )
    };
}
