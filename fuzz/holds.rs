//! Fuzz targets without a fuzzer: on the corpus, and on bytes that proptest draws. The tests of several packages include this file.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any, prop};
use proptest::test_runner::{Config, TestRunner};
use std::path::Path;

/// Runs `target` with the corpus `name`, and with `count` cases of `strategy`.
pub fn holds<S: Strategy<Value = Vec<u8>>>(name: &str, count: u32, target: fn(&[u8]), strategy: S) {
    for bytes in corpus(name) {
        target(&bytes);
    }
    // A case that fails is printed whole: it goes into the corpus by hand.
    let config = Config { cases: count, failure_persistence: None, ..Config::default() };
    let run = TestRunner::new(config).run(&strategy, |bytes| {
        target(&bytes);
        Ok(())
    });
    run.expect("it holds");
}

/// Returns the files of the corpus `name`.
pub fn corpus(name: &str) -> Vec<Vec<u8>> {
    let packages = Path::new(env!("CARGO_MANIFEST_DIR")).ancestors();
    let corpora = packages.map(|folder| folder.join("fuzz/corpus")).find(|corpora| corpora.is_dir());
    let directory = corpora.expect("the corpora are in the repository").join(name);
    let files = std::fs::read_dir(&directory).expect("the corpus is in the repository");
    let mut paths: Vec<_> = files.map(|file| file.expect("a file").path()).collect();
    paths.sort();
    assert!(!paths.is_empty(), "{}", directory.display());
    paths.iter().map(|path| std::fs::read(path).expect("a file")).collect()
}

/// Draws a file of the corpus `name` with some bytes changed, and one in four cut off.
pub fn changed(name: &str) -> impl Strategy<Value = Vec<u8>> + use<> {
    let whole = prop::sample::select(corpus(name));
    let changes = vec((any::<prop::sample::Index>(), any::<u8>()), 0..8);
    (whole, changes, any::<prop::sample::Index>(), 0..4_u8).prop_map(|(mut bytes, changes, length, cut)| {
        for (at, byte) in changes {
            if !bytes.is_empty() {
                let at = at.index(bytes.len());
                bytes[at] = byte;
            }
        }
        if cut == 0 {
            bytes.truncate(length.index(bytes.len() + 1));
        }
        bytes
    })
}
