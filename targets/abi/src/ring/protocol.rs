//! The protocol of one ring: a producer and a consumer that share three words, and lose no wake-up.
//!
//! A consumer that finds no entry writes to `wake_at` the number of the entry that it waits for, *then* checks again, and only
//! then sleeps. A producer writes its index, *then* reads `wake_at`, and wakes the other side if that entry is among those it
//! has just published. Between the two steps of each lies a full fence, so at least one of them sees the other's write: the
//! entry, or the wake-up request. A busy consumer leaves its old `wake_at` behind, which no later entry matches, so that it
//! costs no doorbell. (A `wake_at` that is 2^32 entries old may match by chance, and causes a spurious wake-up.)
//!
//! Each side keeps its own index, and checks the other's as a claim: an impossible one is [`OutOfStep`].
//!
//! A side at rest is one number, its [`Cursor`], because all else lies in the ring: it can be made again from that, with the
//! same ring or a copy of it.
//!
//! Generic over the words, so that a model checker can run the same code of both sides (`tests/ring_model.rs`).

use core::sync::atomic::{AtomicU32, Ordering::*, fence};
use zerocopy::{FromBytes, Immutable, IntoBytes, KnownLayout};

/// A word that both sides access.
pub trait Word {
    /// Reads the word, and makes the other side's writes before it visible (acquire).
    fn load(&self) -> u32;
    /// Writes the word, after all earlier writes (release).
    fn store(&self, value: u32);
    /// Orders earlier stores before later loads (full fence).
    fn fence();
}

impl Word for &AtomicU32 {
    #[inline]
    fn load(&self) -> u32 {
        AtomicU32::load(self, Acquire)
    }

    #[inline]
    fn store(&self, value: u32) {
        AtomicU32::store(self, value, Release);
    }

    #[inline]
    fn fence() {
        fence(SeqCst);
    }
}

/// The words of a ring.
#[derive(Clone, Copy, Debug)]
pub struct Words<W> {
    /// Number of entries written.
    pub producer: W,
    /// Number of entries read.
    pub consumer: W,
    /// Number of the entry that wakes the consumer.
    pub wake_at: W,
}

/// The other side's index is impossible: the distance beyond its maximum, modulo 2^32.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OutOfStep(pub u32);

/// Progress of one side: number of entries that it has published, or released, modulo 2^32. Any value is valid; whether it
/// fits a ring is checked where a side is made from it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, FromBytes, IntoBytes, Immutable, KnownLayout)]
#[repr(transparent)]
pub struct Cursor(pub u32);

/// The side that writes entries.
#[derive(Debug)]
pub struct Producer<W> {
    words: Words<W>,
    entries: u32,
    /// Entries written, and how many of them are published.
    written: u32,
    published: u32,
    /// The consumer's index at its last load.
    consumed: u32,
}

impl<W: Word> Producer<W> {
    /// Returns the producer of a fresh ring of `entries` entries, a power of two.
    pub fn new(words: Words<W>, entries: u32) -> Self {
        Self { words, entries, written: 0, published: 0, consumed: 0 }
    }

    /// Returns the producer that continues at `cursor` in a ring in use. An error if the consumer's index is impossible there:
    /// `cursor` is then not of this ring, or the consumer breaks the protocol.
    pub fn at(words: Words<W>, entries: u32, Cursor(published): Cursor) -> Result<Self, OutOfStep> {
        let consumed = words.consumer.load();
        match published.wrapping_sub(consumed) {
            ahead if ahead <= entries => Ok(Self { words, entries, written: published, published, consumed }),
            _ => Err(OutOfStep(consumed.wrapping_sub(published))),
        }
    }

    /// Progress of this side. Entries that are not published do not count.
    pub fn cursor(&self) -> Cursor {
        Cursor(self.published)
    }

    /// Returns true if `wanted` entries can be written.
    #[inline]
    pub fn has_room(&mut self, wanted: u32) -> Result<bool, OutOfStep> {
        if self.room() < wanted {
            let consumed = self.words.consumer.load();
            let ahead = consumed.wrapping_sub(self.consumed);
            let possible = self.published.wrapping_sub(self.consumed);
            if ahead > possible {
                return Err(OutOfStep(ahead.wrapping_sub(possible)));
            }
            self.consumed = consumed;
        }
        Ok(self.room() >= wanted)
    }

    fn room(&self) -> u32 {
        self.entries - self.written.wrapping_sub(self.consumed)
    }

    /// Returns the position of the next entry, which the caller writes there before it publishes. There must be room.
    #[inline]
    pub fn write(&mut self) -> u32 {
        debug_assert!(self.room() > 0, "there must be room");
        let position = self.written & (self.entries - 1);
        self.written = self.written.wrapping_add(1);
        position
    }

    /// Publishes the written entries. Returns true if the other side must be woken for them.
    #[inline]
    #[must_use]
    pub fn publish(&mut self) -> bool {
        let shown = self.written.wrapping_sub(self.published);
        if shown == 0 {
            return false;
        }
        self.words.producer.store(self.written);
        W::fence();
        let distance = self.words.wake_at.load().wrapping_sub(self.published);
        self.published = self.written;
        distance < shown
    }
}

/// The side that reads entries.
#[derive(Debug)]
pub struct Consumer<W> {
    words: Words<W>,
    entries: u32,
    /// Entries read, and how many are known to have been written.
    read: u32,
    seen: u32,
}

impl<W: Word> Consumer<W> {
    /// Returns the consumer of a fresh ring of `entries` entries, a power of two.
    pub fn new(words: Words<W>, entries: u32) -> Self {
        Self { words, entries, read: 0, seen: 0 }
    }

    /// Returns the consumer that continues at `cursor` in a ring in use. An error if the producer's index is impossible there:
    /// `cursor` is then not of this ring, or the producer breaks the protocol.
    pub fn at(words: Words<W>, entries: u32, Cursor(read): Cursor) -> Result<Self, OutOfStep> {
        let mut consumer = Self { words, entries, read, seen: read };
        consumer.available()?;
        Ok(consumer)
    }

    /// Progress of this side. Read entries that are not released count.
    pub fn cursor(&self) -> Cursor {
        Cursor(self.read)
    }

    /// Returns the word that the producer changes, and its value at the last load.
    pub fn watch(&self) -> (&W, u32) {
        (&self.words.producer, self.seen)
    }

    /// Returns the number of entries that can be read; at least one, if there is one.
    #[inline]
    pub fn available(&mut self) -> Result<u32, OutOfStep> {
        if self.seen == self.read {
            let seen = self.words.producer.load();
            let available = seen.wrapping_sub(self.read);
            if available > self.entries {
                return Err(OutOfStep(available - self.entries));
            }
            self.seen = seen;
        }
        Ok(self.seen.wrapping_sub(self.read))
    }

    /// Returns the position of the next entry, which the caller reads there before it releases. There must be one available.
    #[inline]
    pub fn read(&mut self) -> u32 {
        let position = self.peek(0);
        self.skip(1);
        position
    }

    /// Returns the position of the entry after the next `ahead`, without reading it. It must be available.
    #[inline]
    pub fn peek(&self, ahead: u32) -> u32 {
        debug_assert!(self.seen.wrapping_sub(self.read) > ahead, "there must be an entry");
        self.read.wrapping_add(ahead) & (self.entries - 1)
    }

    /// Counts the next `count` entries as read. They must be available.
    #[inline]
    pub fn skip(&mut self, count: u32) {
        debug_assert!(self.seen.wrapping_sub(self.read) >= count, "there must be as many entries");
        self.read = self.read.wrapping_add(count);
    }

    /// Releases the read entries, so that the producer may overwrite them.
    #[inline]
    pub fn release(&mut self) {
        self.words.consumer.store(self.read);
    }

    /// Requests a wake-up for the next entry. Returns true if there is none yet, so that the caller may sleep.
    #[inline]
    pub fn sleep(&mut self) -> Result<bool, OutOfStep> {
        self.words.wake_at.store(self.read);
        W::fence();
        Ok(self.available()? == 0)
    }
}

// Arithmetic only, and too much of it for an interpreter.
#[cfg(all(test, not(miri)))]
mod exhaustive;

#[cfg(test)]
mod tests {
    use super::*;
    use core::array::from_fn;

    fn ring(words: &[AtomicU32; 3]) -> (Producer<&AtomicU32>, Consumer<&AtomicU32>) {
        let [producer, consumer, wake_at] = words;
        let words = Words { producer, consumer, wake_at };
        (Producer::new(words, 4), Consumer::new(words, 4))
    }

    #[test]
    fn entries_arrive_in_order_and_room_comes_back() {
        let words = Default::default();
        let (mut producer, mut consumer) = ring(&words);
        for round in 0..10u32 {
            assert_eq!(producer.has_room(3), Ok(true));
            let written: [u32; 3] = from_fn(|_| producer.write());
            assert_eq!(consumer.available(), Ok(0), "nothing is seen before it is published");
            let _ = producer.publish();
            assert_eq!(consumer.available(), Ok(3));
            assert_eq!(producer.has_room(2), Ok(false));
            assert_eq!(from_fn(|ahead| consumer.peek(ahead as u32)), written, "round {round}");
            assert_eq!(from_fn(|_| consumer.read()), written, "round {round}");
            consumer.release();
        }
    }

    #[test]
    fn only_who_sleeps_is_woken() {
        let words = Default::default();
        let (mut producer, mut consumer) = ring(&words);
        let mut produce = || {
            assert_eq!(producer.has_room(1), Ok(true));
            producer.write();
            producer.publish()
        };
        assert!(produce(), "both begin asleep");
        assert!(!produce(), "it was woken already");
        for _ in 0..2 {
            assert!(consumer.available().is_ok_and(|count| count > 0));
            consumer.read();
        }
        consumer.release();
        assert!(!produce(), "it is at work");
        assert_eq!(consumer.sleep(), Ok(false), "there is something");
        consumer.read();
        consumer.release();
        assert_eq!(consumer.sleep(), Ok(true));
        assert!(produce());
    }

    #[test]
    fn indices_that_make_no_sense_are_refused() {
        let words: [AtomicU32; 3] = Default::default();
        let (mut producer, mut consumer) = ring(&words);
        words[0].store(5, Relaxed);
        assert_eq!(consumer.available(), Err(OutOfStep(1)));
        words[0].store(u32::MAX, Relaxed);
        assert!(consumer.available().is_err());
        for _ in 0..3 {
            producer.write();
        }
        let _ = producer.publish();
        producer.write();
        words[1].store(4, Relaxed);
        assert_eq!(producer.has_room(1), Err(OutOfStep(1)), "what was not shown cannot have been read");
        words[1].store(u32::MAX, Relaxed);
        assert!(producer.has_room(1).is_err());
        words[1].store(3, Relaxed);
        assert_eq!(producer.has_room(3), Ok(true));
    }

    #[test]
    fn indices_wrap() {
        let words: [AtomicU32; 3] = Default::default();
        let (mut producer, mut consumer) = ring(&words);
        let almost = u32::MAX - 1;
        (producer.written, producer.published, producer.consumed) = (almost, almost, almost);
        (consumer.read, consumer.seen) = (almost, almost);
        words.iter().for_each(|word| word.store(almost, Relaxed));
        for _ in 0..4 {
            assert_eq!(producer.has_room(4), Ok(true));
            producer.write();
            producer.write();
            assert!(producer.publish());
            assert_eq!(consumer.available(), Ok(2));
            consumer.read();
            consumer.read();
            consumer.release();
            assert_eq!(consumer.sleep(), Ok(true));
        }
    }
}
