//! Panic handler of the libos: passes the message to the tender, which ends the guest as a fault.

use core::fmt::{self, Write};
use core::panic::PanicInfo;
use husk::process;

/// Buffer for as much of a message as fits; not allocated, because a panic may be about memory.
struct Message {
    bytes: [u8; 512],
    length: usize,
}

impl Write for Message {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for (slot, byte) in self.bytes.iter_mut().skip(self.length).zip(text.bytes()) {
            *slot = byte;
            self.length += 1;
        }
        Ok(())
    }
}

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut message = Message { bytes: [0; 512], length: 0 };
    let _ = write!(message, "libos {info}");
    process::panic(message.bytes.get(..message.length).unwrap_or_default())
}
