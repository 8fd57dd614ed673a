//! The unwinder: the report on a guest that stopped below many calls. `cargo bench -p husk-tender --bench unwinder`

use criterion::{Criterion, Throughput};
use husk_abi::memory::{Region, Rights};
use husk_abi::registers::Registers;
use husk_tender::report::place::{Kind, Place};
use husk_tender::report::{Report, ReportRequest, Stop};
use std::fs::File;
use std::path::Path;
use std::sync::Arc;

/// A program of the fuzzers' corpus in which `_start` calls `outer`, with call frame information and lines of both.
const PROGRAM: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../fuzz/corpus/report/dwarf5_nested");
/// Address in the program where `outer` stops, with nothing on the stack but its return address.
const STOPPED: u64 = 0x225;
/// Address in `_start` to which `outer` returns.
const RETURN: u64 = 0x25b;
/// Bytes of a frame of `_start`, the return address at its end.
const FRAME: u64 = 32;
/// Address where the program is loaded, and of the stack.
const BIAS: u64 = 4 << 30;
const STACK: u64 = 1 << 40;

/// Returns the report on `outer`, called below `calls` frames of `_start`, each of which another one called.
fn report(file: &Arc<File>, calls: u64) -> Report {
    let registers = Registers { rip: BIAS + STOPPED, rsp: STACK, ..Default::default() };
    let rights = Rights::READ | Rights::EXECUTE;
    let map = [Place { kind: Kind::Image, region: Region { start: BIAS, length: 1 << 20 }, rights }];
    // The outermost frame returns to address 0, where a stack begins.
    let top = STACK + calls * FRAME;
    let mut read = |address| (address <= top).then_some(if address < top { BIAS + RETURN } else { 0 });
    ReportRequest {
        what: Some("a bench".to_owned()),
        stop: Some(Stop { access: None, registers: registers.into(), past: false, thread: None }),
        threads: &[],
        image: Path::new(PROGRAM),
        file,
        load_bias: BIAS,
        map: &map,
        read_guest: &mut read,
        debug_files: None,
    }
    .report()
}

fn unwinder(criterion: &mut Criterion) {
    let file = Arc::new(File::open(PROGRAM).expect("the corpus"));
    let mut group = criterion.benchmark_group("unwinder");
    for calls in [10, 1_000, 100_000] {
        let text = report(&file, calls).to_string();
        // `outer` is a call too. Of more than 128 calls, a report shows 40.
        let all =
            if calls < 128 { format!("\n{calls:>4}: _start\n") } else { format!("… {} more calls …", calls - 39) };
        assert!(text.contains(&all) && !text.contains("the stack ends here"), "{text}");
        group.throughput(Throughput::Elements(calls));
        group.bench_function(format!("{calls} calls"), |bench| bench.iter(|| report(&file, calls)));
    }
    group.finish();
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    unwinder(&mut criterion);
    criterion.final_summary();
}
