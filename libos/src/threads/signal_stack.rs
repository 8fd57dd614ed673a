//! Alternate signal stack of a thread.

use linux_raw_sys::general::SS_AUTODISARM;

/// An alternate signal stack, as sigaltstack(2) takes it.
#[derive(Clone, Copy, Debug)]
pub struct SignalStack {
    /// First address.
    pub start: u64,
    /// `SS_DISABLE`, `SS_AUTODISARM` or 0.
    pub flags: u32,
    /// Bytes.
    pub length: u64,
}

impl SignalStack {
    /// Returns true if a thread with this stack pointer runs on the stack. A stack that is disarmed while used does not count.
    pub fn contains(&self, pointer: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && pointer > self.start && pointer - self.start <= self.length
    }
}

/// `SS_DISABLE`: there is no alternate stack.
pub const NO_STACK: SignalStack = SignalStack { start: 0, flags: 2, length: 0 };
