//! The report as text.

use super::Stop;
use super::debug_file;
use super::elf::Elf;
use super::place::{Kind, Place};
use super::reader::Budget;
use super::source::{Line, SourceFrame};
use super::stack::Call;
use super::text::{BOLD, Clean, PLAIN, hexadecimal};
use crate::arch::dwarf::Table;
use std::fmt;
use std::path::Path;

/// Data of a report; [`fmt::Display`] prints it in several lines.
#[derive(Default)]
pub struct Report {
    what: Option<String>,
    stop: Option<Stop>,
    colour: bool,
    notes: Vec<String>,
    /// Description of the accessed address.
    pub(super) address: Option<String>,
    /// Calls that led to the instruction that stopped the guest.
    pub(super) calls: Backtrace,
    /// State and calls of each thread.
    pub(super) threads: Vec<(String, Backtrace)>,
}

/// The calls of a stack, innermost first.
#[derive(Default)]
pub struct Backtrace {
    pub(super) first: Vec<Shown>,
    /// Number of calls left out after `first`.
    pub(super) omitted: usize,
    pub(super) last: Vec<Shown>,
    /// Reason why the list ends before the outermost call.
    pub(super) broken: Option<&'static str>,
}

/// A call with its functions, innermost first; never empty.
pub struct Shown {
    frames: Vec<SourceFrame>,
    guessed: bool,
    /// True if the call is in the image's code.
    code: bool,
}

impl Shown {
    pub(super) fn new(call: &Call, load_bias: u64, mut frames: Vec<SourceFrame>, map: &[Place]) -> Self {
        let place = map.iter().find(|place| place.region.contains(call.address));
        let code = place.is_some_and(|place| place.kind == Kind::Image);
        if frames.is_empty() {
            frames.push(SourceFrame::default());
        }
        if let Some(SourceFrame { function: function @ None, .. }) = frames.last_mut() {
            *function = Some(match place {
                Some(_) if code => format!("image+{:#x}", call.address.wrapping_sub(load_bias)),
                Some(place) => format!("{:#x} in {place}", call.address),
                None => format!("{:#x}, which is in no part of the guest's memory", call.address),
            });
        }
        Self { frames, guessed: call.guessed, code }
    }
}

impl Report {
    pub(super) fn new(what: Option<String>, stop: Option<Stop>) -> Self {
        Self { what, stop, ..Self::default() }
    }

    /// Marks the important parts for a terminal.
    #[must_use]
    pub fn with_colour(self, colour: bool) -> Self {
        Self { colour, ..self }
    }

    pub(crate) fn note(&mut self, note: String) {
        self.notes.push(note);
    }

    /// Adds where names came from, or what is missing to have names.
    pub(super) fn explain_symbols(
        &mut self,
        path: &Path,
        image: &Elf<'_>,
        debug: Option<&Elf<'_>>,
        search: &debug_file::Search,
        budget: &Budget,
    ) {
        let path = path.display();
        if let Some(found) = &search.path {
            self.note(format!("names and lines are from {}", found.display()));
        }
        let holder = debug.unwrap_or(image);
        if !image.has(".debug_info") && !holder.has(".debug_info") {
            let names = if image.has(".symtab") || holder.has(".symtab") { "no lines" } else { "no names" };
            self.note(match search.build_id.as_slice() {
                [] => format!("{names}: {path} holds no debug information and no build-id to find its debug file by"),
                build_id => {
                    let mut note =
                        format!("{names}: {path} holds no debug information, and no debug file of build-id ");
                    note += &hexadecimal(build_id);
                    note += if search.path.is_some() { " has any" } else { " is at any of" };
                    let places = search.searched.iter().filter(|_| search.path.is_none());
                    places.for_each(|place| note += &format!("\n    {}", place.display()));
                    note
                }
            });
        }
        if budget.exhausted() {
            self.note("the debug information is damaged or too large: lines may be missing".to_string());
        }
    }

    fn style(&self, style: &'static str) -> &'static str {
        if self.colour { style } else { "" }
    }

    fn what(&self, f: &mut fmt::Formatter<'_>, what: &str) -> fmt::Result {
        let (red, plain) = (self.style(RED), self.style(PLAIN));
        let mut lines = what.lines();
        writeln!(f, "husk: the guest stopped: {red}{}{plain}", Clean(lines.next().unwrap_or_default()))?;
        lines.try_for_each(|line| writeln!(f, "  {}", Clean(line)))
    }

    fn stop(&self, f: &mut fmt::Formatter<'_>, stop: &Stop) -> fmt::Result {
        let (faint, plain) = (self.style(FAINT), self.style(PLAIN));
        if let Some(call) = self.calls.first.first() {
            write!(f, "  {faint}at{plain}      {}", Where(call))?;
            let caller = self.calls.first.get(1).filter(|_| !call.code);
            caller.map_or(Ok(()), |caller| write!(f, ", called by {}", Where(caller)))?;
            writeln!(f)?;
        }
        if let Some(thread) = &stop.thread {
            writeln!(f, "  {faint}in{plain}      {}", Clean(thread))?;
        }
        if let Some(address) = &self.address {
            writeln!(f, "  {}", Clean(address))?;
        }
        self.backtrace(f, &self.calls)
    }

    fn backtrace(&self, f: &mut fmt::Formatter<'_>, calls: &Backtrace) -> fmt::Result {
        let mut number = 0;
        for call in &calls.first {
            self.frame(f, call, &mut number)?;
        }
        if calls.omitted > 0 {
            writeln!(f, "       … {} more calls …", calls.omitted)?;
            number += calls.omitted;
        }
        for call in &calls.last {
            self.frame(f, call, &mut number)?;
        }
        calls.broken.map_or(Ok(()), |broken| writeln!(f, "  the stack ends here: {broken}"))
    }

    fn frame(&self, f: &mut fmt::Formatter<'_>, call: &Shown, number: &mut usize) -> fmt::Result {
        let (bold, faint, plain) = (self.style(BOLD), self.style(FAINT), self.style(PLAIN));
        for (depth, frame) in call.frames.iter().enumerate() {
            let inlined = if depth + 1 < call.frames.len() { " (inlined)" } else { "" };
            let guessed = if call.guessed { " (a guess)" } else { "" };
            writeln!(f, "{number:>4}: {bold}{}{plain}{inlined}{guessed}", Name(frame))?;
            if let Some(line) = &frame.line {
                writeln!(f, "          {faint}at{plain} {line}")?;
            }
            *number += 1;
        }
        Ok(())
    }
}

const RED: &str = "\x1b[1;31m";
const FAINT: &str = "\x1b[2m";

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.what {
            Some(what) => self.what(f, what)?,
            None => writeln!(f, "husk: the guest's threads:")?,
        }
        self.stop.as_ref().map_or(Ok(()), |stop| self.stop(f, stop))?;
        for (thread, calls) in &self.threads {
            writeln!(f, "  {}{}{}", self.style(BOLD), Clean(thread), self.style(PLAIN))?;
            self.backtrace(f, calls)?;
        }
        for note in &self.notes {
            note.lines().try_for_each(|line| writeln!(f, "  {}", Clean(line)))?;
        }
        let Some(stop) = &self.stop else { return Ok(()) };
        writeln!(f, "  {}registers:{}", self.style(FAINT), self.style(PLAIN))?;
        write!(f, "{}", Table(&stop.registers))
    }
}

/// Displays the innermost function, and the real one that it was inlined into.
struct Where<'r>(&'r Shown);

impl fmt::Display for Where<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |f: &mut fmt::Formatter<'_>, frame: &SourceFrame| {
            write!(f, "{}", Name(frame))?;
            frame.line.as_ref().map_or(Ok(()), |line| write!(f, " at {line}"))
        };
        match self.0.frames.as_slice() {
            [] => Ok(()),
            [only] => at(f, only),
            [innermost, .., outermost] => {
                at(f, innermost)?;
                f.write_str(" (inlined into ")?;
                at(f, outermost)?;
                f.write_str(")")
            }
        }
    }
}

struct Name<'r>(&'r SourceFrame);

impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Clean(self.0.function.as_deref().unwrap_or("an unnamed function")).fmt(f)
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", Clean(&self.file), self.line)?;
        match self.column {
            0 => Ok(()),
            column => write!(f, ":{column}"),
        }
    }
}
