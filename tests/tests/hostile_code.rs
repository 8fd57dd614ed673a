//! Guests of random and hostile machine code: whatever they try, their tender ends as promised, and leaves nothing behind.
//!
//! `HUSK_PROGRAMS` is the number of programs. The fuzzer `fuzz/fuzz_targets/code.rs` runs code that it evolves.

use husk_tests::code::{Bench, Verdict};
use husk_tests::{Target, build};
use std::collections::BTreeMap;

/// Pseudorandom numbers (xorshift, by Marsaglia).
struct Numbers(u64);

impl Numbers {
    fn draw(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }
}

fn programs() -> u64 {
    std::env::var("HUSK_PROGRAMS").ok().and_then(|count| count.parse().ok()).unwrap_or(300)
}

/// Random bytes, of a random number below 160.
fn random(seed: u64) -> Vec<u8> {
    let mut numbers = Numbers(seed.wrapping_add(1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
    let length = numbers.draw() % 160;
    (0..length).map(|_| (numbers.draw() >> 32) as u8).collect()
}

#[test]
fn whatever_code_a_guest_runs_its_tender_ends_as_it_promises() {
    let bench = Bench::built();
    let mut wrong = vec![];
    for target in Target::all() {
        let mut ends: BTreeMap<Verdict, u32> = BTreeMap::new();
        for seed in 0..programs() {
            match bench.run(target, &random(seed)) {
                Ok(verdict) => *ends.entry(verdict).or_default() += 1,
                Err(how) => wrong.push(format!("program {seed}: {how}")),
            }
        }
        println!("{}: {ends:?}", target.name());
        let kinds = ends.keys().filter(|verdict| matches!(verdict, Verdict::Stopped(_))).count();
        assert!(kinds >= 5 && ends.contains_key(&Verdict::Exited(42)), "{ends:?}");
    }
    assert!(wrong.is_empty(), "{} programs\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn each_program_of_the_fuzzers_corpus_ends_as_promised() {
    let bench = Bench::built();
    let files = std::fs::read_dir(build::workspace().join("fuzz/corpus/code")).expect("it is in the repository");
    for file in files {
        let path = file.expect("a file").path();
        let bytes = std::fs::read(&path).expect("a file");
        for target in Target::all() {
            bench.run(target, &bytes).unwrap_or_else(|wrong| panic!("{}: {wrong}", path.display()));
        }
    }
}

/// Code that ends with a known status.
#[test]
fn a_guest_ends_with_the_status_that_it_chose() {
    let (bench, hasty) = (Bench::built().patient(), Bench::built());
    for target in Target::all() {
        let end = |code: &[u8]| bench.run_code(target, code).expect("it is as promised");
        assert_eq!(end(b""), Verdict::Exited(42));
        assert_eq!(end(b"\x0f\x0b"), Verdict::Stopped("invalid instruction"));
        assert_eq!(end(b"\xf4"), Verdict::Stopped("general protection fault"));
        assert_eq!(hasty.run_code(target, b"\xeb\xfe"), Ok(Verdict::TimeIsUp));
        // The code sets the arguments of the last call itself: mov edi, 3; mov esi, STATUS; jmp to the end's mov rax.
        for status in [0u32, 1, 124, 125, 139, 255] {
            let end_at = |code: &[u8]| (512 - code.len() - 5 + 10) as u32;
            let mut code = [&b"\xbf\x03\0\0\0\xbe"[..], &status.to_le_bytes()].concat();
            let distance = end_at(&code);
            code.extend([&b"\xe9"[..], &distance.to_le_bytes()].concat());
            assert_eq!(end(&code), Verdict::Exited(status as i32));
        }
    }
}

/// Test of the checks themselves: each must fail for a tender that is broken on purpose.
#[test]
fn a_broken_tender_is_found_out() {
    let wrongs = [
        ("processor:crash", "signal 11 ended the tender"),
        ("processor:exit_in_silence", "without a reason"),
        ("processor:exit_before_the_guest", "the guest has not begun"),
        ("process:leave_a_process", "it has left a process"),
        ("process:spoil_input", "it has left bytes on its standard input"),
        ("process:sleep", "it has not ended"),
    ];
    for (attempt, expected) in wrongs {
        for target in Target::all() {
            let wrong = Bench::broken(attempt).run_code(target, b"").expect_err(attempt);
            assert!(wrong.contains(expected), "{attempt}: {wrong}");
        }
    }
    for target in Target::all() {
        assert_eq!(Bench::broken("processor:nothing").run_code(target, b""), Ok(Verdict::Exited(42)));
    }
}
