//! What a guest's threads are doing, as the guest has it in its memory; see [`husk_abi::threads`].

use crate::image::Image;
use crate::memory::Memory;
use crate::registers::Registers;
use husk_abi::threads::{Table, Thread as Raw};
use std::fmt;
use std::mem::offset_of;

/// Most words of a guest's array that are looked at.
const SLOTS_MAXIMUM: u64 = 4096;
/// Most threads that are told of.
const THREADS_MAXIMUM: usize = 256;
/// The number of the first thread.
const FIRST: u32 = 1;

/// Where a guest's threads are to be found, as guest addresses.
#[derive(Clone, Copy, Debug)]
pub struct Threads {
    table: u64,
    current: u64,
}

/// A thread, as its guest tells.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Thread {
    /// Its number.
    pub id: u32,
    /// Its name; empty if it has none.
    pub name: String,
    /// What it does.
    pub state: State,
    /// Its registers.
    pub registers: Registers,
}

/// What a thread does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// It runs its program.
    Running,
    /// It is in a system call, which the libos is about to answer.
    Calling,
    /// It waits in a system call.
    Waiting,
    /// It waits for the processor.
    Ready,
}

/// What the processor does at the moment.
#[derive(Clone, Copy, Debug)]
pub struct Processor {
    /// Its registers.
    pub registers: Registers,
    /// Whether the libos is at work.
    pub inside: bool,
}

impl Threads {
    /// Where `image` says that they are, if it does.
    pub fn new(image: &Image, load_bias: u64) -> Option<Self> {
        let note = image.notes.threads?;
        Some(Self { table: note.table.wrapping_add(load_bias), current: note.current.wrapping_add(load_bias) })
    }

    /// All threads, the one that has the processor first.
    pub fn read(&self, memory: &Memory, processor: &Processor) -> Vec<Thread> {
        let word = |offset: usize| memory.peek(self.table.wrapping_add(offset as u64)).unwrap_or(0);
        let (start, count) = (word(offset_of!(Table, threads)), word(offset_of!(Table, count)));
        let current = memory.peek(self.current).unwrap_or(0);
        let slots = (0..count.min(SLOTS_MAXIMUM)).map_while(|slot| memory.peek(start.wrapping_add(slot * 8)));
        let found = slots.filter_map(|address| read(memory, address, current, processor));
        let mut threads: Vec<_> = found.take(THREADS_MAXIMUM).collect();
        threads.sort_by_key(|thread| (!thread.has_processor(), thread.id));
        threads
    }
}

/// The thread at an address; `current` is where the registers of the one are that has the processor.
fn read(memory: &Memory, address: u64, current: u64, processor: &Processor) -> Option<Thread> {
    let word = |offset: usize| memory.peek(address.checked_add(offset as u64)?);
    let saved = word(offset_of!(Raw, registers))?;
    let [id, asleep] = split(word(offset_of!(Raw, id))?);
    let name = [word(offset_of!(Raw, name))?, word(offset_of!(Raw, name) + 8)?];
    let name: Vec<u8> = name.into_iter().flat_map(u64::to_le_bytes).take_while(|byte| *byte != 0).collect();
    let state = match (asleep != 0, saved == current, processor.inside) {
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

/// The two halves of a word, the lower one first.
fn split(word: u64) -> [u32; 2] {
    [word as u32, (word >> 32) as u32]
}

/// Registers in memory; see [`husk_abi::threads::Registers`].
fn read_registers(memory: &Memory, address: u64) -> Option<Registers> {
    use husk_abi::threads::Registers as Raw;
    let word = |offset: usize| memory.peek(address.checked_add(offset as u64)?);
    Some(Registers {
        rax: word(offset_of!(Raw, rax))?,
        rbx: word(offset_of!(Raw, rbx))?,
        rcx: word(offset_of!(Raw, rcx))?,
        rdx: word(offset_of!(Raw, rdx))?,
        rsi: word(offset_of!(Raw, rsi))?,
        rdi: word(offset_of!(Raw, rdi))?,
        rbp: word(offset_of!(Raw, rbp))?,
        rsp: word(offset_of!(Raw, rsp))?,
        r8: word(offset_of!(Raw, r8))?,
        r9: word(offset_of!(Raw, r9))?,
        r10: word(offset_of!(Raw, r10))?,
        r11: word(offset_of!(Raw, r11))?,
        r12: word(offset_of!(Raw, r12))?,
        r13: word(offset_of!(Raw, r13))?,
        r14: word(offset_of!(Raw, r14))?,
        r15: word(offset_of!(Raw, r15))?,
        rip: word(offset_of!(Raw, rip))?,
        rflags: word(offset_of!(Raw, rflags))?,
        ..Registers::default()
    })
}

impl Thread {
    /// The one thread of a guest that tells of none.
    pub fn only(registers: Registers) -> Self {
        Self { id: FIRST, name: String::new(), state: State::Running, registers }
    }

    /// Whether it is the one that has the processor.
    pub fn has_processor(&self) -> bool {
        matches!(self.state, State::Running | State::Calling)
    }

    /// What to call it: `thread 'name'`, `the main thread`.
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

/// The system call that these registers make, with its first argument where that tells what is waited for.
struct Call<'r>(&'r Registers);

impl fmt::Display for Call<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Registers { rax, rdi, .. } = *self.0;
        match rax {
            0 => write!(f, "read of file {rdi}"),
            1 => write!(f, "write to file {rdi}"),
            7 | 271 => write!(f, "poll"),
            19 => write!(f, "readv of file {rdi}"),
            20 => write!(f, "writev to file {rdi}"),
            23 | 270 => write!(f, "select"),
            34 => write!(f, "pause"),
            35 | 230 => write!(f, "sleep"),
            43 | 288 => write!(f, "accept at socket {rdi}"),
            45 | 47 => write!(f, "receive from socket {rdi}"),
            130 => write!(f, "sigsuspend"),
            202 => write!(f, "futex at {rdi:#x}"),
            232 | 281 => write!(f, "epoll_wait of file {rdi}"),
            number => write!(f, "system call {number}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_says_who_it_is_and_what_it_does() {
        let registers = Registers { rax: 202, rdi: 0x1000, ..Registers::default() };
        let thread = |id, name: &str, state| Thread { id, name: name.to_owned(), state, registers };
        assert_eq!(thread(1, "", State::Waiting).to_string(), "thread 1 (main) waits in futex at 0x1000");
        assert_eq!(thread(3, "worker", State::Running).to_string(), "thread 3 'worker' runs");
        assert_eq!(thread(3, "worker", State::Ready).called(), "thread 'worker'");
        assert_eq!(thread(3, "", State::Ready).called(), "thread 3");
    }
}
