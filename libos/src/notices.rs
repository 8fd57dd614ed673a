//! Notices to the tender ([`husk::abi::call::notice`]), most of them once for each program.

use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use husk::abi::call::Number;
pub use husk::abi::call::notice;

/// Notices that the tender has got, a bit for each.
static GIVEN: AtomicU64 = AtomicU64::new(0);

/// Gives a notice.
pub fn give(notice: u64, value: u64) {
    // A lost notice does no harm.
    let _ = husk::gate::call(Number::Notice, notice, value, 0, 0);
}

/// Gives a notice the first time; `notice` is below 64.
#[cold]
pub fn give_once(notice: u64, value: u64) {
    let bit = 1 << (notice & 63);
    if GIVEN.fetch_or(bit, Relaxed) & bit == 0 {
        give(notice, value);
    }
}
