//! A step from a frame to its caller, by call frame information (`.eh_frame`, `.debug_frame`).
//!
//! `framehop` is not used, because it evaluates the expressions in call frame information without a limit, and these can
//! loop. It also recovers three registers only; here all registers that a callee saves survive the walk, so that frames
//! which are found through another register are found.

use super::elf::{Elf, Section};
use super::reader::{Budget, Reader};
use crate::arch::dwarf::{COUNT, PRESERVED, RETURN_ADDRESS, STACK_POINTER};
use gimli::{
    BaseAddresses, CfaRule, DebugFrame, EhFrame, EhFrameOffset, EvaluationResult, Expression, FrameDescriptionEntry,
    Location, Register, RegisterRule, UnwindContext, UnwindSection, Value,
};
use std::collections::HashMap;

/// Longest expression evaluated, in operations.
const OPERATIONS_MAXIMUM: u32 = 256;
/// Most rules kept: a deep recursion passes through few functions.
const RULES_MAXIMUM: usize = 4096;

/// Reads the 8 bytes at a guest address; `None` if they are not the guest's.
pub type ReadGuest<'a> = dyn FnMut(u64) -> Option<u64> + 'a;

/// Registers of a frame, as far as they are known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Frame {
    /// Address at which the frame runs or will continue.
    pub pc: u64,
    /// Values by DWARF number.
    pub registers: [Option<u64>; COUNT],
}

/// A caller, and true if it was interrupted: then its `pc` is no return address.
pub type Caller = (Frame, bool);

/// Reason why there is no caller.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// The stack begins at this frame.
    Bottom,
    /// No call frame information covers the address.
    Unknown,
    /// Call frame information covers the address, but leads nowhere.
    Broken,
}

/// Call frame information of an image, and of its debug file if that has more.
pub struct Unwinder<'d> {
    eh_frame: EhFrame<Reader<'d>>,
    index: Section<'d>,
    bases: BaseAddresses,
    debug_frames: Vec<DebugFrame<Reader<'d>>>,
    context: UnwindContext<usize>,
    rules: HashMap<u64, Option<Rules<'d>>>,
}

/// Rules that lead from one address to its caller.
#[derive(Clone)]
struct Rules<'d> {
    frame: CfaRule<usize>,
    registers: Vec<(usize, RegisterRule<usize>)>,
    encoding: gimli::Encoding,
    /// Section that contains the expressions.
    section: Reader<'d>,
    interrupted: bool,
}

impl<'d> Unwinder<'d> {
    /// Reads call frame information at the expense of `budget`.
    pub fn new(image: &Elf<'d>, debug: Option<&Elf<'d>>, budget: &'d Budget) -> Self {
        let section = image.section(".eh_frame");
        let mut eh_frame = EhFrame::from(Reader::new(section.bytes, budget));
        eh_frame.set_address_size(8);
        let index = image.section(".eh_frame_hdr");
        let bases = BaseAddresses::default()
            .set_eh_frame(section.address)
            .set_eh_frame_hdr(index.address)
            .set_text(image.section(".text").address)
            .set_got(image.section(".got").address);
        let debug_frame = |elf: &Elf<'d>| {
            let mut frame = DebugFrame::from(Reader::new(elf.section(".debug_frame").bytes, budget));
            frame.set_address_size(8);
            frame
        };
        let debug_frames = [Some(image), debug].into_iter().flatten().map(debug_frame).collect();
        Self { eh_frame, index, bases, debug_frames, context: UnwindContext::new(), rules: HashMap::new() }
    }

    /// Steps from `frame` to its caller; `address` is the address to look up, as in the file.
    pub fn step(&mut self, frame: &Frame, address: u64, read: &mut ReadGuest<'_>) -> Result<Caller, End> {
        if self.rules.len() >= RULES_MAXIMUM {
            self.rules.clear();
        }
        if !self.rules.contains_key(&address) {
            let rules = self.find(address);
            self.rules.insert(address, rules);
        }
        match self.rules.get(&address) {
            Some(Some(rules)) => rules.apply(frame, read),
            _ => Err(End::Unknown),
        }
    }

    fn find(&mut self, address: u64) -> Option<Rules<'d>> {
        if let Some(rules) = self.find_in_eh_frame(address) {
            return Some(rules);
        }
        let (bases, context) = (&self.bases, &mut self.context);
        self.debug_frames.iter().find_map(|section| {
            let entry = section.fde_for_address(bases, address, DebugFrame::cie_from_offset).ok()?;
            Rules::new(section, &entry, bases, context, address)
        })
    }

    fn find_in_eh_frame(&mut self, address: u64) -> Option<Rules<'d>> {
        let (section, bases) = (self.eh_frame, &self.bases);
        let entry = match look_up(self.index, bases.eh_frame.section?, address) {
            Index::At(offset) => {
                section.fde_from_offset(bases, EhFrameOffset(offset), EhFrame::cie_from_offset).ok()?
            }
            Index::Nowhere => return None,
            Index::Unusable => section.fde_for_address(bases, address, EhFrame::cie_from_offset).ok()?,
        };
        Rules::new(&section, &entry, bases, &mut self.context, address)
    }
}

/// Result of a lookup in `.eh_frame_hdr`.
#[derive(Debug, PartialEq, Eq)]
enum Index {
    /// The entry at this offset may cover the address.
    At(usize),
    /// No entry covers the address.
    Nowhere,
    /// There is no index in the only form that linkers write.
    Unusable,
}

/// Binary search in `.eh_frame_hdr` (Linux Standard Base core specification 5.0, section 10.6.2): a header of 12 bytes, then
/// pairs of function and entry, both relative to the header.
fn look_up(index: Section<'_>, eh_frame: u64, address: u64) -> Index {
    const VERSION_AND_ENCODINGS: [u8; 4] = [1, 0x1b, 0x03, 0x3b];
    let Some((head, table)) = index.bytes.split_at_checked(12) else { return Index::Unusable };
    if head[..4] != VERSION_AND_ENCODINGS {
        return Index::Unusable;
    }
    let pairs = table.as_chunks::<8>().0;
    let relative = |bytes: &[u8]| {
        let offset = bytes.try_into().map_or(0, i32::from_le_bytes);
        index.address.wrapping_add_signed(i64::from(offset))
    };
    let after = pairs.partition_point(|pair| relative(&pair[..4]) <= address);
    let Some(pair) = after.checked_sub(1).and_then(|last| pairs.get(last)) else { return Index::Nowhere };
    usize::try_from(relative(&pair[4..]).wrapping_sub(eh_frame)).map_or(Index::Nowhere, Index::At)
}

impl<'d> Rules<'d> {
    fn new<S: UnwindSection<Reader<'d>>>(
        section: &S,
        entry: &FrameDescriptionEntry<Reader<'d>>,
        bases: &BaseAddresses,
        context: &mut UnwindContext<usize>,
        address: u64,
    ) -> Option<Self> {
        if !entry.contains(address) {
            return None;
        }
        let row = entry.unwind_info_for_address(section, bases, context, address).ok()?;
        let known = |(register, rule): &(Register, RegisterRule<usize>)| {
            let number = usize::from(register.0);
            (number <= RETURN_ADDRESS).then(|| (number, rule.clone()))
        };
        Some(Self {
            frame: row.cfa().clone(),
            registers: row.registers().filter_map(known).collect(),
            encoding: entry.cie().encoding(),
            section: *section.section(),
            interrupted: entry.is_signal_trampoline(),
        })
    }

    fn apply(&self, frame: &Frame, read: &mut ReadGuest<'_>) -> Result<Caller, End> {
        let base = match &self.frame {
            CfaRule::RegisterAndOffset { register, offset } => {
                let value = frame.registers.get(usize::from(register.0)).copied().flatten();
                value.and_then(|value| value.checked_add_signed(*offset))
            }
            CfaRule::Expression(expression) => self.evaluate(expression, None, frame, read),
        };
        let base = base.ok_or(End::Broken)?;
        let mut caller = Frame::default();
        for number in PRESERVED {
            caller.registers[number] = frame.registers[number];
        }
        caller.registers[STACK_POINTER] = Some(base);
        let mut pc = None;
        for (number, rule) in &self.registers {
            let value = match rule {
                RegisterRule::Undefined if *number == RETURN_ADDRESS => return Err(End::Bottom),
                rule => self.value(*number, rule, base, frame, read),
            };
            match caller.registers.get_mut(*number) {
                Some(register) => *register = value,
                None => pc = value,
            }
        }
        match pc {
            Some(0) => Err(End::Bottom),
            Some(pc) => Ok((Frame { pc, ..caller }, self.interrupted)),
            None => Err(End::Broken),
        }
    }

    fn value(
        &self,
        number: usize,
        rule: &RegisterRule<usize>,
        base: u64,
        frame: &Frame,
        read: &mut ReadGuest<'_>,
    ) -> Option<u64> {
        match rule {
            RegisterRule::SameValue => frame.registers.get(number).copied().flatten(),
            RegisterRule::Offset(offset) => read(base.checked_add_signed(*offset)?),
            RegisterRule::ValOffset(offset) => base.checked_add_signed(*offset),
            RegisterRule::Register(other) => frame.registers.get(usize::from(other.0)).copied().flatten(),
            RegisterRule::Expression(expression) => {
                let address = self.evaluate(expression, Some(base), frame, read)?;
                read(address)
            }
            RegisterRule::ValExpression(expression) => self.evaluate(expression, Some(base), frame, read),
            RegisterRule::Constant(value) => Some(*value),
            _ => None,
        }
    }

    fn evaluate(
        &self,
        expression: &gimli::UnwindExpression<usize>,
        initial: Option<u64>,
        frame: &Frame,
        read: &mut ReadGuest<'_>,
    ) -> Option<u64> {
        let mut bytes = self.section;
        gimli::Reader::skip(&mut bytes, expression.offset).ok()?;
        gimli::Reader::truncate(&mut bytes, expression.length).ok()?;
        let mut evaluation = Expression(bytes).evaluation(self.encoding);
        evaluation.set_max_iterations(OPERATIONS_MAXIMUM);
        if let Some(initial) = initial {
            evaluation.set_initial_value(initial);
        }
        let mut state = evaluation.evaluate().ok()?;
        loop {
            state = match state {
                EvaluationResult::Complete => break,
                EvaluationResult::RequiresRegister { register, .. } => {
                    let value = match usize::from(register.0) {
                        RETURN_ADDRESS => frame.pc,
                        number => (*frame.registers.get(number)?)?,
                    };
                    evaluation.resume_with_register(Value::Generic(value)).ok()?
                }
                EvaluationResult::RequiresMemory { address, size: size @ 1..=8, space: None, .. } => {
                    let value = read(address)? & (u64::MAX >> (64 - 8 * u32::from(size)));
                    evaluation.resume_with_memory(Value::Generic(value)).ok()?
                }
                _ => return None,
            };
        }
        match evaluation.result().first()?.location {
            Location::Address { address } => Some(address),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_index_finds_the_function_before() {
        let mut bytes = vec![1, 0x1b, 0x03, 0x3b, 0, 0, 0, 0, 2, 0, 0, 0];
        for value in [-0x800i32, 0x100, -0x400, 0x140] {
            bytes.extend(value.to_le_bytes());
        }
        let index = Section { address: 0x2000, bytes: &bytes };
        assert_eq!(look_up(index, 0x2100, 0x17ff), Index::Nowhere);
        assert_eq!(look_up(index, 0x2100, 0x1800), Index::At(0));
        assert_eq!(look_up(index, 0x2100, 0x1c00), Index::At(0x40));
        assert_eq!(look_up(index, 0x2100, u64::MAX), Index::At(0x40));
        assert_eq!(look_up(Section { address: 0, bytes: &bytes[..11] }, 0, 0), Index::Unusable);
    }

    /// Returns call frame information in which the frame of 0x1000 to 0x2000 is the result of `expression`.
    fn with_expression(expression: &[u8]) -> Vec<u8> {
        let entry = |mut body: Vec<u8>| {
            body.resize((body.len() + 4).next_multiple_of(8) - 4, 0);
            [&(body.len() as u32).to_le_bytes(), &body[..]].concat()
        };
        // Version 1, augmentation "zR" with absolute pointers; def_cfa_expression; offset of 16 is 1 * -8.
        let mut common = vec![0, 0, 0, 0, 1, b'z', b'R', 0, 1, 0x78, 16, 1, 0, 0x0f, expression.len() as u8];
        common.extend(expression);
        common.extend([0x90, 1]);
        let common = entry(common);
        let mut function = (common.len() as u32 + 4).to_le_bytes().to_vec();
        function.extend([0x1000u64.to_le_bytes(), 0x1000u64.to_le_bytes()].concat());
        function.push(0);
        [common, entry(function), vec![0; 4]].concat()
    }

    fn step(eh_frame: &[u8]) -> Result<Caller, End> {
        let budget = Budget::new(1 << 20);
        let mut section = EhFrame::from(Reader::new(eh_frame, &budget));
        section.set_address_size(8);
        let mut unwinder = Unwinder {
            eh_frame: section,
            index: Section::default(),
            bases: BaseAddresses::default().set_eh_frame(0x4000),
            debug_frames: Vec::new(),
            context: UnwindContext::new(),
            rules: HashMap::new(),
        };
        let frame = Frame { pc: 0x1800, registers: [Some(0x8000); COUNT] };
        unwinder.step(&frame, 0x1800, &mut |address| Some(address + 1))
    }

    #[test]
    fn expressions_are_evaluated() {
        // DW_OP_breg7 (stack pointer) 16, DW_OP_deref.
        let (caller, interrupted) = step(&with_expression(&[0x77, 16, 0x06])).expect("a caller");
        assert_eq!((caller.pc, caller.registers[STACK_POINTER]), (0x8011 - 8 + 1, Some(0x8011)));
        assert!(!interrupted);
    }

    #[test]
    fn an_expression_that_loops_is_left() {
        // DW_OP_skip -3.
        assert_eq!(step(&with_expression(&[0x2f, 0xfd, 0xff])), Err(End::Broken));
        // DW_OP_dup, DW_OP_skip -4, after a constant: a stack that grows.
        assert_eq!(step(&with_expression(&[0x30, 0x12, 0x2f, 0xfc, 0xff])), Err(End::Broken));
    }
}
