//! Panic of a native program: the tender gets the place and the message, and reports them with a backtrace.

use crate::process;
use core::fmt::{self, Write};
use core::panic::PanicInfo;

/// A message cut to the length of its buffer.
struct Message {
    bytes: [u8; 1024],
    length: usize,
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            let slot = self.bytes.get_mut(self.length).ok_or(fmt::Error)?;
            *slot = byte;
            self.length += 1;
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut message = Message { bytes: [0; 1024], length: 0 };
    let _ = write!(message, "{info}");
    process::panic(message.bytes.get(..message.length).unwrap_or_default())
}
