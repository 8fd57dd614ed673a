//! The guest as its tender knows it, whatever the target: its memory, its devices, and the answers to its calls.

use crate::clock::Clock;
use crate::devices::console::{self, Console};
use crate::devices::service::Service;
use crate::fault::Fault;
use crate::guest_signals::GuestSignals;
use crate::memory::{Claim, Memory};
use crate::signals;
use crate::statistics::Statistics;
use crate::time::monotonic_ns;
use husk_abi::call::{News, Number, Status, Waited};
use husk_abi::memory::{LARGE_PAGE, PAGE, Rights};
use std::ptr::NonNull;
use std::sync::Arc;

/// Longest message of a panic, in bytes.
const MESSAGE_MAXIMUM: u64 = 4096;

/// One guest.
#[derive(Debug)]
pub struct Guest {
    /// Its memory.
    pub memory: Arc<Memory>,
    /// Its clock page.
    pub clock: Clock,
    /// Where it is told of signals, if it takes any.
    pub signals: Option<GuestSignals>,
    /// What it has done so far.
    pub statistics: Statistics,
    /// Where it prints.
    pub console: Console,
    /// What serves its devices, if it has some.
    pub service: Option<Service>,
}

/// What follows a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// The guest goes on, with this in its result register.
    Resume(u64),
    /// The call is to be answered once more, when the signal that came in between has had its effect.
    Again,
    /// It ends with this exit status.
    Exit(u8),
    /// It goes on when so many bytes of its heap are attached, which are no more than it has.
    Attach(u64),
    /// It goes on when the image file can be read.
    AttachImage,
    /// It goes on when it does not have these pages of the sparse region or the heap any more.
    Release(Claim),
    /// It goes on, and is told how much memory is left for it.
    Room,
    /// It goes on, and turns of its threads are to end.
    Tick,
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
            Number::Wait => self.wait(a, News::from_bits_truncate(b), c != 0)?,
            Number::Protect => self.protect(a, b, c)?,
            Number::Discard if self.is_unmapped(a, b, c) => match pages(a, b) {
                Some(claim) => {
                    self.memory.pages(claim)?;
                    return Ok(Next::Release(claim));
                }
                None => Err(Status::Invalid),
            },
            Number::Discard => self.discard(a, b, c)?,
            Number::Room => return Ok(Next::Room),
            Number::Tick => return Ok(Next::Tick),
            Number::Panic => return Err(self.panic(a, b)?),
            Number::Attach if a <= self.memory.layout().heap.length => return Ok(Next::Attach(a)),
            Number::AttachImage if self.memory.layout().image_file.length > 0 => return Ok(Next::AttachImage),
            Number::Attach | Number::AttachImage => Err(Status::Invalid),
            Number::Deadlock => return Err(Fault::Deadlock),
            Number::Abort => return Err(Fault::Signal(a as u8 & 63)),
            Number::Notice => {
                self.statistics.notice(a, b);
                Ok(0)
            }
            Number::Time => {
                self.clock.ask();
                Ok(0)
            }
            Number::Unanswered => {
                self.statistics.unanswered(a);
                Ok(0)
            }
        };
        Ok(match answer {
            Err(Status::Interrupted) if self.signals.is_none() => Next::Again,
            answer => Next::Resume(Status::encode(answer)),
        })
    }

    /// Whether a signal has arrived of which the guest does not know.
    pub fn signals_pending(&self) -> bool {
        pending(self.signals.as_ref())
    }

    fn console_write(&mut self, stream: u64, address: u64, length: u64) -> Result<Answer, Fault> {
        let from = self.claim(address, length, Rights::READ)?;
        self.statistics.output();
        let Self { console, signals: posted, .. } = self;
        let interrupted = || pending(posted.as_ref());
        Ok(from.map_or(Ok(0), |from| console.write(stream, from, length, interrupted)))
    }

    fn console_read(&mut self, address: u64, length: u64) -> Result<Answer, Fault> {
        let into = self.claim(address, length, Rights::READ | Rights::WRITE)?;
        Ok(into.map_or(Ok(0), |into| console::read(into, length, || self.signals_pending())))
    }

    fn wait(&mut self, deadline_ns: u64, wanted: News, measure: bool) -> Result<Answer, Fault> {
        let begun_ns = if measure { monotonic_ns() } else { 0 };
        let mut news = News::empty();
        if self.signals_pending() {
            // The guest hears of the signal first, and asks again. It counts on having rung.
            if let Some(service) = &self.service {
                service.bells().ring();
            }
        } else {
            news = self.wait_for(wanted, deadline_ns)?;
        }
        let inside_ns = if measure { monotonic_ns().saturating_sub(begun_ns).max(1) } else { 0 };
        Ok(Ok(Waited { news, inside_ns }.encode()))
    }

    fn wait_for(&self, wanted: News, deadline_ns: u64) -> Result<News, Fault> {
        let input = wanted.contains(News::INPUT);
        if let Some(service) = self.service.as_ref().filter(|_| wanted.contains(News::DEVICES)) {
            return service.wait(input, deadline_ns);
        }
        let mut files = [signals::input(input)];
        signals::wait(&mut files, deadline_ns);
        Ok(if files[0].revents != 0 { News::INPUT } else { News::empty() })
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

    /// Whether pages that are discarded are taken from the guest's page tables, too, so that the next touch is seen: those
    /// of the sparse region, and large pieces of the heap.
    fn is_unmapped(&self, address: u64, length: u64, kept: u64) -> bool {
        let is_large = length >= LARGE_PAGE && kept == 0 && self.memory.layout().heap.contains(address);
        is_large || self.memory.sparse().region().contains(address)
    }

    fn discard(&mut self, address: u64, length: u64, kept: u64) -> Result<Answer, Fault> {
        let Some(claim) = pages(address, length) else { return Ok(Err(Status::Invalid)) };
        let result = self.memory.discard(claim, kept)?;
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
            _ => Ok(Some(self.memory.check_with_sparse(Claim { address, length }, rights)?)),
        }
    }
}

/// Whether a signal has arrived of which a guest with this record does not know.
fn pending(posted: Option<&GuestSignals>) -> bool {
    signals::any() || posted.is_some_and(GuestSignals::pending)
}

/// A claim of whole pages, if these are some.
fn pages(address: u64, length: u64) -> Option<Claim> {
    (address.is_multiple_of(PAGE) && length.is_multiple_of(PAGE) && length > 0).then_some(Claim { address, length })
}
