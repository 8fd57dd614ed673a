//! The program's threads: the running thread, the ready ones, and the events that the others wait for.
//!
//! The libos has one stack per processor, none per thread: a call that must wait abandons the stack and is restarted later. So
//! a thread costs its registers and vector state, and no function here allocates but `add`.
//!
//! A thread runs until it sleeps, ends or yields, or makes a call when others wait and its slice is over.

mod futexes;
pub mod signal_stack;
mod sleep;
mod thread;
mod time_left;
mod timers;

pub use thread::{CutShort, Name, Slot, State, Thread};

use crate::arch::{self, PROCESSORS, Registers, vector};
use crate::errno::Errno;
use crate::process::PROCESS;
use crate::processor_time;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering::Relaxed};
use futexes::Futexes;
use husk::abi::threads::Table;
use timers::Timers;

/// Time slice: how long a thread may run while others wait, in nanoseconds.
pub const SLICE: u64 = 2_000_000;

/// The threads of the program.
#[derive(Debug)]
pub struct Threads {
    slots: Vec<Option<Box<Thread>>>,
    processors: [Processor; PROCESSORS],
    /// Threads that are ready to run, in order.
    ready: VecDeque<Slot>,
    /// Number of threads at the front of `ready` that go before the others because their deadline has expired.
    boosted: usize,
    /// Threads that wait for a change of any file.
    files: Vec<Slot>,
    futexes: Futexes,
    timers: Timers,
    /// Number for the next thread.
    next_id: u32,
    /// Number of threads.
    count: usize,
    /// Layout of a thread's vector state; unknown until there is a second thread, or a signal.
    vectors: Option<vector::Shape>,
}

/// What a processor runs.
#[derive(Debug)]
struct Processor {
    /// The running thread, or the one with the call in progress.
    current: Slot,
    /// The thread with its FS base and vector state in the processor, unless it has ended.
    loaded: Option<Slot>,
    /// True if the current thread went before the others because its deadline had expired.
    ran_boosted: bool,
    /// End of the current time slice; 0 until another thread has been seen waiting for one.
    slice_end: u64,
}

/// Table that the tender reads to find the threads. A slot is the address of a thread, or 0.
pub static TABLE: Table = Table { threads: AtomicU64::new(0), count: AtomicU64::new(0) };

impl Threads {
    /// Returns a table with one thread, which is about to start with these registers.
    pub fn new(registers: Registers) -> Result<Self, Errno> {
        let mut threads = Self {
            slots: Vec::new(),
            processors: [Processor { current: Slot(0), loaded: Some(Slot(0)), ran_boosted: false, slice_end: 0 }],
            ready: VecDeque::new(),
            boosted: 0,
            files: Vec::new(),
            futexes: Futexes::new(),
            timers: Timers::new(),
            next_id: PROCESS + 1,
            count: 1,
            vectors: None,
        };
        threads.reserve(1)?;
        threads.slots.push(Some(Box::new(Thread::new(PROCESS, registers))));
        threads.publish();
        Ok(threads)
    }

    /// Number of threads.
    pub fn count(&self) -> usize {
        self.count
    }

    /// This processor.
    #[inline]
    fn here(&mut self) -> &mut Processor {
        let [processor] = &mut self.processors;
        processor
    }

    /// The running thread, or the one with the call in progress.
    #[inline]
    pub fn current(&mut self) -> &mut Thread {
        let slot = self.here().current;
        match self.slots.get_mut(slot.index()) {
            Some(Some(thread)) => thread,
            _ => unreachable!("the current thread has ended"),
        }
    }

    /// Returns an iterator over all threads.
    pub fn all(&self) -> impl Iterator<Item = &Thread> {
        self.slots.iter().flatten().map(|thread| &**thread)
    }

    /// Returns true if `holds` is true for any thread.
    pub fn any(&self, holds: fn(&Thread) -> bool) -> bool {
        self.slots.iter().flatten().any(|thread| holds(thread))
    }

    /// The thread with this number.
    pub fn find(&mut self, id: u32) -> Option<(Slot, &mut Thread)> {
        let found = self.slots.iter_mut().enumerate().find(|(_, thread)| thread.as_ref().is_some_and(|t| t.id == id));
        found.and_then(|(slot, thread)| Some((Slot(slot as u32), thread.as_deref_mut()?)))
    }

    /// Adds a thread that starts with these registers, this FS base, and a copy of the current thread's vector state.
    pub fn add(&mut self, registers: Registers, base: u64) -> Result<&mut Thread, Errno> {
        let shape = self.vectors();
        let mut vectors = vector::Area::new(&shape)?;
        vectors.save(shape.in_use());
        if self.current().vectors.is_none() {
            self.current().vectors = Some(vector::Area::new(&shape)?);
        }
        let slot = match self.slots.iter().position(Option::is_none) {
            Some(free) => Slot(free as u32),
            None => {
                self.reserve(self.slots.len() + 1)?;
                self.slots.push(None);
                self.publish();
                Slot(self.slots.len() as u32 - 1)
            }
        };
        let parent = self.current();
        let (blocked, name, identity) = (parent.blocked, parent.name, parent.identity.clone());
        let id = self.next_id;
        self.next_id += 1;
        self.count += 1;
        self.ready.push_back(slot);
        let place = self.slots.get_mut(slot.index()).ok_or(Errno::EAGAIN)?;
        let thread = Thread { base, vectors: Some(vectors), blocked, name, identity, ..Thread::new(id, registers) };
        Ok(place.insert(Box::new(thread)))
    }

    /// Layout of a thread's vector state.
    pub fn vectors(&mut self) -> vector::Shape {
        *self.vectors.get_or_insert_with(vector::Shape::ask)
    }

    /// Publishes the table of slots to the tender.
    fn publish(&self) {
        // The count is 0 while the address changes.
        TABLE.count.store(0, Relaxed);
        TABLE.threads.store(self.slots.as_ptr() as u64, Relaxed);
        TABLE.count.store(self.slots.len() as u64, Relaxed);
    }

    /// Makes room for `count` threads in every table.
    fn reserve(&mut self, count: usize) -> Result<(), Errno> {
        let error = |_| Errno::ENOMEM;
        self.slots.try_reserve(count.saturating_sub(self.slots.len())).map_err(error)?;
        self.ready.try_reserve(count.saturating_sub(self.ready.len())).map_err(error)?;
        self.files.try_reserve(count.saturating_sub(self.files.len())).map_err(error)?;
        self.futexes.reserve(count)?;
        self.timers.reserve(count)
    }

    /// Ends the current thread. [`Threads::run_next`] must follow.
    pub fn end_current(&mut self) {
        let Processor { current, loaded, .. } = self.here();
        *loaded = loaded.filter(|slot| slot != current);
        let current = *current;
        if let Some(thread) = self.slots.get_mut(current.index()) {
            *thread = None;
        }
        self.count -= 1;
    }

    /// Deadline of the current thread's call, which may take `timeout_ns` from when it was first made.
    pub fn deadline_in(&mut self, timeout_ns: u64) -> u64 {
        *self.current().deadline.get_or_insert_with(|| husk::clock::monotonic_ns().saturating_add(timeout_ns))
    }

    /// Returns true if another thread is ready to run.
    pub fn others_ready(&mut self) -> bool {
        self.expire_due();
        !self.ready.is_empty()
    }

    /// Returns true if another thread is ready, or could become ready by its deadline while the current one runs.
    #[inline]
    pub fn anybody_waits(&self) -> bool {
        !self.ready.is_empty() || self.timers.earliest().is_some()
    }

    /// Returns true if the current thread's slice is over and another thread is ready.
    #[inline]
    pub fn turn_is_over(&mut self) -> bool {
        if !self.anybody_waits() || !self.others_ready() {
            return false;
        }
        let now = husk::clock::monotonic_ns();
        let slice_end = &mut self.here().slice_end;
        if *slice_end == 0 {
            *slice_end = now.saturating_add(SLICE);
        }
        now >= *slice_end
    }

    /// Ends the current thread's slice, if another thread waits for one.
    pub fn yield_turn(&mut self) {
        self.here().slice_end = 1;
    }

    /// Puts the current thread, which is ready, behind all other ready ones.
    pub fn put_last(&mut self) {
        let current = self.here().current;
        self.ready.push_back(current);
    }

    /// Restarts the current thread's call when all other ready threads have had their turn.
    pub fn restart_call(&mut self) {
        self.current().state = State::Restart;
        self.put_last();
    }

    /// Puts the current thread, which is ready, before the last of the ready ones, so that the thread after it in the order of
    /// turns then comes before it. If only one is ready, that one goes first nevertheless.
    pub fn put_before_last(&mut self) {
        let (count, current) = (self.ready.len(), self.here().current);
        // `add` has reserved room for every thread.
        self.ready.insert(count.saturating_sub(1).max(1).max(self.boosted).min(count), current);
    }

    /// Puts a thread after an expired deadline before those that did not sleep, because it has had less of the processor and
    /// may be late. But threads that wake up while such a thread runs go to the end; otherwise threads that sleep for no time
    /// at all would starve the others.
    fn put_in_time(&mut self, slot: Slot) {
        if self.here().ran_boosted {
            self.ready.push_back(slot);
        } else {
            self.ready.insert(self.boosted, slot);
            self.boosted += 1;
        }
    }

    /// Switches to the next ready thread, if there is one.
    pub fn run_next(&mut self) -> Option<State> {
        self.expire_due();
        let slot = self.ready.pop_front()?;
        let ran_boosted = self.boosted > 0;
        self.boosted = self.boosted.saturating_sub(1);
        let processor = self.here();
        (processor.current, processor.ran_boosted, processor.slice_end) = (slot, ran_boosted, 0);
        self.load(slot);
        Some(core::mem::replace(&mut self.current().state, State::Ready))
    }

    /// Earliest time at which a thread wakes up.
    pub fn deadline(&self) -> Option<u64> {
        self.timers.earliest()
    }

    /// Loads the FS base and vector state of the thread in `slot` into the processor.
    fn load(&mut self, slot: Slot) {
        let loaded = self.here().loaded.replace(slot);
        if loaded == Some(slot) {
            return;
        }
        let used = self.vectors.as_ref().map_or(vector::Use::Any, vector::Shape::in_use);
        if let Some(Some(Some(old))) = loaded.map(|loaded| self.slots.get_mut(loaded.index()).map(Option::as_mut)) {
            old.base = arch::thread_base();
            old.processor_time = processor_time::stop().unwrap_or(old.processor_time);
            if let Some(vectors) = &mut old.vectors {
                vectors.save(used);
            }
        }
        let new = self.current();
        arch::set_thread_base(new.base);
        processor_time::go_on(new.processor_time);
        if let Some(vectors) = &new.vectors {
            vectors.load(used);
        }
    }
}
