//! Waiting for anything: devices, input, a time.
//!
//! A wait polls before it leaves the guest: if another processor of the host serves the devices, its answer is there sooner than
//! an exit and a sleep take. How long to poll, if at all, follows what leaving costs on this host and how often polling paid
//! lately ([`husk_abi::poll`]).
//!
//! Where leaving costs next to nothing ([`Flags::NEAR`]), nothing is polled: the tender serves the devices within the call, on
//! this processor, where the requests have just been written.

use crate::{boot, clock, device, gate};
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;
use husk_abi::boot::Flags;
use husk_abi::call::{News, Number, Waited};
use husk_abi::poll::{Cost, Poll};

/// Cost of leaving the guest and coming back.
static LEAVING: Cost = Cost::unknown();
/// Polls for what the tender does on another processor.
static POLL: Poll = Poll::new(SKIPS);
/// The beat of the sources at the last wait.
static BEAT: AtomicU32 = AtomicU32::new(0);
/// Most waits without polling between two trials.
const SKIPS: u32 = 512;
/// Polls of a trial are longer by this factor: the thread that serves devices has to wake up first.
const TRIAL: u64 = 4;

/// Something that can be waited for.
pub trait Source {
    /// Shows the tender what there is to be done. Whether it must be woken for that.
    fn show(&mut self) -> bool {
        false
    }

    /// Whether it has something to be done.
    fn ready(&mut self) -> bool;

    /// A word that changes while the tender runs ([`husk_abi::ring::BEAT`]); 0 if the tender does not keep it.
    fn beat(&mut self) -> u32 {
        0
    }

    /// Asks to be woken when it has. Whether it has nothing yet.
    fn sleep(&mut self) -> bool;

    /// When it has something to be done in any case, as a monotonic time in nanoseconds.
    fn deadline_ns(&mut self) -> u64 {
        u64::MAX
    }
}

/// Whether another processor seems to serve the devices while the guest runs. If not, they are served when the guest waits.
pub fn is_served() -> bool {
    can_poll() && POLL.is_on()
}

/// Whether the next wait polls to find out if the devices are served while the guest runs: requests that are soon done wake
/// the tender for that.
pub fn is_trial() -> bool {
    can_poll() && POLL.is_trial()
}

/// Whether the tender may run while the guest polls, and leaving costs more than that. The first wait measures the cost.
fn can_poll() -> bool {
    !has(Flags::NEAR | Flags::ALONE) && LEAVING.ns() > 0
}

/// Whether one of these switches is on.
fn has(flags: Flags) -> bool {
    boot::info().flags & flags.bits() != 0
}

/// Waits until one of `sources` has something to be done, there are `news` of another kind, or the monotonic clock
/// reaches `deadline_ns`; `u64::MAX` for no deadline. It may also come back for nothing. Tells the news.
pub fn any(sources: &mut [&mut dyn Source], news: News, deadline_ns: u64) -> News {
    if sources.iter_mut().any(|source| source.ready()) {
        return News::DEVICES;
    }
    let deadline_ns = sources.iter_mut().fold(deadline_ns, |earliest, source| earliest.min(source.deadline_ns()));
    let mut owed = sources.iter_mut().fold(false, |owed, source| source.show() | owed);
    if can_poll() && poll(sources, &mut owed, deadline_ns) {
        return News::DEVICES;
    }
    if !sources.iter_mut().all(|source| source.sleep()) {
        if owed {
            device::ring_doorbell();
        }
        return News::DEVICES;
    }
    let news = leave(deadline_ns, news | News::DEVICES);
    // What was answered within the call does not show that the tender runs beside the guest.
    BEAT.store(beat(sources), Relaxed);
    news
}

/// The beat of all sources; 0 if the tender does not keep it.
fn beat(sources: &mut [&mut dyn Source]) -> u32 {
    sources.iter_mut().fold(0, |beat, source| beat.wrapping_add(source.beat()))
}

/// Polls for a while, if that may pay; rings the doorbell before if that is `owed`. Whether one of `sources` has something to be
/// done.
fn poll(sources: &mut [&mut dyn Source], owed: &mut bool, deadline_ns: u64) -> bool {
    let cost_ns = LEAVING.ns();
    let before = beat(sources);
    let moved = before != BEAT.swap(before, Relaxed);
    if moved {
        POLL.present();
    } else if before != 0 && !*owed && POLL.is_on() {
        // It has not run since the last wait, nor will the doorbell be rung.
        POLL.absent();
    }
    let is_trial = POLL.is_trial();
    let poll_ns = match POLL.begin(cost_ns) {
        0 => return false,
        poll_ns if is_trial => poll_ns * TRIAL,
        poll_ns => poll_ns,
    };
    if core::mem::take(owed) {
        device::ring_doorbell();
    }
    let begun_ns = clock::monotonic_ns();
    let until_ns = begun_ns.saturating_add(poll_ns).min(deadline_ns);
    loop {
        let now_ns = clock::monotonic_ns();
        let took_ns = now_ns.saturating_sub(begun_ns);
        if sources.iter_mut().any(|source| source.ready()) {
            // What a trial waits for is the wake-up, which those after it are spared.
            POLL.hit(if is_trial { 0 } else { took_ns }, cost_ns);
            return true;
        }
        if now_ns >= until_ns {
            match before != 0 && beat(sources) == before {
                true => POLL.absent(),
                false => POLL.miss(took_ns, cost_ns),
            }
            return false;
        }
        core::hint::spin_loop();
    }
}

/// Leaves the guest until there are `news` or it is time, and measures what leaving costs. Counts as a ring of the doorbell.
fn leave(deadline_ns: u64, news: News) -> News {
    let measures = !has(Flags::NEAR);
    let begun_ns = if measures { clock::monotonic_ns() } else { 0 };
    let value = gate::call(Number::Wait, deadline_ns, news.bits(), u64::from(measures), 0);
    let waited = Waited::decode(value.unwrap_or(0));
    if waited.inside_ns > 0 {
        LEAVING.sample(clock::monotonic_ns().saturating_sub(begun_ns).saturating_sub(waited.inside_ns));
    }
    waited.news
}
