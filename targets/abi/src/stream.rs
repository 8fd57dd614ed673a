//! The standard streams: what each leads to, and requests to a terminal behind one.
//!
//! [`crate::boot::Info::streams`] describes standard input, output and error. Where one is a [`kind::TERMINAL`], the guest may make
//! the [`request`]s of [`crate::call::Number::Terminal`] about it. The tender restores the modes of a terminal when it ends.

use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// Standard stream of the guest.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(C)]
pub struct Stream {
    /// One of [`kind`]; any other number means [`kind::UNKNOWN`].
    pub kind: u32,
    /// 0.
    pub reserved: u32,
    /// Bytes in the file at the start, if it is a regular one.
    pub size: u64,
}

/// Kinds of streams.
pub mod kind {
    /// Not known: to be taken for a character device.
    pub const UNKNOWN: u32 = 0;
    /// A regular file. Of standard input, the offset can be moved ([`crate::call::Number::InputSeek`]).
    pub const REGULAR: u32 = 1;
    /// A pipe.
    pub const PIPE: u32 = 2;
    /// A socket.
    pub const SOCKET: u32 = 3;
    /// A terminal.
    pub const TERMINAL: u32 = 4;
}

/// Requests to a terminal.
pub mod request {
    /// Value: a [`Window`](super::Window).
    pub const WINDOW: u64 = 1;
    /// Writes the modes: [`MODES_SIZE`](super::MODES_SIZE) bytes, Linux's `struct termios` (ioctl_tty(2), TCGETS).
    pub const GET: u64 = 2;
    /// Sets the modes, which it reads, at once (TCSETS).
    pub const SET: u64 = 3;
    /// Sets the modes when all output has been sent (TCSETSW).
    pub const SET_DRAINED: u64 = 4;
    /// Sets the modes when all output has been sent, and discards input (TCSETSF).
    pub const SET_FLUSHED: u64 = 5;
    /// Discards input that was not read, if the address is 0, output that was not sent, if it is 1, or both, if it is 2 (TCFLSH).
    pub const FLUSH: u64 = 6;
}

/// Bytes of the modes of a terminal.
pub const MODES_SIZE: u64 = 36;

/// Size of a terminal's window.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// Characters in a column, characters in a row, width in pixels, height in pixels; 0 if not known. The height is below 32,768.
    pub sizes: [u16; 4],
}

impl Window {
    /// Returns the value of a call for this window.
    pub const fn encode(self) -> u64 {
        let [rows, columns, width, height] = self.sizes;
        rows as u64 | (columns as u64) << 16 | (width as u64) << 32 | ((height & 0x7fff) as u64) << 48
    }

    /// Returns the window that a value encodes.
    pub const fn decode(value: u64) -> Self {
        Self { sizes: [value as u16, (value >> 16) as u16, (value >> 32) as u16, (value >> 48) as u16] }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_survive_the_trip_and_are_no_status() {
        for sizes in [[24, 80, 0, 0], [u16::MAX, u16::MAX, u16::MAX, 0x7fff]] {
            let value = Window { sizes }.encode();
            assert!(value as i64 > 0);
            assert_eq!(Window::decode(value), Window { sizes });
        }
    }
}
