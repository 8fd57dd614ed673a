//! A thread of the program.

use super::signal_stack::{NO_STACK, SignalStack};
use super::time_left;
use crate::arch::{Registers, vector};
use crate::errno::Errno;
use crate::fs::descriptor::Kept;
use crate::fs::opening::Opening;
use crate::identity::Identity;
use crate::syscall_result::Resume;
use alloc::boxed::Box;
use core::mem::offset_of;
use husk::abi::threads as abi;

/// Index of a thread in the tables; reused for another thread after this one has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Slot(pub u32);

impl Slot {
    /// Converts the slot to an index.
    #[inline]
    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

/// Next action of a thread.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// Run the program.
    Ready,
    /// Restart the system call.
    Restart,
    /// Sleep; then the first if woken, and the second if the deadline expires.
    Asleep(Resume, Resume),
}

/// A thread's name, as prctl(2) takes it: up to 15 bytes and a NUL.
pub type Name = [u8; 16];

/// State of a thread. The system call entry writes its general registers while it runs. The part that the tender reads, an
/// [`abi::Thread`], comes first.
#[derive(Debug)]
#[repr(C)]
pub struct Thread {
    /// General registers, valid while the thread does not run.
    pub registers: Box<Registers>,
    /// Thread number, never reused.
    pub id: u32,
    /// 1 while the thread sleeps, for the tender.
    pub asleep: u32,
    /// Name set by prctl(2).
    pub name: Name,
    /// FS base, valid while another thread runs.
    pub base: u64,
    /// Vector state, valid while another thread runs; the only thread of a program has none
    /// before it handles a signal.
    pub vectors: Option<vector::Area>,
    /// Processor time in nanoseconds, valid while the thread does not have the processor, and if it is counted.
    pub processor_time: u64,
    /// Next action.
    pub state: State,
    /// Deadline of the call in progress: set when the call is first made, and kept when it is restarted.
    pub deadline: Option<u64>,
    /// Bytes that the call in progress has transferred: kept like `deadline`.
    pub progress: u64,
    /// True while the tender uses memory of the call, or the call waits for one that is the tender's: no signal ends it early.
    pub held: bool,
    /// File of the call in progress, from its first wait until it returns.
    pub file: Option<Kept>,
    /// File opened by the call in progress, which is not to return before the other end is open, too.
    pub opening: Option<Opening>,
    /// Address to clear, and futex to wake one thread at, when the thread ends.
    pub clear_at_exit: u64,
    /// Head of the thread's list of robust futexes, or 0.
    pub robust_list: u64,
    /// Blocked signals, and pending ones; bit n-1 for signal n.
    pub blocked: u64,
    /// See `blocked`.
    pub pending: u64,
    /// Value that `blocked` returns to after the next signal, while the thread waits for one with another mask.
    pub blocked_after: Option<u64>,
    /// Alternate signal stack.
    pub signal_stack: SignalStack,
    /// Users, groups and capabilities.
    pub identity: Identity,
    /// Call that a signal has interrupted, until that signal is delivered.
    pub cut_short: Option<CutShort>,
}

/// Call that a signal has interrupted before it had any effect. The signal's action decides if it is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CutShort {
    /// Number of the call, which its result has replaced in the register.
    pub number: u64,
    /// Deadline of the call, if it had one.
    pub deadline: Option<u64>,
}

const _: () = assert!(
    offset_of!(Thread, registers) == offset_of!(abi::Thread, registers)
        && offset_of!(Thread, id) == offset_of!(abi::Thread, id)
        && offset_of!(Thread, asleep) == offset_of!(abi::Thread, asleep)
        && offset_of!(Thread, name) == offset_of!(abi::Thread, name)
);

impl Thread {
    /// Returns a thread that starts with these registers.
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
            file: None,
            opening: None,
            clear_at_exit: 0,
            robust_list: 0,
            blocked: 0,
            pending: 0,
            blocked_after: None,
            signal_stack: NO_STACK,
            identity: Identity::default(),
            cut_short: None,
        }
    }

    /// Name of the thread; without one, that of the program at this path, as on Linux.
    pub fn named<'t>(&'t self, program: &'t [u8]) -> &'t [u8] {
        let own = self.name.split(|byte| *byte == 0).next().unwrap_or_default();
        let name = program.rsplit(|byte| *byte == b'/').next().unwrap_or_default();
        if own.is_empty() { name.get(..self.name.len() - 1).unwrap_or(name) } else { own }
    }

    /// Ends the call in progress with this result; if that is an error, transferred bytes take precedence.
    #[inline]
    pub fn end_call(&mut self, result: i64) {
        let progress = core::mem::take(&mut self.progress);
        self.registers.set_result(if result < 0 && progress > 0 { progress as i64 } else { result });
        (self.deadline, self.held) = (None, false);
    }

    /// Ends the call in progress, because a signal is about to be delivered.
    pub fn interrupt(&mut self) {
        time_left::report(self.registers.number(), self.registers.arguments(), self.deadline);
        if self.progress == 0 {
            self.cut_short = Some(CutShort { number: self.registers.number(), deadline: self.deadline });
        }
        self.end_call(Errno::EINTR.to_result());
    }

    /// Replaces the signal mask until a signal arrives.
    pub fn suspend(&mut self, blocked: u64) {
        self.blocked_after = Some(core::mem::replace(&mut self.blocked, blocked));
    }

    /// The first pending signal that neither the thread's mask nor its call blocks.
    #[inline]
    pub fn next_signal(&self) -> Option<u32> {
        let due = if self.held { 0 } else { self.pending & !self.blocked };
        (due != 0).then(|| due.trailing_zeros() + 1)
    }
}
