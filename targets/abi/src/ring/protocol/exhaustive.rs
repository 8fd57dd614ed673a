//! Every state of small rings: both sides against arithmetic on numbers that do not wrap, for any claim of the other side, and
//! all orders of steps of two sides that follow the protocol.
//!
//! Numbers of entries here count from the start of a ring and are 64 bits wide; the sides hold them plus `base`, so that each
//! state also occurs where their 32 bits wrap.

extern crate std;

use super::*;
use core::cell::Cell;
use std::collections::{HashSet, VecDeque};
use std::vec::Vec;

/// Lengths of rings.
const LENGTHS: [u32; 4] = [1, 2, 4, 8];

impl Word for &Cell<u32> {
    fn load(&self) -> u32 {
        self.get()
    }

    fn store(&self, value: u32) {
        self.set(value);
    }

    fn fence() {}
}

/// The three words of a ring, which one thread uses.
#[derive(Debug, Default)]
struct Memory {
    producer: Cell<u32>,
    consumer: Cell<u32>,
    wake_at: Cell<u32>,
}

impl Memory {
    fn words(&self) -> Words<&Cell<u32>> {
        Words { producer: &self.producer, consumer: &self.consumer, wake_at: &self.wake_at }
    }

    /// Returns a producer that holds these numbers.
    fn producer(&self, entries: u32, consumed: u32, published: u32, written: u32) -> Producer<&Cell<u32>> {
        Producer { words: self.words(), entries, written, published, consumed }
    }
}

/// Bases at which the numbers of a ring of this length lie before, on and behind a point where 32 bits wrap or change sign.
fn bases(length: u32) -> impl Iterator<Item = u32> {
    let around = move |point: u32| (0..=2 * length + 2).map(move |by| point.wrapping_sub(by));
    [0, 1 << 31].into_iter().flat_map(around).chain([length])
}

/// Claims that a hostile side can make: all near `number`, and some far away.
fn claims(length: u32, number: u32) -> impl Iterator<Item = u32> {
    let near = (0..=4 * length + 4).map(move |by| number.wrapping_sub(2 * length + 2).wrapping_add(by));
    near.chain([1 << 31, (1 << 31) - 1, u32::MAX].map(|far| number.wrapping_add(far)))
}

#[test]
fn a_consumer_believes_exactly_what_can_be() {
    let mut checked = 0u32;
    for length in LENGTHS {
        for base in bases(length) {
            for (ahead, claim) in (0..=length).flat_map(|ahead| claims(length, base).map(move |claim| (ahead, claim))) {
                let memory = Memory::default();
                memory.producer.set(claim);
                let seen = base.wrapping_add(ahead);
                let mut consumer = Consumer { words: memory.words(), entries: length, read: base, seen };
                // Entries that the consumer has seen stay; otherwise the claim counts, if a ring of this length can hold that
                // many.
                let claimed = claim.wrapping_sub(base);
                let expected = match ahead {
                    0 if claimed > length => Err(OutOfStep(claimed - length)),
                    0 => Ok(claimed),
                    _ => Ok(ahead),
                };
                assert_eq!(consumer.available(), expected, "length {length}, base {base:#x}, seen {ahead}, {claim:#x}");
                for entry in 0..expected.unwrap_or(0) {
                    let position = base.wrapping_add(entry) % length;
                    assert_eq!(consumer.read(), position, "length {length}, base {base:#x}");
                }
                consumer.release();
                assert_eq!(memory.consumer.get(), base.wrapping_add(expected.unwrap_or(0)));
                checked += 1;
            }
        }
    }
    assert!(checked > 10_000, "{checked}");
}

/// Every `(consumed, published, written)` that a producer can hold, `consumed` being `base`, as distances from it.
fn producers(length: u32) -> impl Iterator<Item = (u32, u32)> {
    (0..=length).flat_map(|written| (0..=written).map(move |published| (published, written)))
}

#[test]
fn a_producer_believes_exactly_what_can_be() {
    for length in LENGTHS {
        for base in bases(length) {
            for (published, written) in producers(length) {
                for (claim, wanted) in
                    claims(length, base).flat_map(|claim| (0..=length + 1).map(move |it| (claim, it)))
                {
                    let memory = Memory::default();
                    memory.consumer.set(claim);
                    let at = |distance: u32| base.wrapping_add(distance);
                    let mut producer = memory.producer(length, base, at(published), at(written));
                    let consumed = claim.wrapping_sub(base);
                    let expected = match (length - written >= wanted, consumed > published) {
                        (true, _) => Ok(true),
                        (false, true) => Err(OutOfStep(consumed - published)),
                        (false, false) => Ok(length - (written - consumed) >= wanted),
                    };
                    let context = (length, base, published, written, claim, wanted);
                    assert_eq!(producer.has_room(wanted), expected, "{context:?}");
                    if expected == Ok(true) {
                        for entry in 0..wanted {
                            assert_eq!(producer.write(), at(written + entry) % length, "{context:?}");
                        }
                    }
                }
            }
        }
    }
}

#[test]
fn a_producer_wakes_exactly_for_an_entry_that_it_shows() {
    for length in LENGTHS {
        for base in bases(length) {
            for (published, written) in producers(length) {
                for wish in claims(length, base) {
                    let memory = Memory::default();
                    memory.wake_at.set(wish);
                    let at = |distance: u32| base.wrapping_add(distance);
                    let mut producer = memory.producer(length, base, at(published), at(written));
                    let shown: Vec<u32> = (published..written).map(at).collect();
                    assert_eq!(producer.publish(), shown.contains(&wish), "{length} {base:#x} {published} {written}");
                    assert_eq!(memory.producer.get(), if shown.is_empty() { 0 } else { at(written) });
                }
            }
        }
    }
}

#[test]
fn a_side_continues_at_a_cursor_exactly_where_the_other_side_can_be() {
    for length in LENGTHS {
        for base in bases(length) {
            for claim in claims(length, base) {
                let memory = Memory::default();
                memory.producer.set(claim);
                memory.consumer.set(claim);
                let context = (length, base, claim);
                let (ahead, behind) = (claim.wrapping_sub(base), base.wrapping_sub(claim));
                let consumer = Consumer::at(memory.words(), length, Cursor(base)).map(|mut consumer| {
                    assert_eq!(consumer.cursor(), Cursor(base), "{context:?}");
                    consumer.available().expect("this was checked")
                });
                let expected = if ahead > length { Err(OutOfStep(ahead - length)) } else { Ok(ahead) };
                assert_eq!(consumer, expected, "{context:?}");
                let producer = Producer::at(memory.words(), length, Cursor(base)).map(|mut producer| {
                    assert_eq!(producer.cursor(), Cursor(base), "{context:?}");
                    (0..=length + 1).rev().find(|room| producer.has_room(*room) == Ok(true))
                });
                let expected = if behind > length { Err(OutOfStep(ahead)) } else { Ok(Some(length - behind)) };
                assert_eq!(producer, expected, "{context:?}");
            }
        }
    }
}

/// Complete state of two sides and their ring. Entries are their own numbers.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct State {
    /// `written`, `published` and `consumed` of the producer, `read` and `seen` of the consumer.
    sides: [u32; 5],
    /// The three words.
    words: [u32; 3],
    entries: Vec<u32>,
    /// True if the consumer is asleep, and takes no step before it is woken.
    asleep: bool,
}

/// A step of one of the two sides.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Step {
    Write,
    Publish,
    Read,
    Release,
    Sleep,
    /// The producer is made again from its cursor.
    ProducerAgain,
    /// The consumer is made again from its cursor, awake or asleep.
    ConsumerAgain,
}

impl State {
    fn new(length: u32, base: u32) -> Self {
        let nothing = base.wrapping_sub(1);
        Self { sides: [base; 5], words: [base; 3], entries: std::vec![nothing; length as usize], asleep: false }
    }

    /// Returns the state after a step, by the code of both sides; `None` if the protocol does not allow the step.
    fn after(&self, step: Step) -> Option<Self> {
        let mut next = self.clone();
        let [written, published, consumed, read, seen] = self.sides;
        let memory = Memory::default();
        let [producer_word, consumer_word, wake_at] = self.words;
        memory.producer.set(producer_word);
        memory.consumer.set(consumer_word);
        memory.wake_at.set(wake_at);
        let entries = self.entries.len() as u32;
        let mut producer = memory.producer(entries, consumed, published, written);
        let mut consumer = Consumer { words: memory.words(), entries, read, seen };
        match step {
            Step::Write => {
                if producer.has_room(1) != Ok(true) {
                    return None;
                }
                let position = producer.write() as usize;
                let old = self.entries[position];
                // The consumer must not be able to read the entry any more: the one at this position has been released.
                let is_released = written.wrapping_sub(consumer_word) < entries;
                assert!(is_released, "{self:?}: {old:#x} is overwritten");
                next.entries[position] = written;
            }
            Step::Publish => {
                let wakes = producer.publish();
                let has_shown = written != published;
                assert!(!(self.asleep && has_shown) || wakes, "{self:?}: the consumer sleeps for ever");
                next.asleep &= !wakes;
            }
            Step::Read | Step::Release | Step::Sleep if self.asleep => return None,
            Step::Read => {
                let available = consumer.available().expect("the producer keeps to the protocol");
                assert!(available <= published.wrapping_sub(read), "{self:?}: {available} available");
                if available == 0 {
                    return None;
                }
                let position = consumer.read() as usize;
                assert_eq!(self.entries[position], read, "{self:?}: entries arrive in order");
            }
            Step::Release => consumer.release(),
            Step::Sleep => {
                let may_sleep = consumer.sleep().expect("the producer keeps to the protocol");
                assert_eq!(may_sleep, published == read, "{self:?}");
                next.asleep = may_sleep;
            }
            Step::ProducerAgain => {
                if written != published {
                    return None;
                }
                producer = Producer::at(memory.words(), entries, producer.cursor()).expect("it is of this ring");
            }
            Step::ConsumerAgain => {
                consumer = Consumer::at(memory.words(), entries, consumer.cursor()).expect("it is of this ring");
            }
        }
        next.sides = [producer.written, producer.published, producer.consumed, consumer.read, consumer.seen];
        next.words = [memory.producer.get(), memory.consumer.get(), memory.wake_at.get()];
        Some(next)
    }
}

/// Explores all orders of steps from a fresh ring until three rounds are written; returns the number of states.
fn explore(length: u32, base: u32) -> usize {
    const STEPS: [Step; 7] =
        [Step::Write, Step::Publish, Step::Read, Step::Release, Step::Sleep, Step::ProducerAgain, Step::ConsumerAgain];
    let first = State::new(length, base);
    let (mut known, mut open) = (HashSet::from([first.clone()]), VecDeque::from([first]));
    let mut last = 0;
    while let Some(state) = open.pop_front() {
        for step in STEPS {
            if step == Step::Write && state.sides[0].wrapping_sub(base) == 3 * length {
                continue;
            }
            if let Some(next) = state.after(step)
                && known.insert(next.clone())
            {
                last = last.max(next.sides[3].wrapping_sub(base));
                open.push_back(next);
            }
        }
    }
    assert_eq!(last, 3 * length, "everything that is written is read in some order");
    known.len()
}

#[test]
fn two_sides_lose_nothing_and_sleep_no_longer_than_they_must_in_any_order_of_steps() {
    for length in [1, 2, 4] {
        for base in [0, 0u32.wrapping_sub(length), 1u32.wrapping_sub(2 * length), (1 << 31) - length] {
            let states = explore(length, base);
            assert!(states > 20 * length as usize, "{length}: {states}");
        }
    }
}
