//! The cost of a system call: patched into a jump, trapping through the stub, and Linux's own.
//!
//! The same program runs in a guest and as a process, in turn; the medians of its own figures are printed.
//! `cargo bench -p husk-tests --bench calls [-- ROUNDS]`

use husk_tests::{build, measure};
use std::collections::BTreeMap;
use std::process::Command;

fn main() {
    let rounds = measure::rounds(15);
    let image = build::image("programs", "call_cost");
    let native = build::native("programs", "call_cost");
    let mut figures: BTreeMap<(String, &str), Vec<f64>> = BTreeMap::new();
    for _ in 0..rounds {
        for (target, command) in
            [("husk", Command::new(build::husk()).arg("run").arg(&image)), ("linux", &mut Command::new(&native))]
        {
            let output = command.output().expect("the program starts");
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                if let Some((name, ns)) = line.split_once(':') {
                    let Ok(ns) = ns.trim().parse() else { continue };
                    figures.entry((name.to_owned(), target)).or_default().push(ns);
                }
            }
        }
    }
    println!("{:<26} {:>10} {:>10} {:>8}", "ns a call", "husk", "linux", "ratio");
    let names: std::collections::BTreeSet<_> = figures.keys().map(|(name, _)| name.clone()).collect();
    for name in names {
        let mut median = |target| measure::median(figures.get_mut(&(name.clone(), target)).expect("both ran"));
        let (husk, linux) = (median("husk"), median("linux"));
        println!("{name:<26} {husk:>10.1} {linux:>10.1} {:>8.3}", husk / linux);
    }
}
