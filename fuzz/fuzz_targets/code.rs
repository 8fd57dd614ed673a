//! See `husk_tests::code`. Takes `husk` and the image `runs_code` as the tests build them.

#![no_main]

use husk_tests::code::Bench;
use husk_tests::{Target, build};
use std::sync::OnceLock;

fn bench() -> &'static Bench {
    static BENCH: OnceLock<Bench> = OnceLock::new();
    BENCH.get_or_init(|| {
        let built = |path: &str| {
            let path = build::target_directory().join(path);
            assert!(path.is_file(), "{} is not there: cargo test -p husk-tests --test hostile_code", path.display());
            path
        };
        // Not built here, because everything here is built for the fuzzer.
        let husk = built("x86_64-unknown-linux-musl/tender/husk");
        Bench::new(&husk, &built("husk/x86_64-unknown-none/release/runs_code"))
    })
}

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    for target in Target::all() {
        if let Err(wrong) = bench().run(target, bytes) {
            panic!("{wrong}");
        }
    }
});
