//! Descriptors of a sequence.

use crate::calls::{call, shown};
use crate::random::Random;

/// Descriptors from the first free one on, so that numbers are the same whatever the program has inherited.
pub struct Descriptors {
    base: i64,
}

/// Descriptors that calls draw from.
const MOST: usize = 10;

impl Descriptors {
    /// Closes all but the standard streams, as a program may have inherited others.
    pub fn new() -> Self {
        call(libc::SYS_close_range, &[3, u32::MAX as usize, 0]);
        let base = call(libc::SYS_dup, &[0]);
        assert!(base >= 0, "standard input is open");
        call(libc::SYS_close, &[base as usize]);
        Self { base }
    }

    /// Draws a descriptor, which is open or not.
    pub fn any(&self, random: &mut Random) -> usize {
        self.base as usize + random.below(MOST)
    }

    /// Returns a result that is a descriptor as text.
    pub fn shown(&self, result: i64) -> String {
        if result < 0 { shown(result) } else { format!("fd{}", result - self.base) }
    }

    /// Returns a descriptor that was drawn as text.
    pub fn name(&self, descriptor: usize) -> String {
        format!("fd{}", descriptor as i64 - self.base)
    }
}

/// Returns the kind of the file behind a descriptor (`S_IFMT`); 0 also if there is none.
pub fn kind(descriptor: usize) -> u32 {
    let mut status = [0u64; 32];
    call(libc::SYS_fstat, &[descriptor, status.as_mut_ptr() as usize]);
    status[3] as u32 & libc::S_IFMT
}

impl Drop for Descriptors {
    fn drop(&mut self) {
        call(libc::SYS_close_range, &[self.base as usize, u32::MAX as usize, 0]);
    }
}
