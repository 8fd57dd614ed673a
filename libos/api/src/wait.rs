//! Waiting for anything: devices, input, a time.
//!
//! What follows at once is looked for before the guest is left: if another processor of the host serves the devices, that
//! is faster than to sleep and be woken. If none does, it is time lost, so how long to look is learned from what has come
//! of it.
//!
//! Where leaving costs next to nothing, there is nothing to be looked for: the tender serves the devices then, on this
//! processor, where the requests have just been written.

use crate::{boot, clock, device, gate};
use core::sync::atomic::AtomicU64;
use core::sync::atomic::Ordering::Relaxed;
use husk_abi::boot::Flags;
use husk_abi::call::{News, Number};

/// How long to look at most, in nanoseconds: about what leaving the guest costs.
const SPIN_NS: u64 = 20_000;
/// The same for the first look after many waits without one: the other processor may have to be woken.
const TRIAL_NS: u64 = 100_000;
/// How long is too short to be worth it, in nanoseconds.
const SPIN_MINIMUM_NS: u64 = 1_000;
/// So many waits without a look are followed by one with it: at first, and after many that have found nothing.
const WAITS: (u64, u64) = (64, 512);

/// How long the next wait looks, in nanoseconds; or, below the least that is worth it, how many waits have not looked.
static PATIENCE: AtomicU64 = AtomicU64::new(SPIN_NS);
/// How many waits without a look are followed by one with it.
static BETWEEN: AtomicU64 = AtomicU64::new(WAITS.0);

/// Something that can be waited for.
pub trait Source {
    /// Shows the tender what there is to be done. Whether it must be woken for that.
    fn show(&mut self) -> bool {
        false
    }

    /// Whether it has something to be done.
    fn ready(&mut self) -> bool;

    /// Asks to be woken when it has. Whether it has nothing yet.
    fn sleep(&mut self) -> bool;

    /// When it has something to be done in any case, as a monotonic time in nanoseconds.
    fn deadline_ns(&mut self) -> u64 {
        u64::MAX
    }
}

/// Whether somebody seems to serve the devices while the guest runs. If not, they are served when it waits.
pub fn is_served() -> bool {
    !is_near() && PATIENCE.load(Relaxed) >= SPIN_MINIMUM_NS
}

/// Whether the next wait tries if somebody serves the devices while the guest runs, as nobody has for many waits: who has
/// something that is soon done wakes the tender for that.
pub fn is_trial() -> bool {
    PATIENCE.load(Relaxed) == TRIAL_NS
}

/// Whether it takes next to nothing to leave.
fn is_near() -> bool {
    boot::info().flags & Flags::NEAR.bits() != 0
}

/// Waits until one of `sources` has something to be done, there are `news` of another kind, or the monotonic clock
/// reaches `deadline_ns`; `u64::MAX` for no deadline. It may also come back for nothing. Tells the news.
pub fn any(sources: &mut [&mut dyn Source], news: News, deadline_ns: u64) -> News {
    if sources.iter_mut().any(|source| source.ready()) {
        return News::DEVICES;
    }
    let deadline_ns = sources.iter_mut().fold(deadline_ns, |earliest, source| earliest.min(source.deadline_ns()));
    let mut owed = sources.iter_mut().fold(false, |owed, source| source.show() | owed);
    if is_served() {
        if core::mem::take(&mut owed) {
            device::ring_doorbell();
        }
        if look(sources, deadline_ns) {
            return News::DEVICES;
        }
    } else if !is_near() && PATIENCE.fetch_add(1, Relaxed) >= BETWEEN.load(Relaxed) {
        PATIENCE.store(TRIAL_NS, Relaxed);
    }
    if !sources.iter_mut().all(|source| source.sleep()) {
        if owed {
            device::ring_doorbell();
        }
        return News::DEVICES;
    }
    // This counts as a ring.
    let told = gate::call(Number::Wait, deadline_ns, (news | News::DEVICES).bits(), 0, 0);
    News::from_bits_truncate(told.unwrap_or(0))
}

/// Looks for a while, and learns for how long the next time. Whether something was found.
fn look(sources: &mut [&mut dyn Source], deadline_ns: u64) -> bool {
    let patience_ns = PATIENCE.load(Relaxed);
    let until = clock::monotonic_ns().saturating_add(patience_ns).min(deadline_ns);
    while clock::monotonic_ns() < until {
        if sources.iter_mut().any(|source| source.ready()) {
            PATIENCE.store((patience_ns * 2).min(SPIN_NS), Relaxed);
            BETWEEN.store(WAITS.0, Relaxed);
            return true;
        }
        core::hint::spin_loop();
    }
    let was_trial = patience_ns == TRIAL_NS;
    if was_trial {
        BETWEEN.store((BETWEEN.load(Relaxed) * 2).min(WAITS.1), Relaxed);
    }
    let less = patience_ns * 3 / 4;
    PATIENCE.store(if less >= SPIN_MINIMUM_NS && !was_trial { less } else { 0 }, Relaxed);
    false
}
