//! Waiting for several sources at once: devices, input, a time.
//!
//! A wait polls before it exits to the tender (halt polling): if another processor of the host serves the devices, its answer
//! is there sooner than an exit and a sleep take. The polling time depends on the cost of an exit on this host and on how often
//! polling has paid lately ([`husk_abi::poll`]).
//!
//! Where an exit costs next to nothing ([`Flags::NEAR`]), waits do not poll: the tender serves the devices within the call, on
//! this processor, where the requests have just been written.

use crate::{boot, clock, device, gate};
use core::sync::atomic::Ordering::{Acquire, Relaxed};
use core::sync::atomic::{AtomicBool, AtomicU32};
use husk_abi::boot::Flags;
use husk_abi::call::{News, Number, Waited};
use husk_abi::poll::{Cost, Poll};

/// Cost of an exit and a return.
static LEAVING: Cost = Cost::unknown();
/// State of polling for the tender's work on another processor.
static POLL: Poll = Poll::new(SKIPS);
/// State of polling on, for a request that the tender is carrying out.
static POLL_ON: Poll = Poll::new(SKIPS);
/// The beat of the sources at the last wait.
static BEAT: AtomicU32 = AtomicU32::new(0);
/// True if the sources have been polled for in vain just before the next wait.
static POLLED: AtomicBool = AtomicBool::new(false);
/// Most waits without polling between two trials.
const SKIPS: u32 = 512;
/// Factor of the polling time in a trial, because the thread that serves devices has to wake up first.
const TRIAL: u64 = 4;
/// Longest time to poll on, in exits. The tender answers such a request no sooner if the guest leaves, and the exit takes this processor
/// too: polling on takes twice the processor time, at most, by which the wait ends sooner.
const POLL_ON_EXITS: u64 = 2;

/// An event source that can be waited for.
pub trait Source {
    /// Publishes pending requests to the tender. Returns true if the tender must be woken for them.
    fn show(&mut self) -> bool {
        false
    }

    /// Returns true if the source has work for the guest.
    fn ready(&mut self) -> bool;

    /// Adds the words that change when the tender has worked for the source.
    fn watch(&self, _: &mut Watches) {}

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
    is_beside() && LEAVING.ns() > 0
}

/// Returns true if the tender may run beside the guest, on another processor, and an exit has a cost.
fn is_beside() -> bool {
    !has(Flags::NEAR | Flags::ALONE)
}

/// Returns true if one of these switches is on.
fn has(flags: Flags) -> bool {
    boot::info().flags & flags.bits() != 0
}

/// Blocks until one of `sources` has work, there are `news` of another kind, or the monotonic clock reaches `deadline_ns`;
/// `u64::MAX` for no deadline. Spurious returns are possible. Returns the news.
pub fn any(sources: &mut [&mut dyn Source], news: News, deadline_ns: u64) -> News {
    let mut wait = Wait::new(news, deadline_ns);
    wait.start(sources);
    loop {
        if let Some(news) = wait.news() {
            return news;
        }
        wait.block();
        wait.arm(sources);
    }
}

/// Makes the tender serve the devices, where an exit costs next to nothing, without waiting. Returns true if it has, which counts as
/// a doorbell.
pub fn serve_near() -> bool {
    let is_near = has(Flags::NEAR);
    if is_near {
        // The sources show what has been served.
        let _ = gate::call(Number::Wait, 0, News::DEVICES.bits(), 0, 0);
    }
    is_near
}

/// Polls for a source that waits for the tender, as the next wait would, which then does not poll again. Returns true if the source
/// has work.
pub fn poll_for(source: &mut dyn Source) -> bool {
    if !is_served() || is_trial() {
        return false;
    }
    let mut wait = Wait::new(News::empty(), u64::MAX);
    wait.start(&mut [source]);
    if let Stage::Poll { .. } = wait.stage {
        wait.block();
        POLLED.store(wait.is_unarmed(), Relaxed);
    } else if wait.owed {
        // Published, so that the next wait does not ring for it.
        device::ring_doorbell();
    }
    wait.news().is_some()
}

/// Words in shared memory that show without a source whether the tender has worked for it.
#[derive(Debug, Default)]
pub struct Watches {
    /// The index of a ring's producer, and its value when it was last read.
    indices: [Option<(&'static AtomicU32, u32)>; WATCHED],
    /// Words that change while the tender runs ([`husk_abi::ring::BEAT`]).
    beats: [Option<&'static AtomicU32>; WATCHED],
}

/// Most words of a kind that a wait polls; other queues only wake the guest.
const WATCHED: usize = 8;

impl Watches {
    /// Adds the index of a ring's producer, and the value that the guest has seen.
    pub fn index(&mut self, index: &'static AtomicU32, seen: u32) {
        if let Some(free) = self.indices.iter_mut().find(|index| index.is_none()) {
            *free = Some((index, seen));
        }
    }

    /// Adds a beat.
    pub fn beat(&mut self, beat: &'static AtomicU32) {
        if let Some(free) = self.beats.iter_mut().find(|beat| beat.is_none()) {
            *free = Some(beat);
        }
    }

    /// Returns true if a queue has a completion that the guest has not seen.
    fn moved(&self) -> bool {
        self.indices.iter().flatten().any(|(index, seen)| index.load(Acquire) != *seen)
    }

    /// The sum of all beats; 0 if the tender does not keep them.
    fn beats(&self) -> u32 {
        self.beats.iter().flatten().fold(0, |beat, word| beat.wrapping_add(word.load(Relaxed)))
    }

    /// Returns true if the tender carries out a request at the moment.
    fn at_work(&self) -> bool {
        let is_even = |beat: u32| beat != 0 && beat.is_multiple_of(2);
        self.beats.iter().flatten().any(|word| is_even(word.load(Relaxed)))
    }

    /// Polls from `begun_ns` on for `poll_ns`, but not beyond `deadline_ns`. Returns how long that took, as an error if there is no
    /// completion.
    fn poll(&self, begun_ns: u64, poll_ns: u64, deadline_ns: u64) -> Result<u64, u64> {
        let until_ns = begun_ns.saturating_add(poll_ns).min(deadline_ns);
        loop {
            let now_ns = clock::monotonic_ns();
            let took_ns = now_ns.saturating_sub(begun_ns);
            if self.moved() {
                return Ok(took_ns);
            }
            if now_ns >= until_ns {
                return Err(took_ns);
            }
            core::hint::spin_loop();
        }
    }

    /// Polls on for a request that the tender carries out, if that may pay. Returns true if there is a completion.
    fn poll_on(&self, deadline_ns: u64) -> bool {
        let worth_ns = LEAVING.ns() * POLL_ON_EXITS;
        let poll_ns = POLL_ON.begin(worth_ns);
        if poll_ns == 0 {
            return false;
        }
        match self.poll(clock::monotonic_ns(), poll_ns, deadline_ns) {
            Ok(took_ns) => POLL_ON.hit(took_ns, worth_ns),
            Err(took_ns) => {
                POLL_ON.miss(took_ns, worth_ns);
                return false;
            }
        }
        true
    }
}

/// A wait in steps. [`Wait::start`] and [`Wait::arm`] need the sources, [`Wait::block`] does not: a caller that shares the sources
/// with other processors holds them only for the former.
#[derive(Debug)]
pub struct Wait {
    stage: Stage,
    wanted: News,
    deadline_ns: u64,
    /// Words to poll, if that is possible.
    watches: Option<Watches>,
    /// True if the tender must be woken for published requests.
    owed: bool,
}

/// Stage of a wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    /// To poll for that long; as a trial or not.
    Poll { poll_ns: u64, is_trial: bool },
    /// To request wake-ups from the tender.
    Arm,
    /// To leave the guest.
    Leave,
    /// Over, with these news.
    Over(News),
}

impl Wait {
    /// A wait for these news alone, or the deadline. Devices join it with [`Wait::start`].
    // `start` is apart so that the wait is built where the caller keeps it: as a result, its words would be copied there.
    #[inline]
    pub fn new(wanted: News, deadline_ns: u64) -> Self {
        Self { stage: Stage::Leave, wanted, deadline_ns, watches: None, owed: false }
    }

    /// Starts to wait for these devices too, as [`any`] does: publishes their requests.
    pub fn start(&mut self, sources: &mut [&mut dyn Source]) {
        self.wanted |= News::DEVICES;
        if sources.iter_mut().any(|source| source.ready()) {
            self.stage = Stage::Over(News::DEVICES);
            return;
        }
        self.deadline_ns =
            sources.iter_mut().fold(self.deadline_ns, |earliest, source| earliest.min(source.deadline_ns()));
        self.owed = sources.iter_mut().fold(false, |owed, source| source.show() | owed);
        self.stage = if is_beside() { self.plan(sources) } else { Stage::Arm };
        self.arm(sources);
    }

    /// Returns the news, if the wait is over.
    pub fn news(&self) -> Option<News> {
        match self.stage {
            Stage::Over(news) => Some(news),
            _ => None,
        }
    }

    /// Returns true if the wait has come to request wake-ups, by [`Wait::arm`].
    pub fn is_unarmed(&self) -> bool {
        self.stage == Stage::Arm
    }

    /// Requests wake-ups, if the wait has come to that.
    pub fn arm(&mut self, sources: &mut [&mut dyn Source]) {
        if !self.is_unarmed() {
            return;
        }
        if sources.iter_mut().all(|source| source.sleep()) {
            self.stage = Stage::Leave;
            return;
        }
        if core::mem::take(&mut self.owed) {
            device::ring_doorbell();
        }
        self.stage = Stage::Over(News::DEVICES);
    }

    /// Polls, or leaves the guest until there are news.
    pub fn block(&mut self) {
        match self.stage {
            Stage::Poll { poll_ns, is_trial } => {
                let hit = self.poll(poll_ns, is_trial);
                self.stage = if hit { Stage::Over(News::DEVICES) } else { Stage::Arm };
            }
            Stage::Leave => {
                self.stage = Stage::Over(leave(self.deadline_ns, self.wanted));
                // An answer within the call does not prove that the tender runs beside the guest.
                if let Some(watches) = &self.watches {
                    BEAT.store(watches.beats(), Relaxed);
                }
            }
            Stage::Arm | Stage::Over(_) => {}
        }
    }

    /// Gathers the words to poll. Returns the first stage: polling, if that may pay.
    fn plan(&mut self, sources: &[&mut dyn Source]) -> Stage {
        let watches = self.watches.insert(Watches::default());
        sources.iter().for_each(|source| source.watch(watches));
        if !can_poll() || POLLED.swap(false, Relaxed) {
            return Stage::Arm;
        }
        let before = watches.beats();
        let moved = before != BEAT.swap(before, Relaxed);
        if moved {
            POLL.present();
        } else if before != 0 && !self.owed && POLL.is_on() {
            // The tender has not run since the last wait, and the doorbell will not be rung.
            POLL.absent();
        }
        let is_trial = POLL.is_trial();
        match POLL.begin(LEAVING.ns()) {
            0 => Stage::Arm,
            poll_ns if is_trial => Stage::Poll { poll_ns: poll_ns * TRIAL, is_trial },
            poll_ns => Stage::Poll { poll_ns, is_trial },
        }
    }

    /// Polls for that long; rings the doorbell first, if that is owed. Returns true if the tender has worked.
    fn poll(&mut self, poll_ns: u64, is_trial: bool) -> bool {
        // A wait that polls has words to poll.
        let Some(watches) = &self.watches else { return false };
        let (cost_ns, before) = (LEAVING.ns(), watches.beats());
        if core::mem::take(&mut self.owed) {
            device::ring_doorbell();
        }
        let begun_ns = clock::monotonic_ns();
        let took_ns = match watches.poll(begun_ns, poll_ns, self.deadline_ns) {
            Ok(took_ns) => {
                // A trial waits for the wake-up, which later polls do not need.
                POLL.hit(if is_trial { 0 } else { took_ns }, cost_ns);
                return true;
            }
            Err(took_ns) => took_ns,
        };
        if watches.at_work() {
            return watches.poll_on(self.deadline_ns);
        }
        match before != 0 && watches.beats() == before {
            true => POLL.absent(),
            false => POLL.miss(took_ns, cost_ns),
        }
        false
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
