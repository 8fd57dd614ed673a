//! Stacks of the libos beside the one that it starts with.

use super::host::Host;
use super::{Memory, Region, Rights};
use husk::abi::memory::PAGE;

impl<H: Host> Memory<H> {
    /// Allocates a stack of `count` pages above a page without rights, which an overflow runs into.
    pub fn take_stack(&mut self, count: usize) -> Option<Region> {
        let guard = self.take(count + 1)?;
        let span = self.span(guard, PAGE).ok()?;
        if self.set_rights(span, Rights::empty()).is_err() {
            self.give_back(guard, count + 1);
            return None;
        }
        Some(Region { start: guard + PAGE, length: count as u64 * PAGE })
    }
}
