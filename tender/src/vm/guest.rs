//! The guest as its tender sees it on any target: memory, devices, and the answers to its calls.

use crate::devices::console::Console;
use crate::devices::device_loop::DeviceLoop;
use crate::host::signals;
use crate::host::time::monotonic_ns;
use crate::host_files::HostFiles;
use crate::memory::{Claim, Memory};
use crate::vm::clock::Clock;
use crate::vm::fault::Fault;
use crate::vm::guest_signals::GuestSignals;
use crate::vm::guest_streams::Streams;
use crate::vm::preemption::Preemption;
use crate::vm::statistics::Statistics;
use crate::vm::target::Vm;
use husk_abi::call::{News, Number, POPULATED_MAXIMUM, Status, Waited};
use husk_abi::host_file;
use husk_abi::memory::{LARGE_PAGE, PAGE, Rights};
use std::ptr::NonNull;
use std::sync::Arc;

/// Longest message of a panic, in bytes.
const MESSAGE_MAXIMUM: u64 = 4096;

/// A guest.
#[derive(Debug)]
pub struct Guest {
    /// Guest memory as the processors see it.
    pub vm: Box<dyn Vm>,
    /// Guest memory as the host sees it.
    pub memory: Arc<Memory>,
    /// Clock page of the guest.
    pub clock: Clock,
    /// Record of pending signals in guest memory, if the guest takes signals.
    pub signals: Option<GuestSignals>,
    /// Statistics of the run so far.
    pub statistics: Statistics,
    /// Console that the guest prints to.
    pub console: Console,
    /// Standard streams behind the console.
    pub streams: Streams,
    /// Files of the host that the guest may read.
    pub host_files: HostFiles,
    /// Loop that serves the devices, if the guest has some.
    pub device_loop: Option<DeviceLoop>,
}

/// What follows a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reply {
    /// The guest resumes, with this value in its result register.
    Resume(u64),
    /// The call is answered once more, after the signal that arrived in between has taken effect.
    Again,
    /// The guest ends with this exit status.
    Exit(u8),
}

/// Outcome of a call that always returns: a value, or an ordinary "no".
pub(super) type Answer = Result<u64, Status>;

impl Guest {
    /// Answers the call `number` of a processor with this `preemption`. Arguments are in the order of [`husk_abi::call`]; surplus
    /// ones are ignored.
    pub fn answer(
        &mut self,
        preemption: Option<&mut Preemption>,
        number: u64,
        [a, b, c, d]: [u64; 4],
    ) -> Result<Reply, Fault> {
        let number = Number::from_raw(number).ok_or(Fault::NoSuchCall(number))?;
        self.statistics.count(number);
        let answer = match number {
            Number::ConsoleWrite => self.console_write(a, b, c)?,
            Number::ConsoleRead => self.console_read(a, b)?,
            Number::Exit => return Ok(Reply::Exit(a as u8)),
            Number::Wait => self.wait(a, News::from_bits_truncate(b), c != 0)?,
            Number::Protect => self.protect(a, b, c)?,
            Number::Discard => self.discard(a, b, c)?,
            Number::Populated => self.populated(a, b, c)?,
            Number::AvailableMemory => Ok(self.vm.available_memory()),
            Number::Tick => {
                preemption.into_iter().for_each(Preemption::tick);
                Ok(0)
            }
            Number::Panic => return Err(self.panic(a, b)?),
            Number::GrowHeap if a <= self.memory.layout().heap.length => self.vm.grow_heap(a),
            Number::AttachImage if self.memory.layout().image_file.length > 0 => self.vm.attach_image(),
            Number::GrowHeap | Number::AttachImage => Err(Status::Invalid),
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
            Number::HostFile => self.host_file(Claim { address: a, length: b }, Claim { address: c, length: d })?,
            Number::Terminal => self.terminal([a, b, c, d])?,
            Number::InputSeek => self.input_seek(a, b),
            Number::Unanswered => {
                self.statistics.unanswered(a);
                Ok(0)
            }
        };
        Ok(match answer {
            Err(Status::Interrupted) if self.signals.is_none() => Reply::Again,
            answer => Reply::Resume(Status::encode(answer)),
        })
    }

    /// Returns true if a signal has arrived that the guest has not taken.
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
        Ok(into.map_or(Ok(0), |into| self.console.read(into, length, || self.signals_pending())))
    }

    fn wait(&mut self, deadline_ns: u64, wanted: News, measure: bool) -> Result<Answer, Fault> {
        let begun_ns = if measure { monotonic_ns() } else { 0 };
        let mut news = News::empty();
        if self.signals_pending() {
            // A signal is pending: return without waiting. Wait also counts as a doorbell, so ring it here.
            if let Some(device_loop) = &self.device_loop {
                device_loop.notifier().ring();
            }
        } else {
            news = self.wait_for(wanted, deadline_ns)?;
        }
        let inside_ns = if measure { monotonic_ns().saturating_sub(begun_ns).max(1) } else { 0 };
        Ok(Ok(Waited { news, inside_ns }.encode()))
    }

    fn wait_for(&self, wanted: News, deadline_ns: u64) -> Result<News, Fault> {
        let input = wanted.contains(News::INPUT);
        if let Some(device_loop) = self.device_loop.as_ref().filter(|_| wanted.contains(News::DEVICES)) {
            return device_loop.wait(input, deadline_ns);
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

    /// Returns true if discarded pages are also removed from the guest's page tables, so that the next touch is seen: pages
    /// of the sparse region, and large pieces of the heap.
    fn is_unmapped(&self, address: u64, length: u64, kept: u64) -> bool {
        let is_large = length >= LARGE_PAGE && kept == 0 && self.memory.layout().heap.contains(address);
        is_large || self.memory.sparse().region().contains(address)
    }

    fn discard(&mut self, address: u64, length: u64, kept: u64) -> Result<Answer, Fault> {
        let Some(claim) = pages(address, length) else { return Ok(Err(Status::Invalid)) };
        let mut kept = kept;
        if self.is_unmapped(address, length, kept) {
            self.memory.pages(claim)?;
            self.vm.release(claim);
            kept = 0;
        }
        let result = self.memory.discard(claim, kept)?;
        Ok(result.map(|()| 0).map_err(|_| Status::NoMemory))
    }

    /// Writes the bits of the pages that hold anything to `into`.
    fn populated(&self, address: u64, length: u64, into: u64) -> Result<Answer, Fault> {
        let Some(claim) = pages(address, length).filter(|_| (PAGE..=POPULATED_MAXIMUM).contains(&length)) else {
            return Ok(Err(Status::Invalid));
        };
        let Some(bits) = self.memory.populated(claim)? else { return Ok(Err(Status::InputOutput)) };
        let room = self.claim(into, bits.len() as u64, Rights::READ | Rights::WRITE)?;
        let is_written = room.is_some_and(|room| self.memory.put(room, &bits));
        Ok(if is_written { Ok(0) } else { Err(Status::InputOutput) })
    }

    /// Copies what lies at the path in `path` to `into`, if there is room for all of it.
    fn host_file(&self, path: Claim, into: Claim) -> Result<Answer, Fault> {
        if path.length > host_file::PATH_MAXIMUM || self.claim(path.address, path.length, Rights::READ)?.is_none() {
            return Ok(Err(Status::Invalid));
        }
        let room = self.claim(into.address, into.length, Rights::READ | Rights::WRITE)?;
        let path = self.memory.bytes(path).unwrap_or_default();
        let (kind, bytes) = match self.host_files.read(&path) {
            Ok(found) => found,
            Err(status) => return Ok(Err(status)),
        };
        let length = bytes.len() as u32;
        match room.filter(|_| u64::from(length) <= into.length) {
            Some(room) if !self.memory.put(room, &bytes) => Ok(Err(Status::InputOutput)),
            _ => Ok(Ok(host_file::Answer { kind, length }.encode())),
        }
    }

    fn panic(&self, address: u64, length: u64) -> Result<Fault, Fault> {
        let length = length.min(MESSAGE_MAXIMUM);
        self.memory.check(Claim { address, length }, Rights::READ)?;
        let words = (0..length.div_ceil(8)).map_while(|word| self.memory.peek(address + word * 8));
        let mut message: Vec<u8> = words.flat_map(u64::to_ne_bytes).collect();
        message.truncate(length as usize);
        Ok(Fault::Panic(String::from_utf8_lossy(&message).into_owned()))
    }

    /// Checks a claim; nothing for an empty one, at any address.
    pub(super) fn claim(&self, address: u64, length: u64, rights: Rights) -> Result<Option<NonNull<u8>>, Fault> {
        match length {
            0 => Ok(None),
            _ => Ok(Some(self.memory.check_with_sparse(Claim { address, length }, rights)?)),
        }
    }
}

/// Returns true if a signal has arrived that a guest with this record has not taken.
fn pending(posted: Option<&GuestSignals>) -> bool {
    signals::any() || posted.is_some_and(GuestSignals::pending)
}

/// Returns a claim if the range is made of one or more whole pages.
fn pages(address: u64, length: u64) -> Option<Claim> {
    (address.is_multiple_of(PAGE) && length.is_multiple_of(PAGE) && length > 0).then_some(Claim { address, length })
}
