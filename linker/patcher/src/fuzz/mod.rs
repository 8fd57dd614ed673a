//! Fuzz targets: code, and files that claim to come from a linker, all from untrusted bytes. Each function takes any bytes,
//! and panics if an invariant is broken. Fuzzers (`fuzz/`) call them with bytes that they evolve; the tests below with
//! random bytes and with the corpus, so that every build runs them.

mod code;
#[cfg(test)]
#[path = "../../../../fuzz/holds.rs"]
mod holds;
mod run;

use super::program::{Function, Program, Section};
use super::{Libos, Plan, image};
use code::{Code, Source};
use run::{CALL, Place};
use std::sync::{Mutex, PoisonError};

/// Checks that patched code does what it did: the same calls, with the same registers, from the same places, and the same end.
pub fn patcher(bytes: &[u8]) {
    static PLACE: Mutex<Option<Place>> = Mutex::new(None);
    let mut place = PLACE.lock().unwrap_or_else(PoisonError::into_inner);
    if place.is_none() {
        *place = Place::new();
    }
    let Some(place) = place.as_ref() else { return };
    let mut source = Source(bytes);
    let (symbols, room, marks) = (source.next(), source.next(), source.next());
    let code = Code::assemble(&mut source, Place::scratch());
    if code.bytes.len() > Place::room() {
        return;
    }
    let start = place.code();
    let program = program(&code, start, symbols.unwrap_or(u8::MAX), marks.unwrap_or(0));
    let room = usize::from(room.unwrap_or(u8::MAX)) * husk_abi::stub::SIZE / 4;
    let plan = Plan::for_program(&program, &Libos { stubs: place.stubs(room), direct: place.direct() });
    assert_eq!(
        (plan.patched + plan.trapping.values().sum::<u32>()) as usize,
        code.sites.len(),
        "each site counts once"
    );

    let as_calls = |sites: &mut dyn Iterator<Item = usize>, bytes: &[u8]| {
        let mut bytes = bytes.to_vec();
        sites.for_each(|site| bytes[site..site + CALL.len()].copy_from_slice(&CALL));
        bytes
    };
    let before = place.run(&as_calls(&mut code.sites.iter().copied(), &code.bytes), &[]);
    assert_eq!(before.signal, 0, "code that was made up comes to its end: {before:#x?}");
    let is_written = |site: usize| {
        let at = start + site as u64;
        plan.writes.iter().any(|(address, bytes)| (*address..*address + bytes.len() as u64).contains(&at))
    };
    let mut trapping = code.sites.iter().copied().filter(|site| !is_written(*site));
    let after = place.run(&as_calls(&mut trapping, &code.bytes), &plan.writes);
    assert!(before == after, "{before:#x?}, patched {after:#x?}, by {:x?} of {:x?}", plan.writes, code.bytes);
}

/// Describes the code to the patcher: symbols for most functions, some of them without a size, and pointers to pieces.
fn program(code: &Code, start: u64, symbols: u8, marks: u8) -> Program<'_> {
    let mut program = Program { sections: vec![Section { address: start, bytes: &code.bytes }], ..Program::default() };
    for (index, range) in code.functions.windows(2).enumerate() {
        if symbols >> (index % 8) & 1 == 1 {
            let [from, to] = [range[0], range[1]].map(|offset| start + offset as u64);
            program.functions.push(Function { name: format!("f{index}"), range: from..to });
            program.landmarks.insert(from);
        }
    }
    let marked = code.pieces.iter().enumerate().filter(|(index, _)| marks > 0 && index % usize::from(marks) == 0);
    program.landmarks.extend(marked.map(|(_, offset)| start + *offset as u64));
    program
}

/// Patches a file that claims to come from a linker: it is patched or refused, and changes only where the plan has writes.
pub fn linked(bytes: &[u8]) {
    let mut file = bytes.to_vec();
    if let Ok(plan) = image::patch(&mut file) {
        let written: usize = plan.writes.iter().map(|(_, bytes)| bytes.len()).sum();
        let changed = bytes.iter().zip(&file).filter(|(before, after)| before != after).count();
        assert!(changed <= written, "{changed} bytes are other than they were, {written} were to be");
    }
}

#[cfg(test)]
mod tests {
    use super::holds::{changed, holds};
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::any;

    #[test]
    fn patched_code_does_what_it_did() {
        holds("patcher", 5000, patcher, vec(any::<u8>(), 0..300));
    }

    #[test]
    fn any_file_is_patched_or_refused() {
        holds("linked", 3000, linked, changed("linked"));
    }

    #[test]
    fn much_of_what_is_made_up_is_patched_and_run() {
        let place = Place::new().expect("the host has memory");
        // Six functions: mov eax, 2; syscall; and the same again.
        let source: Vec<u8> = std::iter::repeat_n([115, 0, 0, 0, 2, 0, 0, 90], 6).flatten().collect();
        let code = Code::assemble(&mut Source(&source), Place::scratch());
        let program = program(&code, place.code(), u8::MAX, 0);
        let plan = Plan::for_program(&program, &Libos { stubs: place.stubs(4096), direct: place.direct() });
        assert!(plan.patched >= 5, "{plan:?}");
        let trace = place.run(&code.bytes, &plan.writes);
        assert_eq!((trace.calls.len(), trace.signal), (1 + 1, 0), "the first function calls, and returns");
    }
}
