//! Waiting for anything: devices, input, a time.

use crate::{clock, gate};
use husk_abi::call::{News, Number};

/// How long to look for what follows at once before the guest is left, in nanoseconds: about what leaving it costs.
const SPIN_NS: u64 = 20_000;

/// Something that can be waited for.
pub trait Source {
    /// Whether it has something to be done.
    fn ready(&mut self) -> bool;

    /// Asks to be woken when it has. Whether it has nothing yet.
    fn sleep(&mut self) -> bool;
}

/// Waits until one of `sources` has something to be done, there are `news` of another kind, or the monotonic clock
/// reaches `deadline_ns`; `u64::MAX` for no deadline. It may also come back for nothing. Tells the news.
pub fn any(sources: &mut [&mut dyn Source], news: News, deadline_ns: u64) -> News {
    let until = clock::monotonic_ns().saturating_add(SPIN_NS).min(deadline_ns);
    loop {
        if sources.iter_mut().any(|source| source.ready()) {
            return News::DEVICES;
        }
        if clock::monotonic_ns() >= until {
            break;
        }
        core::hint::spin_loop();
    }
    if !sources.iter_mut().all(|source| source.sleep()) {
        return News::DEVICES;
    }
    let told = gate::call(Number::Wait, deadline_ns, (news | News::DEVICES).bits(), 0, 0);
    News::from_bits_truncate(told.unwrap_or(0))
}
