//! What fuzzers (`fuzz/`) try with bytes that they evolve, with random ones and with the corpus.

mod guest;

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop, prop_oneof};
use proptest::test_runner::{Config, TestRunner};
use std::path::Path;

/// Runs so many cases. One that fails is printed whole: it goes into the corpus by hand.
fn try_with<S: Strategy<Value = Vec<u8>>>(count: u32, strategy: S) {
    let config = Config { cases: count, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&strategy, |bytes| {
        guest::system_calls(&bytes);
        Ok(())
    });
    run.expect("it holds");
}

fn corpus() -> Vec<Vec<u8>> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/corpus/system_calls");
    let files = std::fs::read_dir(&directory).expect("the corpus is in the repository");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{}", directory.display());
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

#[test]
fn calls_of_the_corpus_are_answered() {
    corpus().iter().for_each(|bytes| guest::system_calls(bytes));
}

#[test]
fn any_calls_are_answered_or_end_the_program() {
    // Kinds of arguments that mean something are drawn more often than others.
    let byte = prop_oneof![2 => any::<u8>(), 1 => 0..16_u8, 1 => 0x20..0x40_u8, 1 => 0x60..0x68_u8];
    try_with(800, vec(byte, 0..600));
}

#[test]
fn calls_that_are_a_little_other_are_answered_or_end_the_program() {
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    let changed = (prop::sample::select(corpus()), changes).prop_map(|(mut bytes, changes)| {
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        bytes
    });
    try_with(300, changed);
}
