//! Queue as seen by the tender: every index and every descriptor is the guest's claim, checked here, once.

#![expect(unsafe_code, reason = "rings are guest memory, reached by pointer")]

use crate::memory::{Claim, Memory};
use husk_abi::device;
use husk_abi::memory::Rights;
use husk_abi::ring::protocol::{Consumer, Cursor, OutOfStep, Producer, Words};
use husk_abi::ring::{
    BEAT, CONSUMER, Completion, Descriptor, ENTRIES, Flags, PART_MAXIMUM, PARTS_MAXIMUM, PRODUCER, WAKE_AT,
};
use std::fmt;
use std::ptr::NonNull;
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Relaxed;

/// Violation of a queue's contract by the guest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Broken {
    /// Name of the queue.
    pub queue: &'static str,
    /// Kind of violation.
    pub how: Violation,
}

/// Kinds of violation of a ring's contract.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is explained by its message below")]
pub enum Violation {
    SubmissionsOutOfStep(OutOfStep),
    CompletionsOutOfStep(OutOfStep),
    TooManyUnderWay { entries: u32 },
    CutOff,
    TooManyParts,
    Flags(u16),
    Length(u32),
    Operation(u16),
    Detail(u64),
    Memory { claim: Claim, rights: Rights },
    Unreachable { address: u64 },
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SubmissionsOutOfStep(OutOfStep(by)) => {
                write!(f, "its index of requests is {by} ahead of what it can be")
            }
            Self::CompletionsOutOfStep(OutOfStep(by)) => {
                write!(f, "its index of completions read is {by} ahead of what it can be")
            }
            Self::TooManyUnderWay { entries } => {
                write!(f, "more requests are under way than the {entries} of which it can be told")
            }
            Self::CutOff => write!(f, "a request is cut off after a part that says there is more"),
            Self::TooManyParts => write!(f, "a request has more than {PARTS_MAXIMUM} parts"),
            Self::Flags(flags) => write!(f, "a request has flags {flags:#x}, which do not exist"),
            Self::Length(length) => write!(f, "a part of a request is {length} bytes long"),
            Self::Operation(operation) => write!(f, "operation {operation} does not exist"),
            Self::Detail(detail) => write!(f, "a request has the detail {detail:#x}, where there is none to give"),
            Self::Memory { claim, rights } => {
                let what =
                    if rights.contains(Rights::WRITE) { "not memory that it may write" } else { "outside its memory" };
                write!(f, "a request names {} bytes at {:#x}, which are {what}", claim.length, claim.address)
            }
            Self::Unreachable { address } => {
                write!(f, "a request names memory near {address:#x} that it has protected")
            }
        }
    }
}

/// A checked piece of guest memory. The guest may protect it or write to it at any time.
#[derive(Clone, Copy, Debug)]
pub struct Part {
    /// Start in the tender's address space.
    pub start: NonNull<u8>,
    /// Length in bytes.
    pub length: usize,
}

// SAFETY: guest memory stays mapped until the process ends, and no code makes a reference to it.
unsafe impl Send for Part {}

/// A request, without its memory.
#[derive(Clone, Copy, Debug)]
pub struct Request {
    /// See [`Descriptor::token`].
    pub token: u64,
    /// See [`Descriptor::operation`].
    pub operation: u16,
    /// See [`Descriptor::detail`].
    pub detail: u64,
    /// Guest address of the first part; for a request without memory, the value of that field.
    pub address: u64,
    /// Number of its descriptors.
    descriptors: u32,
}

/// Cursors of a queue at rest, as plain data.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cursors {
    /// Of the submission ring.
    pub requests: Cursor,
    /// Of the completion ring.
    pub completions: Cursor,
}

/// Operations of a queue.
#[derive(Clone, Copy, Debug)]
pub enum Operations {
    /// Operation 0 only, with these rights to the request's memory.
    One(Rights),
    /// Several operations: returns the need of each number, `None` if the number does not exist.
    Several(fn(u16) -> Option<Need>),
}

/// Memory that an operation needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// At least one part, with these rights.
    Memory(Rights),
    /// A first part that is read and written, and others with these rights.
    Message(Rights),
    /// No memory.
    Nothing,
}

impl Operations {
    fn need(self, operation: u16) -> Option<Need> {
        match self {
            Self::One(rights) => (operation == 0).then_some(Need::Memory(rights)),
            Self::Several(need) => need(operation),
        }
    }
}

/// Memory of a request: parts as system calls take them. A device keeps one value and reuses it for each request, because the
/// value is too large to be created and moved every time.
#[derive(Debug)]
pub struct Parts {
    vectors: [libc::iovec; PARTS_MAXIMUM],
    count: usize,
    length: usize,
}

// SAFETY: guest memory stays mapped until the process ends, and no code makes a reference to it.
unsafe impl Send for Parts {}

impl Default for Parts {
    fn default() -> Self {
        let nothing = libc::iovec { iov_base: std::ptr::null_mut(), iov_len: 0 };
        Self { vectors: [nothing; PARTS_MAXIMUM], count: 0, length: 0 }
    }
}

impl Parts {
    fn clear(&mut self) {
        (self.count, self.length) = (0, 0);
    }

    fn push(&mut self, part: Part) -> Result<(), Violation> {
        let vector = self.vectors.get_mut(self.count).ok_or(Violation::TooManyParts)?;
        *vector = libc::iovec { iov_base: part.start.as_ptr().cast(), iov_len: part.length };
        self.count += 1;
        self.length += part.length;
        Ok(())
    }

    /// Bytes of all parts.
    pub const fn length(&self) -> usize {
        self.length
    }

    /// Returns the part, if there is exactly one.
    pub fn only(&self) -> Option<Part> {
        if self.count == 1 { self.iter().next() } else { None }
    }

    /// Parts in order.
    pub fn iter(&self) -> impl Iterator<Item = Part> {
        let part =
            |vector: &libc::iovec| Some(Part { start: NonNull::new(vector.iov_base.cast())?, length: vector.iov_len });
        self.vectors().iter().filter_map(part)
    }

    /// Parts as system calls take them.
    pub fn vectors(&self) -> &[libc::iovec] {
        &self.vectors[..self.count]
    }
}

/// A queue of a guest, on the tender's side.
#[derive(Debug)]
pub struct Queue {
    name: &'static str,
    operations: Operations,
    /// Words of both rings.
    words: [Words<&'static AtomicU32>; 2],
    requests: Consumer<&'static AtomicU32>,
    completions: Producer<&'static AtomicU32>,
    submission_entries: NonNull<Descriptor>,
    completion_entries: NonNull<Completion>,
    entries: u32,
    under_way: u32,
    /// [`BEAT`], and the value last written there.
    beat: &'static AtomicU32,
    beats: u32,
}

// SAFETY: the pointers lead to guest memory, which stays mapped until the process ends.
unsafe impl Send for Queue {}

impl Queue {
    /// Returns the queue at `place`, in the rings of `memory`, which lasts as long as the process, for requests of one kind.
    pub fn new(name: &'static str, rights: Rights, memory: &Memory, place: device::Queue) -> Self {
        Self::of(name, Operations::One(rights), memory, place)
    }

    /// Returns the queue for requests of several kinds.
    pub fn of(name: &'static str, operations: Operations, memory: &Memory, place: device::Queue) -> Self {
        let count = u64::from(place.entries);
        let words = [place.submission, place.completion].map(|ring| words(memory, ring));
        let mut queue = Self {
            name,
            operations,
            words,
            requests: Consumer::new(words[0], place.entries),
            completions: Producer::new(words[1], place.entries),
            submission_entries: memory.ring(place.submission + ENTRIES, count * size_of::<Descriptor>() as u64).cast(),
            completion_entries: memory.ring(place.completion + ENTRIES, count * size_of::<Completion>() as u64).cast(),
            entries: place.entries,
            under_way: 0,
            beat: word(memory, place.submission + BEAT),
            beats: 0,
        };
        queue.beat();
        queue
    }

    /// Cursors, while no request is in flight and all completions are published.
    pub fn cursors(&self) -> Cursors {
        debug_assert_eq!(self.under_way, 0, "requests are in flight");
        Cursors { requests: self.requests.cursor(), completions: self.completions.cursor() }
    }

    /// Continues at `cursors`, which may be any, if both rings allow that.
    pub fn restore(&mut self, cursors: Cursors) -> Result<(), Broken> {
        let [submission, completion] = self.words;
        let requests =
            Consumer::at(submission, self.entries, cursors.requests).map_err(Violation::SubmissionsOutOfStep);
        let requests = requests.map_err(|how| self.broken(how))?;
        let completions = Producer::at(completion, self.entries, cursors.completions);
        let completions = completions.map_err(|error| self.broken(Violation::CompletionsOutOfStep(error)))?;
        (self.requests, self.completions, self.under_way) = (requests, completions, 0);
        Ok(())
    }

    /// Shows the guest that the tender runs.
    #[inline]
    pub fn beat(&mut self) {
        // Odd, so never 0, which stands for a tender that does not beat.
        self.beats = self.beats.wrapping_add(2) | 1;
        self.beat.store(self.beats, Relaxed);
    }

    /// Shows the guest that the tender carries out a request.
    #[inline]
    fn show_at_work(&self) {
        self.beat.store(self.beats.wrapping_add(1).max(2), Relaxed);
    }

    /// Returns the next request, if there is one; the caller must complete it some time. Fills `parts` with its memory, or
    /// clears them if its operation takes none.
    pub fn next(&mut self, memory: &Memory, parts: &mut Parts) -> Result<Option<Request>, Broken> {
        let request = self.peek(memory, parts)?;
        request.iter().for_each(|request| self.take(request));
        Ok(request)
    }

    /// Returns the next request like [`Queue::next`], and leaves it in its ring.
    pub fn peek(&mut self, memory: &Memory, parts: &mut Parts) -> Result<Option<Request>, Broken> {
        self.check_next(memory, parts).map_err(|how| self.broken(how))
    }

    /// Takes the request that [`Queue::peek`] returned last.
    pub fn take(&mut self, request: &Request) {
        self.requests.skip(request.descriptors);
        self.under_way += 1;
        self.show_at_work();
    }

    fn check_next(&mut self, memory: &Memory, parts: &mut Parts) -> Result<Option<Request>, Violation> {
        let available = self.requests.available().map_err(Violation::SubmissionsOutOfStep)?;
        if available == 0 {
            return Ok(None);
        }
        let room = self.completions.has_room(self.under_way + 1).map_err(Violation::CompletionsOutOfStep)?;
        if !room {
            return Err(Violation::TooManyUnderWay { entries: self.entries });
        }
        let first = self.descriptor(0);
        let Descriptor { token, operation, detail, address, .. } = first;
        let mut request = Request { token, operation, detail, address, descriptors: 1 };
        parts.clear();
        let (mut rights, others) = match self.operations.need(operation).ok_or(Violation::Operation(operation))? {
            Need::Memory(rights) => (rights, rights),
            Need::Message(others) => (Rights::READ | Rights::WRITE, others),
            Need::Nothing => return bare(&first).map(|()| Some(request)),
        };
        let mut descriptor = first;
        loop {
            let flags = Flags::from_bits(descriptor.flags).ok_or(Violation::Flags(descriptor.flags))?;
            parts.push(check(memory, rights, &descriptor)?)?;
            if !flags.contains(Flags::MORE) {
                return Ok(Some(request));
            }
            if request.descriptors == available {
                return Err(Violation::CutOff);
            }
            descriptor = self.descriptor(request.descriptors);
            request.descriptors += 1;
            rights = others;
        }
    }

    /// Reads the descriptor after the next `ahead`, which must exist: a copy, because the guest may change the original at any
    /// time.
    fn descriptor(&self, ahead: u32) -> Descriptor {
        let position = self.requests.peek(ahead) as usize;
        // SAFETY: the position is below the number of entries, for which `of` found the memory.
        let entry = unsafe { self.submission_entries.add(position) };
        // SAFETY: `entry` is an aligned entry of the ring, and any bytes are a valid descriptor.
        unsafe { entry.read_volatile() }
    }

    /// Completes a request that [`Queue::next`] returned.
    pub fn complete(&mut self, token: u64, length: usize, status: u16) {
        self.complete_with(token, length, status, 0);
    }

    /// Completes a request with flags that the queue defines.
    pub fn complete_with(&mut self, token: u64, length: usize, status: u16, flags: u16) {
        self.under_way -= 1;
        let position = self.completions.write() as usize;
        let completion = Completion { token, length: length as u32, status, flags };
        // SAFETY: the position is below the number of entries, for which `of` found the memory.
        let entry = unsafe { self.completion_entries.add(position) };
        // SAFETY: `entry` is an aligned entry of the ring, which `of` found accessible.
        unsafe { entry.write_volatile(completion) };
    }

    /// Publishes the completions to the guest. Returns true if the guest must be woken for them.
    pub fn publish(&mut self) -> bool {
        self.beat();
        self.requests.release();
        self.completions.publish()
    }

    /// Arms the doorbell for the guest's next request. Returns true if there is none yet.
    pub fn sleep(&mut self) -> Result<bool, Broken> {
        self.requests.sleep().map_err(|error| self.broken(Violation::SubmissionsOutOfStep(error)))
    }

    /// Error for a violation of this queue's contract.
    pub const fn broken(&self, how: Violation) -> Broken {
        Broken { queue: self.name, how }
    }
}

/// Returns the word of a ring at this address.
fn word(memory: &Memory, address: u64) -> &'static AtomicU32 {
    let word = memory.ring(address, 4).cast::<AtomicU32>();
    // SAFETY: `Memory::ring` found the word in memory that stays mapped and accessible, aligned as every ring is.
    unsafe { word.as_ref() }
}

/// Returns the words of the ring at this address.
pub(super) fn words(memory: &Memory, ring: u64) -> Words<&'static AtomicU32> {
    let word = |offset| word(memory, ring + offset);
    Words { producer: word(PRODUCER), consumer: word(CONSUMER), wake_at: word(WAKE_AT) }
}

/// Checks a part of a request's memory.
fn check(memory: &Memory, rights: Rights, descriptor: &Descriptor) -> Result<Part, Violation> {
    if !(1..=PART_MAXIMUM).contains(&descriptor.length) {
        return Err(Violation::Length(descriptor.length));
    }
    let claim = Claim { address: descriptor.address, length: descriptor.length.into() };
    let start = memory.check(claim, rights).map_err(|_| Violation::Memory { claim, rights })?;
    Ok(Part { start, length: descriptor.length as usize })
}

/// Checks a request without memory.
fn bare(descriptor: &Descriptor) -> Result<(), Violation> {
    match (descriptor.length, descriptor.flags) {
        (0, 0) => Ok(()),
        (0, flags) => Err(Violation::Flags(flags)),
        (length, _) => Err(Violation::Length(length)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::devices::table;
    use crate::fuzz::sample::{Numbers, memory};
    use crate::image::Kind;
    use husk_abi::memory::{BOOT, Region};

    impl Numbers {
        /// Returns one of these, or rarely any number.
        fn pick(&mut self, likely: &[u64]) -> u64 {
            match self.random() {
                rare if rare % 64 == 0 => self.random(),
                common => likely[common as usize / 64 % likely.len()],
            }
        }
    }

    #[test]
    fn the_beat_shows_when_a_request_is_carried_out() {
        let memory = memory();
        let layout = *memory.layout();
        let place = table::queues(layout.rings.start, 0, Kind::Network)[0];
        let mut queue = Queue::new("test", Rights::READ, &memory, place);
        let set = |address: u64, value: u32| word(&memory, address).store(value, Relaxed);
        let beat = || word(&memory, place.submission + BEAT).load(Relaxed);
        let at = memory.ring(place.submission + ENTRIES, 32).cast::<Descriptor>();
        let descriptor = Descriptor { address: layout.heap.start, length: 1, ..Descriptor::default() };
        // SAFETY: `at` is the address of the first entry of the ring, which only this test uses.
        unsafe { at.write_volatile(descriptor) };
        for beats in [1, u32::MAX - 2, u32::MAX] {
            (queue.beats, queue.requests) = (beats, Consumer::new(queue.words[0], place.entries));
            queue.beat();
            let mut seen = vec![beat()];
            set(place.submission + PRODUCER, 0);
            assert!(queue.next(&memory, &mut Parts::default()).is_ok_and(|request| request.is_none()));
            assert_eq!(beat(), seen[0], "nothing is carried out");
            set(place.submission + PRODUCER, 1);
            let request = queue.next(&memory, &mut Parts::default()).expect("a valid request").expect("a request");
            seen.push(beat());
            assert!(beat().is_multiple_of(2) && beat() != 0, "a request is carried out: {}", beat());
            queue.complete(request.token, 0, 0);
            queue.publish();
            seen.push(beat());
            assert_eq!(beat() % 2, 1, "none is");
            assert!(seen[0] != seen[1] && seen[1] != seen[2] && seen[0] != seen[2], "{seen:?}");
        }
    }

    #[test]
    fn whatever_a_guest_writes_only_its_own_memory_is_given_out() {
        const SEEDS: u64 = 5000;
        let memory = memory();
        let layout = *memory.layout();
        let place = table::queues(layout.rings.start, 0, Kind::Network)[0];
        let (mut taken, mut broken) = (0, 0);
        for seed in 1..=SEEDS {
            let numbers = &mut Numbers(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
            let clear = memory.ring(place.submission, layout.rings.length);
            // SAFETY: the rings have this length, and only this test uses them.
            unsafe { clear.write_bytes(0, layout.rings.length as usize) };
            let mut queue = Queue::new("test", Rights::READ | Rights::WRITE, &memory, place);
            let set = |address: u64, value: u32| {
                // SAFETY: the addresses are those of words of the rings.
                unsafe { memory.ring(address, 4).cast::<u32>().write_volatile(value) };
            };
            let mut produced = 0u32;
            let (mut under_way, mut parts) = (Vec::new(), Parts::default());
            for _ in 0..40 {
                for position in 0..8 {
                    let descriptor = Descriptor {
                        address: numbers.pick(&[
                            layout.heap.start,
                            layout.heap.end() - 9,
                            layout.main_stack.start,
                            BOOT,
                        ]),
                        length: numbers.pick(&[1, 9, 4096]) as u32,
                        flags: numbers.pick(&[0, 0, 1]) as u16,
                        token: numbers.random(),
                        ..Descriptor::default()
                    };
                    let at = place.submission + ENTRIES + u64::from((produced + position) % place.entries) * 32;
                    // SAFETY: `at` is the address of an entry of the ring.
                    unsafe { memory.ring(at, 32).cast::<Descriptor>().write_volatile(descriptor) };
                }
                produced = produced.wrapping_add(numbers.pick(&[0, 1, 8]) as u32);
                set(place.submission + PRODUCER, produced);
                set(place.completion + CONSUMER, numbers.pick(&[0, 0, taken]) as u32);
                match queue.next(&memory, &mut parts) {
                    Ok(None) => {}
                    Ok(Some(request)) => {
                        taken += 1;
                        for part in parts.iter() {
                            let offset = part.start.as_ptr() as u64 - memory.host_address();
                            let end = offset + part.length as u64;
                            let inside = |region: Region| {
                                offset >= layout.physical(region.start) && end <= layout.physical(region.end())
                            };
                            assert!(inside(layout.heap) || inside(layout.main_stack), "seed {seed}: {part:?}");
                        }
                        under_way.push(request.token);
                    }
                    Err(_) => {
                        broken += 1;
                        break;
                    }
                }
                if numbers.random().is_multiple_of(2)
                    && let Some(token) = under_way.pop()
                {
                    queue.complete(token, 0, 0);
                    queue.publish();
                }
            }
        }
        assert!(taken > SEEDS && broken > SEEDS / 10, "both occur: {taken} taken, {broken} broken");
    }
}
