//! The patcher: turns `syscall` instructions of a linked program into jumps to the libos.
//!
//! A trap costs hundreds of times what a jump does, but only a site that is proven safe is changed; any other keeps
//! trapping, which is slow and right. `sweep` and `window` decide what is safe, on bytes and addresses
//! alone; `image` reads and writes the ELF file.

mod error;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod image;
mod landing;
mod program;
#[cfg(test)]
mod property;
mod stub;
mod sweep;
mod window;

pub use error::Error;
use husk_abi::stub::SIZE;
use iced_x86::Code;
pub use image::patch;
use program::{Function, Program};
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;
use sweep::Sweep;
pub use window::Reason;

/// Area of the stubs, and the address that they lead to.
#[derive(Clone, Debug)]
pub struct Libos {
    /// The area for stubs.
    pub stubs: Range<u64>,
    /// Address where a patched site continues.
    pub direct: u64,
}

/// Changes to a program.
#[derive(Debug, Default)]
pub struct Plan {
    /// Bytes to write, by address.
    pub writes: Vec<(u64, Vec<u8>)>,
    /// Number of sites that become jumps.
    pub patched: u32,
    /// Number of sites that keep trapping, by reason.
    pub trapping: BTreeMap<Reason, u32>,
    /// Sites that are dealt with, because functions may overlap.
    seen: BTreeSet<u64>,
}

impl Plan {
    /// Decides on the changes to `program`.
    pub fn for_program(program: &Program<'_>, libos: &Libos) -> Self {
        let sweep = Sweep::over(program);
        let mut plan = Self::default();
        if sweep.stray > 0 {
            plan.trapping.insert(Reason::Stray, sweep.stray);
        }
        // A file may place the area at the end of the address space.
        let mut free = libos.stubs.start.checked_next_multiple_of(SIZE as u64).unwrap_or(u64::MAX);
        for &index in &sweep.callers {
            plan.add_function(program, &sweep, index, libos, &mut free);
        }
        plan
    }

    /// Adds the changes to one function; `free` is the next free stub.
    fn add_function(&mut self, program: &Program<'_>, sweep: &Sweep, index: usize, libos: &Libos, free: &mut u64) {
        let function = &program.functions[index];
        let instructions: Vec<_> = program.instructions(function.range.clone()).collect();
        let refusal = if is_unclear(program, index) || instructions.iter().any(|each| each.is_invalid()) {
            Some(Reason::Unclear)
        } else {
            sweep.jumps(&function.name).then_some(Reason::ComputedJump)
        };
        let is_target = |address| sweep.mentioned.contains(&address) || program.landmarks.contains(&address);
        for (site, instruction) in instructions.iter().enumerate() {
            if instruction.code() != Code::Syscall || !self.seen.insert(instruction.ip()) {
                continue;
            }
            let outcome = match refusal {
                Some(reason) => Err(reason),
                None => window::find(&instructions, site, is_target)
                    .and_then(|first| write(program, instructions[first].ip(), instruction.next_ip(), libos, *free)),
            };
            match outcome {
                Ok(writes) => {
                    self.writes.extend(writes);
                    self.patched += 1;
                    *free += SIZE as u64;
                }
                Err(reason) => *self.trapping.entry(reason).or_default() += 1,
            }
        }
    }
}

/// Returns the bytes that turn the window from `start` to `end`, where its `syscall` ends, into a jump to a stub at `free`.
fn write(program: &Program<'_>, start: u64, end: u64, libos: &Libos, free: u64) -> Result<[(u64, Vec<u8>); 2], Reason> {
    if free.checked_add(SIZE as u64).is_none_or(|end| end > libos.stubs.end) {
        return Err(Reason::NoStub);
    }
    let site = start..end - husk_abi::stub::SYSCALL_SIZE;
    let entry = stub::entry(free, (site.end - site.start) as usize);
    let moved = stub::moved(program.bytes(site).ok_or(Reason::NoStub)?, start, entry).ok_or(Reason::Relative)?;
    let stub = stub::encode(free, &moved, end, libos.direct).ok_or(Reason::NoStub)?;
    let jump = stub::jump(start, (end - start) as usize, entry).ok_or(Reason::NoStub)?;
    Ok([(start, jump), (free, stub.to_vec())])
}

/// Returns true if a function shares bytes with another, or its landing pads are not known.
fn is_unclear(program: &Program<'_>, index: usize) -> bool {
    let overlaps = |a: &Range<u64>, b: &Range<u64>| a.start < b.end && b.start < a.end;
    let Function { range, .. } = &program.functions[index];
    let others = program.functions.iter().enumerate().filter(|(other, _)| *other != index);
    others.into_iter().any(|(_, other)| overlaps(&other.range, range))
        || program.obscure.iter().any(|obscure| overlaps(obscure, range))
}

#[cfg(test)]
mod tests {
    use super::*;
    use program::Section;

    const LIBOS: Libos = Libos { stubs: 0x8000..0x8000 + 2 * SIZE as u64, direct: 0x9000 };
    /// mov eax, 1; syscall
    const SITE: [u8; 7] = [0xb8, 1, 0, 0, 0, 0x0f, 0x05];

    fn program(bytes: &[u8]) -> Program<'_> {
        let range = 0x1000..0x1000 + bytes.len() as u64;
        Program {
            sections: vec![Section { address: 0x1000, bytes }],
            functions: vec![Function { name: "f".into(), range }],
            ..Program::default()
        }
    }

    fn trapping(program: &Program<'_>) -> Vec<(Reason, u32)> {
        Plan::for_program(program, &LIBOS).trapping.into_iter().collect()
    }

    #[test]
    fn a_safe_site_jumps_to_its_stub() {
        let plan = Plan::for_program(&program(&SITE), &LIBOS);
        assert_eq!((plan.patched, plan.trapping.len()), (1, 0));
        let [(site, jump), (stub, _)] = &plan.writes[..] else { panic!("two writes") };
        assert_eq!((*site, *stub, jump.len()), (0x1000, 0x8000, SITE.len()));
        assert_eq!(jump[..5], [0xe9, 0x0a, 0x70, 0, 0]);
    }

    #[test]
    fn when_stubs_run_out_sites_trap() {
        let code = SITE.repeat(3);
        let plan = Plan::for_program(&program(&code), &LIBOS);
        assert_eq!(plan.patched, 2);
        assert_eq!(plan.trapping, BTreeMap::from([(Reason::NoStub, 1)]));
    }

    #[test]
    fn stubs_at_the_last_addresses_are_none() {
        for start in [u64::MAX, u64::MAX - 1, u64::MAX - SIZE as u64] {
            let plan = Plan::for_program(&program(&SITE), &Libos { stubs: start..u64::MAX, direct: 0x9000 });
            assert_eq!((plan.patched, plan.trapping), (0, BTreeMap::from([(Reason::NoStub, 1)])), "{start:#x}");
        }
    }

    #[test]
    fn a_landing_pad_or_pointer_into_the_window_keeps_it_trapping() {
        let mut program = program(&SITE);
        program.landmarks.insert(0x1005);
        assert_eq!(trapping(&program), [(Reason::Target, 1)]);
    }

    #[test]
    fn a_function_with_a_computed_jump_keeps_trapping() {
        let code = [&SITE[..], &[0xff, 0xe0]].concat();
        assert_eq!(trapping(&program(&code)), [(Reason::ComputedJump, 1)]);
    }

    #[test]
    fn code_that_is_not_understood_keeps_trapping() {
        let code = [&SITE[..], &[0x06]].concat();
        assert_eq!(trapping(&program(&code)), [(Reason::Unclear, 1)]);
        let mut overlapping = program(&SITE);
        overlapping.functions.push(Function { name: "g".into(), range: 0x1005..0x1007 });
        assert_eq!(trapping(&overlapping), [(Reason::Unclear, 1)]);
        let mut obscure = program(&SITE);
        obscure.obscure.push(0..u64::MAX);
        assert_eq!(trapping(&obscure), [(Reason::Unclear, 1)]);
    }

    #[test]
    fn a_site_outside_any_function_is_counted() {
        let mut program = program(&SITE);
        program.functions.clear();
        assert_eq!(trapping(&program), [(Reason::Stray, 1)]);
    }
}
