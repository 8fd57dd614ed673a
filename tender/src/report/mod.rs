//! Report on a guest: what stopped it, the place in its source, the calls that led
//! there, the registers; and the state of its threads.
//!
//! The guest carries no symbols; they come from the image file on the host, or from a `.debug` file found by its build-id. This
//! code runs only after something went wrong, when nothing is trusted: the image file, the debug file and the guest's memory
//! are read as claims, with bounds on memory (`elf`), on work (`reader`) and on the depth of the stack (`stack`). Data that
//! makes no sense costs lines of the report, never the report.

pub mod access;
mod debug_file;
mod elf;
pub(crate) mod names;
pub mod place;
mod reader;
mod show;
mod source;
mod stack;
mod symbols;
mod text;
pub mod threads;
mod unwind;

pub use debug_file::DebugFiles;
use show::Backtrace;
pub use show::Report;
pub use unwind::ReadGuest;

use crate::arch::registers::Registers;
use crate::report::threads::Thread;
use access::Access;
use elf::{Bytes, Elf};
use husk_abi::stub;
use place::Place;
use reader::Budget;
use stack::{Call, Stack};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use std::sync::Arc;
use symbols::Symbols;
use unwind::Unwinder;

/// Reads of debug information per report: well under a second, and several times the number that a
/// large program with full debug information takes.
const READS_MAXIMUM: u64 = 64 << 20;

/// State of a guest at the instruction that stopped it.
#[derive(Clone, Debug)]
pub struct Stop {
    /// Address of the refused access, if there was one.
    pub access: Option<Access>,
    /// The registers.
    pub registers: Registers,
    /// True if the program counter is past the instruction that stopped the guest, as after a breakpoint.
    pub past: bool,
    /// Name of the thread that stopped, if there are several.
    pub thread: Option<String>,
}

/// Input of a report.
pub struct ReportRequest<'a> {
    /// Reason for which the guest stopped, if it did: one line ([`crate::arch::exception::describe`] has words for exceptions)
    /// or, for a message of the guest itself, a few.
    pub what: Option<String>,
    /// State at the instruction that stopped the guest, if there was one.
    pub stop: Option<Stop>,
    /// Threads to report.
    pub threads: &'a [Thread],
    /// Path of the image file.
    pub image: &'a Path,
    /// Image file, as it was opened to load the image.
    pub file: &'a Arc<File>,
    /// Offset to add to an address in the file to get a guest address.
    pub load_bias: u64,
    /// The guest's address space.
    pub map: &'a [Place],
    /// Reads 8 bytes of the guest's memory; `None` for other addresses.
    pub read_guest: &'a mut ReadGuest<'a>,
    /// Possible debug files of the image, if they were opened before; else they are opened now.
    pub debug_files: Option<&'a DebugFiles>,
}

impl ReportRequest<'_> {
    /// Makes the report. Takes up to a few seconds for a hostile image; else milliseconds.
    #[cold]
    pub fn report(mut self) -> Report {
        let image = Bytes::new(Arc::clone(self.file));
        let image = Elf::parse(&image);
        let stop = self.stop.take();
        let mut report = Report::new(self.what.take(), stop.clone());
        let Some(image) = image else {
            report.address = stop.as_ref().and_then(|stop| self.address(stop, None));
            report.note(format!("{} can no longer be read as an image: no names", self.image.display()));
            return report;
        };
        let mut debug_file = debug_file::Search::default();
        if !image.has(".debug_info")
            && let Some(build_id) = image.build_id()
        {
            debug_file = match self.debug_files {
                Some(opened) => opened.search(build_id),
                None => DebugFiles::open(self.image, build_id, None).search(build_id),
            };
        }
        let debug_bytes = debug_file.file.take().map(Bytes::new);
        let debug = debug_bytes.as_ref().and_then(Elf::parse);
        let budget = Budget::new(READS_MAXIMUM);
        let mut unwinder = Unwinder::new(&image, debug.as_ref(), &budget);
        let mut walk =
            |request: &mut Self, registers, past| request.walk(&image, debug.as_ref(), &mut unwinder, registers, past);
        let stopped = stop.as_ref().map(|stop| {
            let pc = stop.registers.pc();
            if let Some(site) = self.moved_from(&image, debug.as_ref(), pc) {
                report.note(format!("{pc:#x} is a stub: its instruction was moved there from {site:#x}"));
            }
            walk(&mut self, stop.registers, stop.past)
        });
        let threads: Vec<_> = self.threads.iter().map(|thread| walk(&mut self, thread.registers, false)).collect();
        let access = stop.as_ref().and_then(|stop| stop.access);
        let mut addresses: Vec<u64> = stopped
            .iter()
            .chain(&threads)
            .flat_map(|stack| stack.first.iter().chain(&stack.last))
            .map(|call| self.in_file(call.instruction()))
            .collect();
        addresses.extend(access.map(|access| self.in_file(access.address)));
        let symbols = Symbols::find(&image, debug.as_ref(), addresses, &budget);
        report.address = stop.as_ref().and_then(|stop| self.address(stop, Some(&symbols)));
        report.calls = stopped.map(|stack| self.backtrace(&stack, &symbols)).unwrap_or_default();
        let backtraces = threads.iter().map(|stack| self.backtrace(stack, &symbols));
        report.threads = self.threads.iter().map(Thread::to_string).zip(backtraces).collect();
        report.explain_symbols(self.image, &image, debug.as_ref(), &debug_file, &budget);
        report
    }

    /// Describes the address at which the guest stopped.
    fn address(&mut self, stop: &Stop, symbols: Option<&Symbols>) -> Option<String> {
        let sp = stop.registers.sp();
        let thread = stop.thread.as_deref().unwrap_or("a thread");
        match stop.access {
            Some(access) => {
                let symbol = symbols.and_then(|symbols| symbols.data(self.in_file(access.address)));
                Some(place::describe(access, self.map, symbol.as_deref(), sp, thread))
            }
            None => place::describe_stack(self.map, sp, thread, self.read_guest),
        }
    }

    fn backtrace(&self, stack: &Stack, symbols: &Symbols) -> Backtrace {
        let show = |call: &Call| {
            show::Shown::new(call, self.load_bias, symbols.frames(self.in_file(call.instruction())), self.map)
        };
        Backtrace {
            first: stack.first.iter().map(show).collect(),
            omitted: stack.omitted,
            last: stack.last.iter().map(show).collect(),
            broken: stack.broken,
        }
    }

    fn in_file(&self, address: u64) -> u64 {
        address.wrapping_sub(self.load_bias)
    }

    /// Returns the original address of the instruction at `pc`, if the linker step moved it into a stub.
    fn moved_from(&self, image: &Elf<'_>, debug: Option<&Elf<'_>>, pc: u64) -> Option<u64> {
        let (area, size) = image.symbol_named(stub::AREA).or_else(|| debug?.symbol_named(stub::AREA))?;
        let offset = self.in_file(pc).checked_sub(area).filter(|offset| *offset < size)?;
        let within = offset % stub::SIZE as u64;
        let start = area.checked_add(offset - within)?;
        let bytes = image.bytes_before(start.checked_add(stub::SIZE as u64)?)?;
        let site = stub::original(start, &bytes, within as usize)?;
        Some(site.wrapping_add(self.load_bias))
    }

    fn walk<'d>(
        &mut self,
        image: &Elf<'d>,
        debug: Option<&Elf<'d>>,
        unwinder: &mut Unwinder<'d>,
        mut registers: Registers,
        past: bool,
    ) -> Stack {
        let pc = self.moved_from(image, debug, registers.pc()).unwrap_or(registers.pc());
        registers.set_pc(pc);
        let start = Call { address: pc, returning: past, guessed: false };
        let walk = || stack::walk(image, self.load_bias, unwinder, &registers, start, self.read_guest);
        catch_panic(walk).unwrap_or_else(|| Stack {
            first: vec![start],
            broken: Some("its call frame information is damaged"),
            ..Stack::default()
        })
    }
}

/// Runs code that reads an untrusted file through a library. Libraries sometimes lack a check (an addition that overflows
/// panics in debug builds): then a part of the report is missing, which is better than all of it.
fn catch_panic<T>(read: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok()
}
