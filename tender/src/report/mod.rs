//! The report on a stopped guest: what happened, where in its source, by which calls, with which registers.
//!
//! The guest carries no symbols; they come from the image file on the host, or from a `.debug` file found by its
//! build-id. Nothing here runs before something went wrong. Then everything is in doubt: the image file, the debug
//! file and the guest's memory are read as claims, with bounds on memory (`elf`), on work (`reader`) and on the
//! depth of the stack (`stack`). What makes no sense costs lines of the report, never the report.

mod debug_file;
mod elf;
pub mod exception;
pub(crate) mod names;
pub mod place;
mod reader;
mod register;
mod show;
mod source;
mod stack;
mod symbols;
mod text;
mod unwind;

pub use show::Report;
pub use unwind::ReadGuest;

use crate::registers::Registers;
use elf::{Bytes, Elf};
use exception::Access;
use husk_abi::stub;
use place::Place;
use reader::Budget;
use stack::{Call, Stack};
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use symbols::Symbols;
use unwind::Unwinder;

/// Reads of debug information granted to one report: well under a second, and several times what a large program with
/// full debug information takes.
const READS_MAXIMUM: u64 = 64 << 20;

/// A guest that was stopped.
pub struct Stop<'a> {
    /// What happened, in one line ([`exception::describe`] has words for exceptions) or, for what a guest itself says,
    /// in a few.
    pub what: String,
    /// The address whose use was refused, if that is what happened.
    pub access: Option<Access>,
    /// The registers.
    pub registers: Registers,
    /// Path of the image file.
    pub image: &'a Path,
    /// The image file itself, as it was opened to load it.
    pub file: &'a File,
    /// What to add to an address in the file to get the guest's.
    pub load_bias: u64,
    /// The guest's address space.
    pub map: &'a [Place],
    /// Reads 8 bytes of the guest's memory, if it is the guest's.
    pub read_guest: &'a mut ReadGuest<'a>,
    /// A directory with debug files, searched before the usual ones.
    pub debug_directory: Option<&'a Path>,
}

impl Stop<'_> {
    /// Finds out where the guest stopped. Takes up to a few seconds, for a hostile image; else milliseconds.
    #[cold]
    pub fn report(mut self) -> Report {
        let image = self.file.try_clone().ok().map(Bytes::new);
        let image = image.as_ref().and_then(Elf::parse);
        let mut report = Report::bare(std::mem::take(&mut self.what), self.registers);
        let Some(image) = image else {
            report.address = self.access.map(|access| place::describe(access, self.map, None, self.registers.rsp));
            report.note(format!("{} can no longer be read as an image: no names", self.image.display()));
            return report;
        };
        let mut debug_file = debug_file::Search::default();
        if !image.has(".debug_info")
            && let Some(build_id) = image.build_id()
        {
            debug_file = debug_file::search(self.image, build_id, self.debug_directory);
        }
        let debug_bytes = debug_file.file.take().map(Bytes::new);
        let debug = debug_bytes.as_ref().and_then(Elf::parse);
        let budget = Budget::new(READS_MAXIMUM);
        if let Some(site) = self.moved_from(&image, debug.as_ref()) {
            report.note(format!("{:#x} is a stub: its instruction was moved there from {site:#x}", self.registers.rip));
            self.registers.rip = site;
        }
        let stack = self.walk(&image, debug.as_ref(), &budget);
        let mut addresses: Vec<u64> =
            stack.first.iter().chain(&stack.last).map(|call| self.in_file(call.instruction())).collect();
        addresses.extend(self.access.map(|access| self.in_file(access.address)));
        let symbols = Symbols::find(&image, debug.as_ref(), addresses, &budget);
        report.address = match self.access {
            Some(access) => {
                let symbol = symbols.data(self.in_file(access.address));
                Some(place::describe(access, self.map, symbol.as_deref(), self.registers.rsp))
            }
            None => place::describe_stack(self.map, self.registers.rsp, self.read_guest),
        };
        let show = |call: &Call| {
            show::Shown::new(call, self.load_bias, symbols.spots(self.in_file(call.instruction())), self.map)
        };
        report.calls = stack.first.iter().map(show).collect();
        report.omitted = stack.omitted;
        report.last_calls = stack.last.iter().map(show).collect();
        report.broken = stack.broken;
        report.explain_symbols(self.image, &image, debug.as_ref(), &debug_file, &budget);
        report
    }

    fn in_file(&self, address: u64) -> u64 {
        address.wrapping_sub(self.load_bias)
    }

    /// Where the instruction that stopped was, if the linker step moved it into a stub.
    fn moved_from(&self, image: &Elf<'_>, debug: Option<&Elf<'_>>) -> Option<u64> {
        let (area, size) = image.symbol_named(stub::AREA).or_else(|| debug?.symbol_named(stub::AREA))?;
        let offset = self.in_file(self.registers.rip).checked_sub(area).filter(|offset| *offset < size)?;
        let within = offset % stub::SIZE as u64;
        let start = area.checked_add(offset - within)?;
        let bytes = image.bytes_before(start.checked_add(stub::SIZE as u64)?)?;
        let site = stub::original(start, &bytes, within as usize)?;
        Some(site.wrapping_add(self.load_bias))
    }

    fn walk<'d>(&mut self, image: &Elf<'d>, debug: Option<&Elf<'d>>, budget: &'d Budget) -> Stack {
        let walk = || {
            let mut unwinder = Unwinder::new(image, debug, budget);
            stack::walk(image, self.load_bias, &mut unwinder, &self.registers, self.read_guest)
        };
        survive(walk).unwrap_or_else(|| Stack {
            first: vec![Call { address: self.registers.rip, returning: false, guessed: false }],
            broken: Some("its call frame information is damaged"),
            ..Stack::default()
        })
    }
}

/// Runs something that reads an untrusted file through a library. Libraries forget a check now and then (an addition
/// that overflows panics in debug builds): then a part of the report is missing, and that is better than all of it.
fn survive<T>(read: impl FnOnce() -> T) -> Option<T> {
    catch_unwind(AssertUnwindSafe(read)).ok()
}
