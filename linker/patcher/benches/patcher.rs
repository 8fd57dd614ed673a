//! The patcher on a small linked program: its code is decoded, and its sites become jumps. `cargo bench -p husk-patcher`

use criterion::{Criterion, Throughput};

/// A linked program of the fuzzers' corpus, with sites, stubs and unwind tables.
const PROGRAM: &[u8] = include_bytes!("../../../fuzz/corpus/linked/relocatable");

fn patcher(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("patcher");
    group.throughput(Throughput::Bytes(PROGRAM.len() as u64));
    let patch = || husk_patcher::patch(&mut PROGRAM.to_vec()).expect("a linked program");
    assert!(patch().patched > 0);
    group.bench_function("linked program", |bench| bench.iter(patch));
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    patcher(&mut criterion);
    criterion.final_summary();
}
