//! Character devices, and services that the files need for them.

use super::source::Source;
use crate::errno::Errno;
use crate::syscall_result::SyscallResult;
use crate::user::Slice;
use husk::abi::stream::kind;
use linux_raw_sys::general as linux;

/// Services that files need from the rest of the libos.
pub trait Devices {
    /// Writes to a stream of the console: 1 output, 2 error. Stops with `Gate` first; when restarted, returns the number of bytes
    /// written.
    fn console_write(&mut self, stream: u64, from: Source<'_>) -> SyscallResult;

    /// Returns true if the program has nothing else to do while it waits for console input.
    fn may_wait(&self) -> bool;

    /// Returns true if there is console input, or it has ended.
    fn console_ready(&mut self) -> bool;

    /// The monotonic time in nanoseconds.
    fn monotonic_ns(&self) -> u64;

    /// Reads from the console: stops with `Gate`. When restarted, [`Devices::console_result`] returns the number of bytes read, 0 at
    /// the end of the input.
    fn console_read(&mut self, into: Slice) -> SyscallResult;

    /// Result of the restarted call's read of the console, which has been made meanwhile.
    fn console_result(&mut self) -> Option<Result<u64, Errno>>;

    /// Makes a request of ioctl(2) to the terminal behind a stream of the console; ENOTTY for an unknown one.
    fn terminal(&mut self, stream: u64, request: u32, argument: u64) -> SyscallResult;

    /// Moves the offset of standard input, a regular file: lseek(2).
    fn seek_input(&mut self, offset: i64, whence: u32) -> Result<u64, Errno>;

    /// Fills `into` with random bytes.
    fn random(&mut self, into: &mut [u8]);

    /// Reads from the image file at `offset`; 0 at its end.
    fn image_read(&mut self, offset: u64, into: Slice) -> Result<u64, Errno>;
}

/// Standard stream of the console.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standard {
    /// 0 for reading, 1 and 2 for writing.
    pub number: u64,
    /// What it leads to on the host: one of [`kind`].
    pub kind: u32,
    /// Bytes in a regular file at the start.
    pub size: u64,
}

impl Standard {
    /// Stream of this number that leads to something unknown.
    pub const fn unknown(number: u64) -> Self {
        Self { number, kind: kind::UNKNOWN, size: 0 }
    }

    /// Bits of the kind in a file mode.
    pub fn format(self) -> u32 {
        match self.kind {
            kind::REGULAR => linux::S_IFREG,
            kind::PIPE => linux::S_IFIFO,
            kind::SOCKET => linux::S_IFSOCK,
            _ => linux::S_IFCHR,
        }
    }
}

/// Knowledge of the console's input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// Not known.
    Unknown,
    /// There was none at the last check; an arrival must be reported.
    Wanted,
    /// There is input, or it has ended.
    There,
}

/// A character device.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Device {
    /// The console.
    Console(Standard),
    /// `/dev/null`
    Null,
    /// `/dev/zero`
    Zero,
    /// `/dev/full`
    Full,
    /// `/dev/random` and `/dev/urandom`, by minor number.
    Random(u32),
    /// `/dev/tty`, which cannot be opened because there is no terminal.
    Terminal,
}

impl Device {
    /// Device number, major and minor.
    pub fn number(self) -> (u32, u32) {
        match self {
            Self::Console(stream) => match stream.kind {
                kind::TERMINAL => (136, 0),
                kind::UNKNOWN => (5, 1),
                _ => (0, 0),
            },
            Self::Null => (1, 3),
            Self::Zero => (1, 5),
            Self::Full => (1, 7),
            Self::Random(minor) => (1, minor),
            Self::Terminal => (5, 0),
        }
    }

    /// Reads from the device.
    pub fn read(self, devices: &mut dyn Devices, into: Slice) -> SyscallResult {
        if into.is_empty() {
            return Ok(0);
        }
        match self {
            // Reads of the console may wait, so `Files::read_console` handles them.
            Self::Console(_) => Err(Errno::EINVAL.into()),
            Self::Null => Ok(0),
            Self::Zero | Self::Full => {
                into.zero()?;
                Ok(into.length)
            }
            Self::Random(_) => {
                let mut done = 0;
                while done < into.length {
                    let mut bytes = [0; 256];
                    let part = into.after(done).first(bytes.len() as u64);
                    let bytes = &mut bytes[..part.length as usize];
                    devices.random(bytes);
                    part.copy_in(bytes)?;
                    done += part.length;
                }
                Ok(done)
            }
            Self::Terminal => Err(Errno::EIO.into()),
        }
    }

    /// Writes to the device.
    pub fn write(self, devices: &mut dyn Devices, from: Source<'_>) -> SyscallResult {
        from.check()?;
        match self {
            Self::Console(_) if from.length() == 0 => Ok(0),
            Self::Console(stream) => devices.console_write(stream.number.max(1), from),
            Self::Null | Self::Zero | Self::Random(_) => Ok(from.length()),
            Self::Full => Err(Errno::ENOSPC.into()),
            Self::Terminal => Err(Errno::EIO.into()),
        }
    }
}
