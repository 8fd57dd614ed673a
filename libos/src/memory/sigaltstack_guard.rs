//! Reuse of an existing guard gap: every std program maps a signal stack with a guard page at its start, which would cost a
//! call to the tender and the page faults after it.
//!
//! So this mapping, three pages of which the first is made inaccessible, is placed against the pages that the tender never
//! mapped below the main stack, and takes the lowest two pages of that stack: the program's stack overflows a little earlier.
//! Only a mapping with exactly this pattern is placed there, once, and only before any other mapping.

use super::signal_stacks;
use crate::errno::Errno;
use husk::abi::boot::Info;
use husk::abi::memory::{PAGE, Rights};

/// State of the mapping, and whether the next one is a signal stack.
#[derive(Debug, Default)]
pub struct SigaltstackGuard {
    first: SignalStack,
    asked: bool,
}

/// State of the signal stack.
#[derive(Debug, Default, PartialEq, Eq)]
enum SignalStack {
    #[default]
    Unknown,
    /// The program has asked for its signal stack: it is about to map one.
    Expected,
    /// The signal stack has been mapped, here or elsewhere.
    Settled,
}

impl SigaltstackGuard {
    /// Notes that the program asked for its signal stack, and has none.
    pub fn expect_signal_stack(&mut self) {
        self.asked = true;
        if self.first == SignalStack::Unknown {
            self.first = SignalStack::Expected;
        }
    }

    /// Returns true if a mapping is a signal stack that is about to get a guard: it follows sigaltstack's question for one,
    /// with `is_stack` if the mapping was called a stack.
    pub fn is_signal_stack(&mut self, length: u64, rights: Rights, is_stack: bool) -> bool {
        let fits = is_stack && length == signal_stacks::PAGES as u64 * PAGE && rights.contains(Rights::WRITE);
        let is_one = core::mem::take(&mut self.asked) && fits;
        if self.first == SignalStack::Expected && !is_one {
            self.first = SignalStack::Settled;
        }
        is_one
    }

    /// Address for a signal stack, if it is the first.
    pub fn map(&mut self, info: &Info) -> Option<u64> {
        let is_first = self.first == SignalStack::Expected;
        self.first = SignalStack::Settled;
        is_first.then_some(info.main_stack.start - PAGE)
    }

    /// Result of changing the rights of these pages; `None` if they are not the guard.
    pub fn protect(&self, info: &Info, address: u64, length: u64, rights: Rights) -> Option<Result<(), Errno>> {
        let is_guard = self.first == SignalStack::Settled && address == info.main_stack.start - PAGE;
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
        let (info, mut sigaltstack_guard) = (info(), SigaltstackGuard::default());
        assert!(!sigaltstack_guard.is_signal_stack(3 * PAGE, READ_WRITE, true), "nobody asked");
        sigaltstack_guard.expect_signal_stack();
        assert!(sigaltstack_guard.is_signal_stack(3 * PAGE, READ_WRITE, true));
        assert_eq!(sigaltstack_guard.map(&info), Some(0x7_f000));
        assert_eq!(sigaltstack_guard.protect(&info, 0x7_f000, PAGE, Rights::empty()), Some(Ok(())));
        sigaltstack_guard.expect_signal_stack();
        assert!(sigaltstack_guard.is_signal_stack(3 * PAGE, READ_WRITE, true));
        assert_eq!(sigaltstack_guard.map(&info), None, "once");

        let mut other = SigaltstackGuard::default();
        other.expect_signal_stack();
        assert!(!other.is_signal_stack(4 * PAGE, READ_WRITE, true));
        assert!(!other.is_signal_stack(3 * PAGE, READ_WRITE, true), "the moment has passed");
        other.expect_signal_stack();
        assert!(other.is_signal_stack(3 * PAGE, READ_WRITE, true));
        assert_eq!(other.map(&info), None, "it is not the program's first mapping after the question");
    }
}
