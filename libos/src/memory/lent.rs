//! A guard that is there already: every std program maps a signal stack with a guard page at its start, which would
//! cost a call to the tender and the page faults that follow it.
//!
//! So this mapping, three pages of which the first is closed, is placed against the pages that the tender never mapped
//! below the main stack, and takes that stack's lowest two: a stack on which the program runs out of space a little
//! earlier. Only what looks exactly like it is served, and once, before anybody else can ask.

use crate::errno::Errno;
use husk::abi::boot::Info;
use husk::abi::memory::{PAGE, Rights};

/// Whether the mapping has been made.
#[derive(Debug, Default)]
pub struct Lent(SignalStack);

/// What is known of the signal stack.
#[derive(Debug, Default, PartialEq, Eq)]
enum SignalStack {
    #[default]
    Unknown,
    /// The program has asked whether there is one: it is about to map it.
    Expected,
    /// It has been mapped, here or elsewhere.
    Settled,
}

impl Lent {
    /// The program asked for its signal stack, and has none.
    pub fn expect_signal_stack(&mut self) {
        if self.0 == SignalStack::Unknown {
            self.0 = SignalStack::Expected;
        }
    }

    /// Where a mapping goes, if it is this one; `is_stack` if it was called one.
    pub fn map(&mut self, info: &Info, length: u64, rights: Rights, is_stack: bool) -> Option<u64> {
        if self.0 != SignalStack::Expected {
            return None;
        }
        self.0 = SignalStack::Settled;
        let fits = is_stack && length == 3 * PAGE && rights.contains(Rights::WRITE);
        fits.then_some(info.main_stack.start - PAGE)
    }

    /// What to answer if the rights of these pages are changed; nothing if they are not the guard.
    pub fn protect(&self, info: &Info, address: u64, length: u64, rights: Rights) -> Option<Result<(), Errno>> {
        let is_guard = self.0 == SignalStack::Settled && address == info.main_stack.start - PAGE;
        match () {
            () if is_guard && length == PAGE && rights.is_empty() => Some(Ok(())),
            () if is_guard => Some(Err(Errno::ENOMEM)),
            () => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use husk::abi::memory::Region;
    use zerocopy::FromZeros;

    const READ_WRITE: Rights = Rights::READ.union(Rights::WRITE);

    fn info() -> Info {
        let main_stack = Region { start: 0x8_0000, length: 16 * PAGE };
        Info { main_stack, ..Info::new_zeroed() }
    }

    #[test]
    fn only_what_follows_the_question_is_the_signal_stack() {
        let (info, mut lent) = (info(), Lent::default());
        assert_eq!(lent.map(&info, 3 * PAGE, READ_WRITE, true), None, "nobody asked");
        lent.expect_signal_stack();
        assert_eq!(lent.map(&info, 3 * PAGE, READ_WRITE, true), Some(0x7_f000));
        assert_eq!(lent.protect(&info, 0x7_f000, PAGE, Rights::empty()), Some(Ok(())));
        lent.expect_signal_stack();
        assert_eq!(lent.map(&info, 3 * PAGE, READ_WRITE, true), None, "once");

        let mut other = Lent::default();
        other.expect_signal_stack();
        assert_eq!(other.map(&info, 4 * PAGE, READ_WRITE, true), None);
        assert_eq!(other.map(&info, 3 * PAGE, READ_WRITE, true), None, "the moment has passed");
    }
}
