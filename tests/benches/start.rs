//! Cold start, from exec to the first byte of output and to the exit, and the memory of a guest at rest.
//!
//! Every row runs once in each round, so that changes of the machine's load affect all rows; ratios are taken within a round,
//! and the median of the rounds is printed. `cargo bench -p husk-tests --bench start [-- ROUNDS]`

use husk_tests::build;
use husk_tests::measure::{self, Row};
use husk_tests::skip;
use std::path::PathBuf;
use std::process::Command;

fn main() {
    let rounds = measure::rounds(200);
    let baseline = |name: &str| vec![build::baseline(name).into_os_string()];
    let husk = build::installed_husk();
    let on = |target: &str, image: PathBuf| {
        vec![husk.clone().into_os_string(), "run".into(), format!("--target={target}").into(), image.into_os_string()]
    };
    let guest = |image| on("hvt", image);
    let table = build::large_image();
    let rows = [
        Row::new("bare KVM program", baseline("bare_kvm")),
        Row::new("static process", baseline("static_process")),
        Row::new("hello (no_std)", guest(build::image("hello", "hello"))),
        Row::new("hello-std", guest(build::image("hello-std", "hello-std"))),
        Row::new("hello-std + 200 MB table", guest(table)),
    ];
    println!("a virtual machine (hvt)");
    measure::compare(&rows, rounds);

    let processes = [
        Row::new("hello (no_std)", on("spt", build::image("hello", "hello"))),
        Row::new("hello-std", on("spt", build::image("hello-std", "hello-std"))),
    ];
    // One is Rust's with musl, like the tender itself; the other is made by a C compiler.
    let rust = Some(Row::new("static process (musl)", baseline("static_process")));
    let c = build::baseline_of_c("static_process").map(|path| Row::new("static process (C)", vec![path.into()]));
    if c.is_none() {
        skip!("a static process of C, as `cc -static` finds no C library");
    }
    for first in [c, rust].into_iter().flatten() {
        println!("\na process (spt)");
        measure::compare(&[vec![first], processes.to_vec()].concat(), rounds);
    }

    println!("\n{:<26} {:>14}", "the tender's confinement", "ms");
    for target in ["hvt", "spt"] {
        let line = on(target, build::image("hello", "hello"));
        let run = || Command::new(&line[0]).arg("run").arg("--verbose").args(&line[2..]).output().expect("husk starts");
        let took = |_| measure::confinement_ms(&String::from_utf8_lossy(&run().stderr));
        let mut times: Vec<f64> = (0..rounds).map(took).collect();
        println!("{target:<26} {:>14.3}", measure::median(&mut times));
    }

    println!("\n{:<26} {:>10} {:>10}", "memory at rest", "RSS KiB", "PSS KiB");
    for (name, image) in [("no_std", build::image("guests", "idle")), ("std", build::image("programs", "idle_std"))] {
        let (rss, pss) = measure::memory(Command::new(&husk).arg("run").arg(image));
        println!("{name:<26} {rss:>10} {pss:>10}");
    }
}
