//! The guest as its tender knows it, whatever the target: its memory, its devices, and the answers to its calls.

use crate::clock::{self, Clock};
use crate::devices::console;
use crate::fault::Fault;
use crate::memory::{Claim, Memory};
use crate::statistics::Statistics;
use husk_abi::call::{Number, Status};
use husk_abi::memory::{PAGE, Rights};
use std::ptr::NonNull;

/// Longest message of a panic, in bytes.
const MESSAGE_MAXIMUM: u64 = 4096;

/// One guest.
#[derive(Debug)]
pub struct Guest {
    /// Its memory.
    pub memory: Memory,
    /// Its clock page.
    pub clock: Clock,
    /// What it has done so far.
    pub statistics: Statistics,
}

/// What follows a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The guest goes on, with this in its result register.
    Resume(u64),
    /// It ends with this exit status.
    Exit(u8),
    /// It goes on when so many bytes of its heap are attached, which are no more than it has.
    Attach(u64),
    /// It goes on when the image file can be read.
    AttachImage,
}

/// Outcome of a call that always comes back: a value, or an ordinary "no".
type Answer = Result<u64, Status>;

impl Guest {
    /// Answers the call `number`. Arguments are in the order of [`husk_abi::call`]; those it does not take are ignored.
    pub fn answer(&mut self, number: u64, [a, b, c, _]: [u64; 4]) -> Result<Next, Fault> {
        let number = Number::from_raw(number).ok_or(Fault::NoSuchCall(number))?;
        self.statistics.count(number);
        let answer = match number {
            Number::ConsoleWrite => self.console_write(a, b, c)?,
            Number::ConsoleRead => self.console_read(a, b)?,
            Number::Exit => return Ok(Next::Exit(a as u8)),
            Number::Wait => self.wait(a),
            Number::Protect => self.protect(a, b, c)?,
            Number::Discard => self.discard(a, b)?,
            Number::Panic => return Err(self.panic(a, b)?),
            Number::Attach if a <= self.memory.layout().heap.length => return Ok(Next::Attach(a)),
            Number::AttachImage if self.memory.layout().image_file.length > 0 => return Ok(Next::AttachImage),
            Number::Attach | Number::AttachImage => Err(Status::Invalid),
            Number::Unanswered => {
                self.statistics.unanswered(a);
                Ok(0)
            }
        };
        Ok(Next::Resume(Status::encode(answer)))
    }

    fn console_write(&mut self, stream: u64, address: u64, length: u64) -> Result<Answer, Fault> {
        let from = self.claim(address, length, Rights::READ)?;
        self.statistics.output();
        Ok(from.map_or(Ok(0), |from| console::write(stream, from, length)))
    }

    fn console_read(&mut self, address: u64, length: u64) -> Result<Answer, Fault> {
        let into = self.claim(address, length, Rights::READ | Rights::WRITE)?;
        let answer = into.map_or(Ok(0), |into| console::read(into, length));
        self.clock.correct();
        Ok(answer)
    }

    fn wait(&mut self, deadline_ns: u64) -> Answer {
        clock::sleep_until(deadline_ns);
        self.clock.correct();
        Ok(0)
    }

    fn protect(&mut self, address: u64, length: u64, rights: u64) -> Result<Answer, Fault> {
        let Some(rights) = Rights::from_bits(rights)
            .filter(|rights| rights.is_empty() || *rights == Rights::READ || *rights == Rights::READ | Rights::WRITE)
        else {
            return Ok(Err(Status::Invalid));
        };
        let Some(claim) = pages(address, length) else { return Ok(Err(Status::Invalid)) };
        let result = self.memory.protect(claim, rights)?;
        Ok(result.map(|()| 0).map_err(|_| Status::NoMemory))
    }

    fn discard(&mut self, address: u64, length: u64) -> Result<Answer, Fault> {
        let Some(claim) = pages(address, length) else { return Ok(Err(Status::Invalid)) };
        let result = self.memory.discard(claim)?;
        Ok(result.map(|()| 0).map_err(|_| Status::NoMemory))
    }

    fn panic(&self, address: u64, length: u64) -> Result<Fault, Fault> {
        let length = length.min(MESSAGE_MAXIMUM);
        self.memory.check(Claim { address, length }, Rights::READ)?;
        let words = (0..length.div_ceil(8)).map_while(|word| self.memory.peek(address + word * 8));
        let mut message: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        message.truncate(length as usize);
        Ok(Fault::Panic(String::from_utf8_lossy(&message).into_owned()))
    }

    /// Checks a claim; nothing if it is empty, wherever it points.
    fn claim(&self, address: u64, length: u64, rights: Rights) -> Result<Option<NonNull<u8>>, Fault> {
        match length {
            0 => Ok(None),
            _ => self.memory.check(Claim { address, length }, rights).map(Some),
        }
    }
}

/// A claim of whole pages, if these are some.
fn pages(address: u64, length: u64) -> Option<Claim> {
    (address.is_multiple_of(PAGE) && length.is_multiple_of(PAGE) && length > 0).then_some(Claim { address, length })
}
