//! Guards that are there already: every std program makes two small mappings with a guard page at its start, and each
//! guard would cost a call to the tender and the page faults that follow it, a twentieth of the whole start.
//!
//! So the first mapping of each sort is placed against pages that the tender never mapped: musl's reservation for its
//! allocator, two pages of which the first stays closed, ends with the heap's first page; std's signal stack, three
//! pages of which the first is closed, with the lowest two pages of the main stack, a stack on which the program runs
//! out of space a little earlier.
//! Only what looks exactly like these two is served, and each once, before anybody else can ask.

use crate::errno::Errno;
use husk::abi::boot::Info;
use husk::abi::memory::{PAGE, Rights};

/// Which of the two mappings have been made.
#[derive(Debug, Default)]
pub struct Lent {
    reserved: bool,
    signal_stack: SignalStack,
}

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
        if self.signal_stack == SignalStack::Unknown {
            self.signal_stack = SignalStack::Expected;
        }
    }

    /// Where a mapping goes, if it is one of the two; `is_stack` if it was called one.
    pub fn map(&mut self, info: &Info, length: u64, rights: Rights, is_stack: bool) -> Option<u64> {
        if length == 2 * PAGE && rights.is_empty() && !self.reserved {
            self.reserved = true;
            return Some(info.heap.start - PAGE);
        }
        if self.signal_stack != SignalStack::Expected {
            return None;
        }
        self.signal_stack = SignalStack::Settled;
        let fits = is_stack && length == 3 * PAGE && rights.contains(Rights::WRITE);
        fits.then_some(info.main_stack.start - PAGE)
    }

    /// What to answer if the rights of these pages are changed; nothing if they are not of these mappings.
    pub fn protect(&self, info: &Info, address: u64, length: u64, rights: Rights) -> Option<Result<(), Errno>> {
        let is_guard = (self.reserved && address == info.heap.start - PAGE)
            || (self.signal_stack == SignalStack::Settled && address == info.main_stack.start - PAGE);
        match () {
            () if is_guard && length == PAGE && rights.is_empty() => Some(Ok(())),
            () if is_guard => Some(Err(Errno::ENOMEM)),
            () if self.reserved && address == info.heap.start && length == PAGE && rights.contains(Rights::WRITE) => {
                Some(Ok(()))
            }
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
        let heap = Region { start: 0x10_0000, length: 64 * PAGE };
        let main_stack = Region { start: 0x8_0000, length: 16 * PAGE };
        Info { heap, main_stack, ..Info::new_zeroed() }
    }

    #[test]
    fn the_first_reservation_ends_with_the_heaps_first_page() {
        let (info, mut lent) = (info(), Lent::default());
        assert_eq!(lent.map(&info, 2 * PAGE, Rights::empty(), false), Some(0xf_f000));
        assert_eq!(lent.protect(&info, 0x10_0000, PAGE, READ_WRITE), Some(Ok(())));
        assert_eq!(lent.protect(&info, 0xf_f000, PAGE, READ_WRITE), Some(Err(Errno::ENOMEM)), "the guard stays");
        assert_eq!(lent.map(&info, 2 * PAGE, Rights::empty(), false), None, "once");
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
