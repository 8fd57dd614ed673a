//! Stack of a stopped guest, walked outwards from the instruction that stopped it.
//!
//! Call frame information leads from most frames to their callers. Without it, in assembly and after a jump
//! through a wild pointer, the return address is searched in its usual places: on top of the stack, next to the
//! saved frame pointer, and, for the innermost frame only, in the few words above. A word counts as a return
//! address if it points into the image's code, right behind a call. The data read here is the guest's claim, so
//! that each step is checked and the number of steps is bounded.

use super::elf::Elf;
use super::unwind::{Caller, End, Frame, ReadGuest, Unwinder};
use crate::arch::call_site;
use crate::arch::dwarf::{COUNT, FRAME_POINTER, SIGNAL_FRAME, SIGNAL_FRAME_HEAD, STACK_POINTER, TRAPPED, numbered};
use crate::arch::registers::Registers;
use std::collections::VecDeque;

/// Most frames shown without a gap.
const SHOWN_MAXIMUM: usize = 128;
/// Frames shown before the gap of a longer stack.
const FIRST: usize = 32;
/// Frames shown after the gap.
const LAST: usize = 8;
/// Most frames walked to find the last ones: enough for any default stack.
const STEPS_MAXIMUM: usize = 400_000;
/// Words above the innermost frame that are searched for a return address.
const SEARCHED_WORDS: u64 = 64;
/// Symbol of musl to which signal handlers return.
const RESTORER: &str = "__restore_rt";
/// Longest frame that a frame pointer may span to be accepted.
const FRAME_MAXIMUM: u64 = 16 << 20;

/// A code address of the stack, as a guest address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call {
    /// Address at which the function runs, or continues when its callee returns.
    pub address: u64,
    /// True if `address` follows a call or trap, which then is the current instruction of the function.
    pub returning: bool,
    /// True if the call was found by a search of the stack only.
    pub guessed: bool,
}

impl Call {
    /// Address to look up: inside the call instruction, because the call may be the last instruction of its function.
    pub fn instruction(&self) -> u64 {
        self.address.wrapping_sub(u64::from(self.returning))
    }
}

/// The walked stack.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Stack {
    /// Calls, innermost first.
    pub first: Vec<Call>,
    /// Number of calls left out after `first`.
    pub omitted: usize,
    /// Outermost calls, after the gap.
    pub last: Vec<Call>,
    /// Reason why the walk ended before the outermost function.
    pub broken: Option<&'static str>,
}

/// Walks the stack from `start` with these registers. `bias` is the offset to add to
/// an address in the file to get a guest address.
pub fn walk(
    image: &Elf<'_>,
    bias: u64,
    unwinder: &mut Unwinder<'_>,
    registers: &Registers,
    start: Call,
    read: &mut ReadGuest<'_>,
) -> Stack {
    let code = Code { image, bias };
    let mut frame = Frame { pc: registers.pc(), registers: numbered(registers).map(Some) };
    let mut call = start;
    let mut calls = Calls::default();
    calls.push(call);
    let restorer = image.symbol_named(RESTORER).map(|(address, _)| address.wrapping_add(bias));
    let broken = loop {
        if calls.count >= STEPS_MAXIMUM {
            break Some("it is too deep to follow to its end");
        }
        let within = call.instruction().wrapping_sub(bias);
        let step = match code.contains(call.instruction()) {
            _ if restorer == Some(frame.pc) => interrupted(&frame, read).ok_or(End::Broken),
            true => unwinder.step(&frame, within, read),
            false => Err(End::Unknown),
        };
        let (caller, next) = match step {
            Err(End::Bottom) => break None,
            Ok((caller, interrupted)) => {
                let returning = !interrupted && restorer != Some(caller.pc);
                (caller, Call { address: caller.pc, returning, guessed: false })
            }
            Err(End::Broken) => break Some("a frame's saved registers cannot be read"),
            Err(End::Unknown) => match code.guess(&frame, calls.count == 1, read) {
                Some((caller, guessed)) => (caller, Call { address: caller.pc, returning: true, guessed }),
                // The first code of a program clears the frame pointer, to mark where the stack begins (System V ABI, 3.4.1).
                None if calls.count > 1 && frame.registers[FRAME_POINTER] == Some(0) => break None,
                None if calls.count == 1 => break Some("nothing says who called this"),
                None => break Some("no call frame information leads further"),
            },
        };
        if (caller.pc, caller.registers[STACK_POINTER]) == (frame.pc, frame.registers[STACK_POINTER]) {
            // The start of a thread looks like this, with the frame pointer cleared as at the start of a program.
            break if frame.registers[FRAME_POINTER] == Some(0) { None } else { Some("a frame is its own caller") };
        }
        if !code.contains(next.instruction()) {
            break Some("the next return address is outside the image");
        }
        (frame, call) = (caller, next);
        calls.push(call);
    };
    calls.finish(broken)
}

/// Returns the frame that a signal handler interrupted, when the handler is about to return to its
/// restorer: the stack pointer is at Linux's `struct ucontext`.
fn interrupted(frame: &Frame, read: &mut ReadGuest<'_>) -> Option<Caller> {
    let start = frame.registers[STACK_POINTER]?.checked_add(SIGNAL_FRAME_HEAD * 8)?;
    let mut caller = Frame::default();
    for (number, address) in SIGNAL_FRAME.into_iter().zip((start..).step_by(8)) {
        caller.registers[number] = read(address);
    }
    caller.pc = read(start.checked_add(8 * COUNT as u64)?)?;
    Some((caller, true))
}

/// Collects calls, keeping the first and the last ones.
#[derive(Default)]
struct Calls {
    first: Vec<Call>,
    last: VecDeque<Call>,
    count: usize,
}

impl Calls {
    fn push(&mut self, call: Call) {
        self.count += 1;
        if self.first.len() < SHOWN_MAXIMUM {
            return self.first.push(call);
        }
        self.last.push_back(call);
        if self.last.len() > LAST {
            self.last.pop_front();
        }
    }

    fn finish(mut self, broken: Option<&'static str>) -> Stack {
        if self.last.is_empty() {
            return Stack { first: self.first, omitted: 0, last: Vec::new(), broken };
        }
        // The rest of the first calls may be among the last ones: the gap never ends before them.
        let middle = self.first.split_off(FIRST);
        let last: Vec<Call> = middle.into_iter().chain(self.last).rev().take(LAST).collect();
        let omitted = self.count - self.first.len() - last.len();
        Stack { first: self.first, omitted, last: last.into_iter().rev().collect(), broken }
    }
}

/// The image's code, by guest addresses.
struct Code<'c, 'd> {
    image: &'c Elf<'d>,
    bias: u64,
}

impl Code<'_, '_> {
    fn contains(&self, address: u64) -> bool {
        address >= self.bias && self.image.executable(address - self.bias)
    }

    /// Returns the caller of a frame without call frame information, and true if the caller is only likely.
    fn guess(&self, frame: &Frame, innermost: bool, read: &mut ReadGuest<'_>) -> Option<(Frame, bool)> {
        let mut found = None;
        if innermost {
            // Innermost frame: a function that has pushed nothing, the gate, or the target of a wild pointer.
            found = self.at(frame, 0, read).map(|caller| (caller, false));
            found = found.or_else(|| self.system_call(frame).map(|caller| (caller, false)));
        }
        found = found.or_else(|| self.behind_frame_pointer(frame, read).map(|caller| (caller, false)));
        if innermost {
            found = found.or_else(|| (1..SEARCHED_WORDS).find_map(|word| Some((self.at(frame, word, read)?, true))));
        }
        found
    }

    /// Returns the caller if its return address is `word` words above the stack pointer.
    fn at(&self, frame: &Frame, word: u64, read: &mut ReadGuest<'_>) -> Option<Frame> {
        let slot = frame.registers[STACK_POINTER]?.checked_add(word * 8)?;
        let pc = read(slot).filter(|pc| self.follows_call(*pc))?;
        let mut caller = Frame { pc, ..*frame };
        caller.registers[STACK_POINTER] = Some(slot.checked_add(8)?);
        Some(caller)
    }

    /// Returns the caller by the convention that a frame pointer points to the caller's, below the return address.
    fn behind_frame_pointer(&self, frame: &Frame, read: &mut ReadGuest<'_>) -> Option<Frame> {
        let (sp, fp) = (frame.registers[STACK_POINTER]?, frame.registers[FRAME_POINTER]?);
        if fp % 8 != 0 || fp.checked_sub(sp)? > FRAME_MAXIMUM {
            return None;
        }
        let pc = read(fp.checked_add(8)?).filter(|pc| self.follows_call(*pc))?;
        let mut caller = Frame { pc, ..*frame };
        caller.registers[FRAME_POINTER] = read(fp);
        caller.registers[STACK_POINTER] = Some(fp.checked_add(16)?);
        Some(caller)
    }

    /// Returns the program's side of a system call that has just trapped.
    fn system_call(&self, frame: &Frame) -> Option<Frame> {
        let [pc, stack] = TRAPPED.map(|number| frame.registers[number]);
        let instruction = self.before(pc?)?;
        if frame.registers[STACK_POINTER] != Some(0) || instruction != call_site::SYSTEM_CALL {
            return None;
        }
        let mut caller = Frame { pc: pc?, ..*frame };
        caller.registers[STACK_POINTER] = stack;
        Some(caller)
    }

    fn before<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let within = address.checked_sub(self.bias)?;
        self.image.executable(within.checked_sub(1)?).then(|| self.image.bytes_before(within))?
    }

    /// Returns true if the instruction before `address` is a call.
    fn follows_call(&self, address: u64) -> bool {
        self.before(address).is_some_and(|bytes| call_site::ends_with_call(&bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn collect(count: u64) -> Stack {
        let mut calls = Calls::default();
        for address in 0..count {
            calls.push(Call { address, returning: true, guessed: false });
        }
        calls.finish(None)
    }

    #[test]
    fn a_long_stack_shows_both_ends() {
        let short = collect(128);
        assert_eq!((short.first.len(), short.omitted, short.last.len()), (128, 0, 0));
        for count in [129, 135, 136, 137, 100_000] {
            let long = collect(count);
            assert_eq!((long.first.len(), long.last.len()), (FIRST, LAST));
            assert_eq!(long.omitted as u64, count - 40);
            assert_eq!(long.last[LAST - 1].address, count - 1);
            assert_eq!(long.last[0].address, count - 8);
        }
    }
}
