//! One thread of the program.

use crate::answer::Then;
use crate::arch::{Registers, vector};
use crate::errno::Errno;
use crate::fs::pipe::Opening;
use crate::syscalls::time;
use alloc::boxed::Box;
use core::mem::offset_of;
use husk::abi::threads as abi;
use linux_raw_sys::general::SS_AUTODISARM;

/// A thread's place in the tables; another thread may get it after this one has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub u32);

impl Slot {
    /// As an index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// What a thread is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Run its program on.
    Ready,
    /// Make its system call again.
    Again,
    /// Sleep; then this when woken, and that when its time is over.
    Asleep(Then, Then),
}

/// A thread's name, as prctl(2) takes it: up to 15 bytes and a NUL.
pub type Name = [u8; 16];

/// An alternate signal stack, as sigaltstack(2) takes it.
#[derive(Clone, Copy, Debug)]
pub struct SignalStack {
    /// First address.
    pub start: u64,
    /// `SS_DISABLE`, `SS_AUTODISARM` or 0.
    pub flags: u32,
    /// Bytes.
    pub length: u64,
}

impl SignalStack {
    /// Whether a thread with this stack pointer runs on it. One that is disarmed while it is used does not count.
    pub fn contains(&self, pointer: u64) -> bool {
        self.flags & SS_AUTODISARM == 0 && pointer > self.start && pointer - self.start <= self.length
    }
}

/// Everything about one thread. Its general registers are written by the system call entry while it runs. It begins with
/// what the tender may know, an [`abi::Thread`].
#[derive(Debug)]
#[repr(C)]
pub struct Thread {
    /// General registers, valid while the thread does not run.
    pub registers: Box<Registers>,
    /// Its number, which is never given twice.
    pub id: u32,
    /// Whether it sleeps, for the tender.
    pub asleep: u32,
    /// Its name.
    pub name: Name,
    /// FS base, valid while another thread runs.
    pub base: u64,
    /// Vector state, valid while another thread runs; the only thread of a program has none.
    pub vectors: Option<vector::Area>,
    /// How long it has had the processor, in nanoseconds, while it has it not; if that is counted.
    pub processor_time: u64,
    /// What it does next.
    pub state: State,
    /// When its call in progress gives up: set when the call is made first, and kept while it is made again.
    pub deadline: Option<u64>,
    /// What its call in progress has done already, in bytes: kept like `deadline`.
    pub progress: u64,
    /// The tender has memory of its call in its hands: nothing ends that early.
    pub held: bool,
    /// What its call in progress has opened, and is not to return before the other end is open, too.
    pub opening: Option<Opening>,
    /// Where to write 0, and wake one, when it ends.
    pub clear_at_exit: u64,
    /// Signals it does not take now, and those that wait for it; bit n-1 for signal n.
    pub blocked: u64,
    /// See `blocked`.
    pub pending: u64,
    /// What `blocked` becomes after the next signal, while the thread waits for one with another mask.
    pub blocked_after: Option<u64>,
    /// Where it wants its signals.
    pub signal_stack: SignalStack,
    /// The call that a signal has ended, as long as that signal has not been seen to.
    pub cut_short: Option<CutShort>,
}

/// A call that a signal has ended before it had done anything. What becomes of it depends on the signal's action.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutShort {
    /// Its number, which its result has taken the place of.
    pub number: u64,
    /// When it would have given up, if it had been made with a time to wait.
    pub deadline: Option<u64>,
}

const _: () = assert!(
    offset_of!(Thread, registers) == offset_of!(abi::Thread, registers)
        && offset_of!(Thread, id) == offset_of!(abi::Thread, id)
        && offset_of!(Thread, asleep) == offset_of!(abi::Thread, asleep)
        && offset_of!(Thread, name) == offset_of!(abi::Thread, name)
);

/// `SS_DISABLE`: there is no alternate stack.
pub const NO_STACK: SignalStack = SignalStack { start: 0, flags: 2, length: 0 };

impl Thread {
    /// A thread that starts with these registers.
    pub fn new(id: u32, registers: Registers) -> Self {
        Self {
            registers: Box::new(registers),
            id,
            asleep: 0,
            name: [0; 16],
            base: 0,
            vectors: None,
            processor_time: 0,
            state: State::Ready,
            deadline: None,
            progress: 0,
            held: false,
            opening: None,
            clear_at_exit: 0,
            blocked: 0,
            pending: 0,
            blocked_after: None,
            signal_stack: NO_STACK,
            cut_short: None,
        }
    }

    /// Its name; without one, that of the program whose path this is, as Linux has it.
    pub fn named<'t>(&'t self, program: &'t [u8]) -> &'t [u8] {
        let own = self.name.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if own.is_empty() { name.get(..self.name.len() - 1).unwrap_or(name) } else { own }
    }

    /// Ends its call in progress with this result; if that is an error, what was done counts more.
    #[inline]
    pub fn end_call(&mut self, result: i64) {
        let progress = core::mem::take(&mut self.progress);
        self.registers.set_result(if result < 0 && progress > 0 { progress as i64 } else { result });
        self.deadline = None;
    }

    /// Ends its call in progress, because a signal is about to be seen to.
    pub fn interrupt(&mut self) {
        time::interrupted(self);
        if self.progress == 0 {
            self.cut_short = Some(CutShort { number: self.registers.number(), deadline: self.deadline });
        }
        self.end_call(Errno::EINTR.to_result());
    }

    /// Blocks these signals until one comes.
    pub fn suspend(&mut self, blocked: u64) {
        self.blocked_after = Some(core::mem::replace(&mut self.blocked, blocked));
    }

    /// A signal that waits for it and that it does not block, nor its call.
    #[inline]
    pub fn next_signal(&self) -> Option<u32> {
        let due = if self.held { 0 } else { self.pending & !self.blocked };
        (due != 0).then(|| due.trailing_zeros() + 1)
    }
}
