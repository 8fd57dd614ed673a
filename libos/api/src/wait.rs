//! Waiting for several sources at once: devices, input, a time.
//!
//! A wait polls before it exits to the tender (halt polling): if another processor of the host serves the devices, its answer
//! is there sooner than an exit and a sleep take. The polling time depends on the cost of an exit on this host and on how often
//! polling has paid lately ([`husk_abi::poll`]).
//!
//! Where an exit costs next to nothing ([`Flags::NEAR`]), waits do not poll: the tender serves the devices within the call, on
//! this processor, where the requests have just been written.

use crate::{boot, clock, device, gate};
use core::sync::atomic::AtomicU32;
use core::sync::atomic::Ordering::Relaxed;
use husk_abi::boot::Flags;
use husk_abi::call::{News, Number, Waited};
use husk_abi::poll::{Cost, Poll};

/// Cost of an exit and a return.
static LEAVING: Cost = Cost::unknown();
/// State of polling for the tender's work on another processor.
static POLL: Poll = Poll::new(SKIPS);
/// The beat of the sources at the last wait.
static BEAT: AtomicU32 = AtomicU32::new(0);
/// Most waits without polling between two trials.
const SKIPS: u32 = 512;
/// Factor of the polling time in a trial, because the thread that serves devices has to wake up first.
const TRIAL: u64 = 4;

/// An event source that can be waited for.
pub trait Source {
    /// Publishes pending requests to the tender. Returns true if the tender must be woken for them.
    fn show(&mut self) -> bool {
        false
    }

    /// Returns true if the source has work for the guest.
    fn ready(&mut self) -> bool;

    /// A word that changes while the tender runs ([`husk_abi::ring::BEAT`]); 0 if the tender does not keep it.
    fn beat(&mut self) -> u32 {
        0
    }

    /// Requests a wake-up for the next work. Returns true if there is none yet.
    fn sleep(&mut self) -> bool;

    /// Time at which the source has work in any case, as a monotonic time in nanoseconds.
    fn deadline_ns(&mut self) -> u64 {
        u64::MAX
    }
}

/// Returns true if another processor seems to serve the devices while the guest runs. If not, they are served when the guest
/// waits.
pub fn is_served() -> bool {
    can_poll() && POLL.is_on()
}

/// Returns true if the next wait polls as a trial, to find out if the devices are served while the guest runs: even short
/// requests wake the tender for it.
pub fn is_trial() -> bool {
    can_poll() && POLL.is_trial()
}

/// Returns true if the tender may run while the guest polls, and an exit costs more than that. The first wait measures the
/// cost.
fn can_poll() -> bool {
    !has(Flags::NEAR | Flags::ALONE) && LEAVING.ns() > 0
}

/// Returns true if one of these switches is on.
fn has(flags: Flags) -> bool {
    boot::info().flags & flags.bits() != 0
}

/// Blocks until one of `sources` has work, there are `news` of another kind, or the monotonic clock reaches `deadline_ns`;
/// `u64::MAX` for no deadline. Spurious returns are possible. Returns the news.
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
    // An answer within the call does not prove that the tender runs beside the guest.
    BEAT.store(beat(sources), Relaxed);
    news
}

/// The beat of all sources; 0 if the tender does not keep it.
fn beat(sources: &mut [&mut dyn Source]) -> u32 {
    sources.iter_mut().fold(0, |beat, source| beat.wrapping_add(source.beat()))
}

/// Polls for a while, if that may pay; rings the doorbell first if `owed`. Returns true if one of `sources` has work.
fn poll(sources: &mut [&mut dyn Source], owed: &mut bool, deadline_ns: u64) -> bool {
    let cost_ns = LEAVING.ns();
    let before = beat(sources);
    let moved = before != BEAT.swap(before, Relaxed);
    if moved {
        POLL.present();
    } else if before != 0 && !*owed && POLL.is_on() {
        // The tender has not run since the last wait, and the doorbell will not be rung.
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
            // A trial waits for the wake-up, which later polls do not need.
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

/// Exits to the tender until there are `news` or the deadline is reached, and measures the cost. Counts as a doorbell.
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
