//! Functions and source lines of addresses, from DWARF.
//!
//! Addresses are looked up together, in one pass over the units that contain any of them, and only the answers are kept.
//! `addr2line` is not used, because it builds tables for many later lookups, with a size that a hostile file decides, and
//! descends into inlined functions by recursion, as deep as the file says.

use super::reader::{Budget, Reader};
use gimli::{
    AttributeValue, DebugAbbrev, DebugAbbrevOffset, DebuggingInformationEntry, Dwarf, LineRow, Reader as _, Section,
    Unit, UnitHeader, UnitOffset,
};
use std::ops::Range;
use std::rc::Rc;

/// Longest abbreviation table of a unit that is accepted; usual ones have a few KiB.
const ABBREVIATIONS_MAXIMUM: usize = 256 << 10;
/// Longest list of file names of a unit that is accepted.
const FILE_NAMES_MAXIMUM: u64 = 1 << 20;
/// Most units that are read.
const UNITS_MAXIMUM: usize = 100_000;
/// Deepest nesting of inlined functions that is shown.
const INLINED_MAXIMUM: usize = 64;
/// Most entries followed from a function to the entry with its name.
const ORIGINS_MAXIMUM: usize = 16;

/// A place in a source file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Line {
    /// Path as the compiler recorded it.
    pub file: String,
    /// Line, from 1.
    pub line: u64,
    /// Column, from 1; 0 if unknown.
    pub column: u64,
}

/// A function that contains an address, and the line in it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SourceFrame {
    /// The function's name, demangled.
    pub function: Option<String>,
    /// Line in the function's source.
    pub line: Option<Line>,
}

/// Returns, for each of `addresses` (sorted), the functions that contain it, innermost first; the last one is not inlined.
/// `section` returns a section's bytes by its name.
pub fn locate<'d>(
    section: impl Fn(&'static str) -> &'d [u8],
    addresses: &[u64],
    budget: &'d Budget,
) -> Vec<Vec<SourceFrame>> {
    let mut answers: Vec<Answer> = addresses.iter().map(|_| Answer::default()).collect();
    let sections: Result<_, gimli::Error> = Dwarf::load(|id| Ok(Reader::new(section(id.name()), budget)));
    if let Ok(dwarf) = sections {
        let mut units = dwarf.units();
        let mut headers = Vec::new();
        while let Ok(Some(header)) = units.next() {
            headers.push(header);
            if headers.len() == UNITS_MAXIMUM {
                break;
            }
        }
        let search = Search { dwarf: &dwarf, headers: &headers, addresses };
        for header in &headers {
            // A unit that makes no sense has no answers; the next one may have some.
            let _ = search.unit(header, &mut answers);
            if budget.exhausted() {
                break;
            }
        }
    }
    answers.into_iter().map(Answer::frames).collect()
}

/// Functions and line found for one address.
#[derive(Default)]
struct Answer {
    /// Functions, outermost first.
    functions: Vec<Function>,
    line: Option<Line>,
}

/// A function, or its copy inlined into the function before.
struct Function {
    depth: isize,
    name: Option<String>,
    /// Line of the call in the function before.
    call: Option<Line>,
}

impl Answer {
    /// Adds a function that contains the address, if it is the first one or lies within the last one.
    fn enter(&mut self, inlined: bool, function: Function) {
        let fits = match self.functions.last() {
            Some(outer) => inlined && outer.depth < function.depth && self.functions.len() < INLINED_MAXIMUM,
            None => !inlined,
        };
        if fits {
            self.functions.push(function);
        }
    }

    fn frames(self) -> Vec<SourceFrame> {
        if self.functions.is_empty() {
            return self.line.map(|line| SourceFrame { function: None, line: Some(line) }).into_iter().collect();
        }
        let mut line = self.line;
        let inward = self.functions.into_iter().rev();
        inward
            .map(|function| SourceFrame { function: function.name, line: std::mem::replace(&mut line, function.call) })
            .collect()
    }
}

type Entry<'d> = DebuggingInformationEntry<Reader<'d>>;

struct Search<'s, 'd> {
    dwarf: &'s Dwarf<Reader<'d>>,
    headers: &'s [UnitHeader<Reader<'d>>],
    addresses: &'s [u64],
}

impl<'d> Search<'_, 'd> {
    fn unit(&self, header: &UnitHeader<Reader<'d>>, answers: &mut [Answer]) -> gimli::Result<()> {
        let unit = Rc::new(self.open(header)?);
        let mut root = Entry::null();
        unit.entries_raw(None)?.read_entry(&mut root)?;
        let mut open = vec![false; answers.len()];
        let mut any = false;
        self.each_match(&unit, &root, |index| {
            open[index] = answers[index].functions.is_empty() && answers[index].line.is_none();
            any |= open[index];
        })?;
        if any {
            // Functions without lines are useful, and lines without functions.
            let functions = self.functions(&unit, &open, answers);
            self.lines(&unit, &open, answers)?;
            functions?;
        }
        Ok(())
    }

    /// Reads a unit's abbreviations and root entry, unless its tables are larger than any real ones.
    fn open(&self, header: &UnitHeader<Reader<'d>>) -> gimli::Result<Unit<Reader<'d>>> {
        let mut table = *self.dwarf.debug_abbrev.reader();
        table.skip(header.debug_abbrev_offset().0)?;
        table.truncate(table.len().min(ABBREVIATIONS_MAXIMUM))?;
        let abbreviations = DebugAbbrev::from(table).abbreviations(DebugAbbrevOffset(0))?;
        let mut root = Entry::null();
        header.entries_raw(&abbreviations, None)?.read_entry(&mut root)?;
        for attribute in root.attrs() {
            if let AttributeValue::DebugLineRef(offset) = attribute.value() {
                let mut line = *self.dwarf.debug_line.reader();
                line.skip(offset.0)?;
                check_line_header(line)?;
            }
        }
        Unit::new_with_abbreviations(self.dwarf, *header, abbreviations.into())
    }

    /// Records the functions that contain the `open` addresses.
    fn functions(&self, unit: &Rc<Unit<Reader<'d>>>, open: &[bool], answers: &mut [Answer]) -> gimli::Result<()> {
        let mut entries = unit.entries_raw(None)?;
        let mut start_depth = 0;
        let mut entry = Entry::null();
        let mut inside = vec![false; answers.len()];
        while !entries.is_empty() {
            let depth = start_depth + entries.next_depth();
            if !entries.read_entry(&mut entry)? {
                continue;
            }
            let inlined = match entry.tag() {
                gimli::DW_TAG_subprogram => false,
                gimli::DW_TAG_inlined_subroutine => true,
                _ => continue,
            };
            inside.fill(false);
            let mut any = false;
            self.each_match(unit, &entry, |index| {
                inside[index] = open[index];
                any |= open[index];
            })?;
            if any {
                let name = self.name(unit, &entry);
                let call = if inlined { self.call(unit, &entry) } else { None };
                for (answer, _) in answers.iter_mut().zip(&inside).filter(|(_, inside)| **inside) {
                    answer.enter(inlined, Function { depth, name: name.clone(), call: call.clone() });
                }
            } else if let Some(next) = sibling(&entry).filter(|next| next.0 > entries.next_offset().0) {
                entries = unit.entries_raw(Some(next))?;
                start_depth = depth;
            }
        }
        Ok(())
    }

    /// Calls `found` with the index of each address that lies in the ranges of `entry`.
    fn each_match(
        &self,
        unit: &Unit<Reader<'d>>,
        entry: &Entry<'d>,
        mut found: impl FnMut(usize),
    ) -> gimli::Result<()> {
        let dwarf = self.dwarf;
        let (mut low, mut high) = (None, None);
        for attribute in entry.attrs() {
            match (attribute.name(), attribute.value()) {
                (gimli::DW_AT_low_pc, value) => low = dwarf.attr_address(unit, value)?,
                (gimli::DW_AT_high_pc, AttributeValue::Udata(size)) => high = low.and_then(|low| low.checked_add(size)),
                (gimli::DW_AT_high_pc, value) => high = dwarf.attr_address(unit, value)?,
                (gimli::DW_AT_ranges, value) => {
                    let Some(mut ranges) = dwarf.attr_ranges(unit, value)? else { continue };
                    while let Some(range) = ranges.next()? {
                        self.indexes(range.begin, range.end).for_each(&mut found);
                    }
                    return Ok(());
                }
                _ => {}
            }
        }
        if let (Some(low), Some(high)) = (low, high) {
            self.indexes(low, high).for_each(found);
        }
        Ok(())
    }

    /// Indexes of the addresses between `begin` and `end`. Code that the linker dropped is recorded at
    /// address 0 or 1, where an image has its header.
    fn indexes(&self, begin: u64, end: u64) -> Range<usize> {
        if begin <= 1 {
            return 0..0;
        }
        let first = self.addresses.partition_point(|address| *address < begin);
        first..self.addresses.partition_point(|address| *address < end).max(first)
    }

    /// Returns the name of a function; an inlined or concrete one refers to the entry that has the name.
    fn name(&self, unit: &Rc<Unit<Reader<'d>>>, entry: &Entry<'d>) -> Option<String> {
        let (mut unit, mut entry) = (Rc::clone(unit), entry.clone());
        let mut plain = None;
        for _ in 0..ORIGINS_MAXIMUM {
            let text = |name| {
                let value = self.dwarf.attr_string(&unit, entry.attr_value(name)?).ok()?;
                Some(value.to_string_lossy().ok()?.into_owned())
            };
            if let Some(linkage) = text(gimli::DW_AT_linkage_name).or_else(|| text(gimli::DW_AT_MIPS_linkage_name)) {
                return Some(super::text::demangle(&linkage));
            }
            plain = plain.or_else(|| text(gimli::DW_AT_name));
            let origin = entry.attr_value(gimli::DW_AT_abstract_origin);
            match origin.or_else(|| entry.attr_value(gimli::DW_AT_specification)) {
                Some(AttributeValue::UnitRef(offset)) => {
                    let Ok(origin) = unit.entry(offset) else { break };
                    entry = origin;
                }
                Some(AttributeValue::DebugInfoRef(offset)) => {
                    let after = self.headers.partition_point(|header| header_offset(header) <= offset.0);
                    let Some(header) = after.checked_sub(1).and_then(|index| self.headers.get(index)) else { break };
                    let Some(within) = offset.to_unit_offset(header) else { break };
                    let Ok(other) = self.open(header) else { break };
                    let Ok(origin) = other.entry(within) else { break };
                    (unit, entry) = (Rc::new(other), origin);
                }
                _ => break,
            }
        }
        plain
    }

    /// Line at which an inlined function was called.
    fn call(&self, unit: &Unit<Reader<'d>>, entry: &Entry<'d>) -> Option<Line> {
        let number = |name| entry.attr(name).and_then(gimli::Attribute::udata_value);
        let AttributeValue::FileIndex(file) = entry.attr_value(gimli::DW_AT_call_file)? else { return None };
        let line = number(gimli::DW_AT_call_line).filter(|line| *line != 0)?;
        let column = number(gimli::DW_AT_call_column).unwrap_or(0);
        Some(Line { file: self.file(unit, file)?, line, column })
    }

    /// Runs the unit's line program and records the rows of the `open` addresses.
    fn lines(&self, unit: &Unit<Reader<'d>>, open: &[bool], answers: &mut [Answer]) -> gimli::Result<()> {
        let Some(program) = &unit.line_program else { return Ok(()) };
        let mut program = Program(program.header());
        let mut instructions = program.0.instructions();
        let mut row = LineRow::new(program.0);
        let mut before: Option<LineRow> = None;
        while let Some(instruction) = instructions.next_instruction(program.0)? {
            if !row.execute(instruction, &mut program)? {
                continue;
            }
            if let Some(before) = before {
                for index in self.indexes(before.address(), row.address()) {
                    if open[index] {
                        answers[index].line = self.line(unit, &before);
                    }
                }
            }
            before = Some(row).filter(|row| !row.end_sequence());
            row.reset(program.0);
        }
        Ok(())
    }

    fn line(&self, unit: &Unit<Reader<'d>>, row: &LineRow) -> Option<Line> {
        let column = match row.column() {
            gimli::ColumnType::LeftEdge => 0,
            gimli::ColumnType::Column(column) => column.get(),
        };
        Some(Line { file: self.file(unit, row.file_index())?, line: row.line()?.get(), column })
    }

    /// Path of a file, relative to the compiler's directory, because that is the path a person would type.
    fn file(&self, unit: &Unit<Reader<'d>>, index: u64) -> Option<String> {
        let header = unit.line_program.as_ref()?.header();
        let file = header.file(index)?;
        let text = |value| Some(self.dwarf.attr_string(unit, value).ok()?.to_string_lossy().ok()?.into_owned());
        let name = text(file.path_name())?;
        let directory = match file.directory_index() {
            0 => None,
            _ => file.directory(header).and_then(text),
        };
        Some(match directory {
            Some(directory) if !name.starts_with('/') && !directory.is_empty() => format!("{directory}/{name}"),
            _ => name,
        })
    }
}

/// A line program with a complete table of files. Programs may add files while they run, but real ones do not.
struct Program<'h, 'd>(&'h gimli::LineProgramHeader<Reader<'d>>);

impl<'d> gimli::LineProgram<Reader<'d>> for Program<'_, 'd> {
    fn header(&self) -> &gimli::LineProgramHeader<Reader<'d>> {
        self.0
    }

    fn add_file(&mut self, _: gimli::FileEntry<Reader<'d>>) {}
}

/// Refuses a line program with too long a header, because gimli allocates room for as many files as the header claims.
fn check_line_header(mut input: Reader<'_>) -> gimli::Result<()> {
    let (_, format) = input.read_initial_length()?;
    if input.read_u16()? >= 5 {
        input.skip(2)?;
    }
    match input.read_length(format)? as u64 {
        ..=FILE_NAMES_MAXIMUM => Ok(()),
        _ => Err(gimli::Error::TooManyIterations),
    }
}

fn header_offset(header: &UnitHeader<Reader<'_>>) -> usize {
    header.debug_info_offset().map_or(0, |offset| offset.0)
}

fn sibling(entry: &Entry<'_>) -> Option<UnitOffset> {
    match entry.attr_value(gimli::DW_AT_sibling) {
        Some(AttributeValue::UnitRef(offset)) => Some(offset),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Abbreviations: 1 a unit, 2 a function (both with low and high address), 3 an inlined function with nothing, 4
    /// an inlined function with a list of ranges, 5 a unit with a line program.
    const ABBREVIATIONS: &[u8] = &[
        1, 0x11, 1, 0x11, 1, 0x12, 7, 0, 0, //
        2, 0x2e, 1, 0x11, 1, 0x12, 7, 0, 0, //
        3, 0x1d, 1, 0, 0, //
        4, 0x1d, 0, 0x55, 0x17, 0, 0, //
        5, 0x11, 1, 0x11, 1, 0x12, 7, 0x10, 0x17, 0, 0, //
        0,
    ];

    /// A unit of version 4 with these entries.
    fn unit(entries: &[u8]) -> Vec<u8> {
        let header = [4, 0, 0, 0, 0, 0, 8];
        let mut info = ((header.len() + entries.len()) as u32).to_le_bytes().to_vec();
        info.extend(header);
        info.extend(entries);
        info
    }

    /// An entry that spans 0x1000 to 0x2000.
    fn spanning(abbreviation: u8) -> Vec<u8> {
        let mut entry = vec![abbreviation];
        entry.extend(0x1000u64.to_le_bytes());
        entry.extend(0x1000u64.to_le_bytes());
        entry
    }

    fn locate_in(sections: &[(&str, &[u8])], reads: u64) -> (Vec<Vec<SourceFrame>>, bool) {
        let budget = Budget::new(reads);
        let find = |name: &str| sections.iter().find(|(has, _)| *has == name).map_or(&[][..], |(_, bytes)| *bytes);
        let addresses: Vec<u64> = (0..100).map(|index| 0x1800 + index).collect();
        let frames = locate(find, &addresses, &budget);
        (frames, budget.exhausted())
    }

    #[test]
    fn functions_nested_deeper_than_any_stack_are_left_out() {
        let mut entries = [spanning(1), spanning(2)].concat();
        entries.resize(entries.len() + 4_000_000, 3);
        let (frames, exhausted) =
            locate_in(&[(".debug_info", &unit(&entries)), (".debug_abbrev", ABBREVIATIONS)], 1 << 26);
        assert!(!exhausted);
        assert!(frames.iter().all(|frames| frames.len() == 1), "the one function is found");
    }

    #[test]
    fn a_list_of_ranges_that_many_functions_share_ends_the_budget() {
        let mut entries = [spanning(1), spanning(2)].concat();
        for _ in 0..10_000 {
            entries.extend([4, 0, 0, 0, 0]);
        }
        let range = [0x1000u64.to_le_bytes(), 0x2000u64.to_le_bytes()].concat();
        let sections = [
            (".debug_info", &unit(&entries)[..]),
            (".debug_abbrev", ABBREVIATIONS),
            (".debug_ranges", &range.repeat(100_000)),
        ];
        let (frames, exhausted) = locate_in(&sections, 1 << 20);
        assert!(exhausted);
        assert!(frames.iter().all(|frames| frames.len() <= INLINED_MAXIMUM));
    }

    #[test]
    fn a_line_program_with_more_file_names_than_memory_is_refused() {
        let mut entries = spanning(5);
        entries.extend([0; 4]);
        // Version 5, names in format (path, string), as many as a number can say.
        let mut header = vec![1, 1, 1, 0xfb, 14, 1, 1, 1, 8, 0, 1, 1, 8];
        header.extend([0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x7f]);
        header.resize(64 << 20, 0);
        let mut line = ((header.len() + 8) as u32).to_le_bytes().to_vec();
        line.extend([5, 0, 8, 0]);
        line.extend((header.len() as u32).to_le_bytes());
        line.extend(header);
        let sections =
            [(".debug_info", &unit(&entries)[..]), (".debug_abbrev", ABBREVIATIONS), (".debug_line", &line[..])];
        let (frames, exhausted) = locate_in(&sections, 1 << 26);
        assert!(!exhausted && frames.iter().all(Vec::is_empty));
    }

    #[test]
    fn a_sibling_that_leads_back_is_not_followed() {
        // Abbreviation 1 a unit, 2 a function elsewhere that is its own sibling.
        let abbreviations = [1, 0x11, 1, 0x11, 1, 0x12, 7, 0, 0, 2, 0x2e, 0, 0x01, 0x13, 0, 0, 0];
        let mut entries = spanning(1);
        entries.push(2);
        entries.extend((11u32 + 17).to_le_bytes());
        let (frames, exhausted) =
            locate_in(&[(".debug_info", &unit(&entries)), (".debug_abbrev", &abbreviations)], 1 << 20);
        assert!(!exhausted && frames.iter().all(Vec::is_empty));
    }
}
