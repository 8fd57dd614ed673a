//! State of a guest's threads, as recorded in guest memory; see [`husk_abi::threads`].

use crate::arch::registers::Registers;
use crate::arch::system_call::{self, Shown};
use crate::image::Image;
use crate::memory::Memory;
use husk_abi::registers::Registers as General;
use husk_abi::threads::{Table, Thread as Raw};
use std::fmt;
use std::mem::offset_of;
use zerocopy::transmute;

/// Most words of a guest's array that are read.
const SLOTS_MAXIMUM: u64 = 4096;
/// Most threads that are reported.
const THREADS_MAXIMUM: usize = 256;
/// Number of the first thread.
const FIRST: u32 = 1;

/// Guest address of the table of threads.
#[derive(Clone, Copy, Debug)]
pub struct Threads {
    table: u64,
}

/// A thread, as its guest describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Number of the thread.
    pub id: u32,
    /// Name; empty if the thread has none.
    pub name: String,
    /// State of the thread.
    pub state: State,
    /// Registers of the thread.
    pub registers: Registers,
}

/// State of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Runs its program.
    Running,
    /// Is in a system call, which the libos is about to answer.
    Calling,
    /// Waits in a system call.
    Waiting,
    /// Waits for the processor.
    Ready,
}

/// State of a processor that runs a thread.
#[derive(Clone, Copy, Debug)]
pub struct Running {
    /// Registers of the processor.
    pub registers: Registers,
    /// Address of the thread's registers in guest memory, as the guest has it.
    pub current: u64,
    /// True if the libos is at work.
    pub in_libos: bool,
}

impl Threads {
    /// Returns the address from the note of `image`, if there is one.
    pub fn new(image: &Image, load_bias: u64) -> Option<Self> {
        Some(Self { table: image.notes.threads?.wrapping_add(load_bias) })
    }

    /// Returns all threads, the running one first.
    pub fn read(&self, memory: &Memory, processor: &Running) -> Vec<Thread> {
        let word = |offset: usize| memory.peek(self.table.wrapping_add(offset as u64)).unwrap_or(0);
        let (start, count) = (word(offset_of!(Table, threads)), word(offset_of!(Table, count)));
        let slots = (0..count.min(SLOTS_MAXIMUM)).map_while(|slot| memory.peek(start.wrapping_add(slot * 8)));
        let found = slots.filter_map(|address| read(memory, address, processor));
        let mut threads: Vec<_> = found.take(THREADS_MAXIMUM).collect();
        threads.sort_by_key(|thread| (!thread.has_processor(), thread.id));
        threads
    }
}

/// Reads the thread at an address.
fn read(memory: &Memory, address: u64, processor: &Running) -> Option<Thread> {
    let word = |offset: usize| memory.peek(address.checked_add(offset as u64)?);
    let saved = word(offset_of!(Raw, registers))?;
    let [id, asleep] = split(word(offset_of!(Raw, id))?);
    let name = [word(offset_of!(Raw, name))?, word(offset_of!(Raw, name) + 8)?];
    let name: Vec<u8> = name.into_iter().flat_map(u64::to_le_bytes).take_while(|byte| *byte != 0).collect();
    let state = match (asleep != 0, saved == processor.current, processor.in_libos) {
        (true, ..) => State::Waiting,
        (_, true, false) => State::Running,
        (_, true, true) => State::Calling,
        _ => State::Ready,
    };
    let registers = match state {
        State::Running => processor.registers,
        _ => read_registers(memory, saved)?,
    };
    Some(Thread { id, name: String::from_utf8_lossy(&name).into_owned(), state, registers })
}

/// Halves of a word, the lower one first.
fn split(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

/// Registers in memory; see [`husk_abi::registers::Registers`].
fn read_registers(memory: &Memory, address: u64) -> Option<Registers> {
    const WORDS: usize = size_of::<General>() / 8;
    let mut words = [0; WORDS];
    for (word, at) in words.iter_mut().zip((address..).step_by(8)) {
        *word = memory.peek(at)?;
    }
    Some(Registers { general: transmute!(words), ..Registers::default() })
}

impl Thread {
    /// Returns the only thread of a guest that describes none.
    pub fn only(registers: Registers) -> Self {
        Self { id: FIRST, name: String::new(), state: State::Running, registers }
    }

    /// Returns true if the thread has the processor.
    pub fn has_processor(&self) -> bool {
        matches!(self.state, State::Running | State::Calling)
    }

    /// Name of the thread in a sentence: `thread 'name'`, `the main thread`.
    pub fn called(&self) -> String {
        match (self.name.as_str(), self.id) {
            ("", FIRST) => "the main thread".to_owned(),
            ("", id) => format!("thread {id}"),
            (name, _) => format!("thread '{name}'"),
        }
    }
}

impl fmt::Display for Thread {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let r = &self.registers;
        match self.name.as_str() {
            "" if self.id == FIRST => write!(f, "thread 1 (main)")?,
            "" => write!(f, "thread {}", self.id)?,
            name => write!(f, "thread {} '{name}'", self.id)?,
        }
        match self.state {
            State::Running => write!(f, " runs"),
            State::Ready => write!(f, " is ready to run"),
            State::Calling => write!(f, " is in {}", Call(r)),
            State::Waiting => write!(f, " waits in {}", Call(r)),
        }
    }
}

/// Displays the system call that these registers make, with its first argument if that shows what is waited for.
struct Call<'r>(&'r Registers);

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (number, argument) = self.0.system_call();
        match system_call::shown(number) {
            Shown::Name(name) => f.write_str(name),
            Shown::File(what) => write!(f, "{what} {argument}"),
            Shown::Address(what) => write!(f, "{what} {argument:#x}"),
            Shown::Unknown => write!(f, "system call {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_says_who_it_is_and_what_it_does() {
        let registers = General { rax: 202, rdi: 0x1000, ..General::default() }.into();
        let thread = |id, name: &str, state| Thread { id, name: name.to_owned(), state, registers };
        assert_eq!(thread(1, "", State::Waiting).to_string(), "thread 1 (main) waits in futex at 0x1000");
        assert_eq!(thread(3, "worker", State::Running).to_string(), "thread 3 'worker' runs");
        assert_eq!(thread(3, "worker", State::Ready).called(), "thread 'worker'");
        assert_eq!(thread(3, "", State::Ready).called(), "thread 3");
    }
}
