//! Figures that a program measures itself, `name: ns` a line, in a guest and as a process of this machine.

use crate::{build, measure};
use std::process::Command;

/// Runs the program `name` both ways, in turn, and prints the medians of each of its figures and their ratio.
pub fn compare(name: &str, title: &str, rounds: usize) {
    let image = build::image("programs", name);
    let native = build::native("programs", name);
    let mut figures: Vec<(String, [Vec<f64>; 2])> = Vec::new();
    for _ in 0..rounds {
        let guest = &mut Command::new(build::husk());
        for (target, command) in [guest.arg("run").arg(&image), &mut Command::new(&native)].into_iter().enumerate() {
            let output = command.output().expect("the program starts");
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                let Some((name, ns)) = line.rsplit_once(':') else { continue };
                let Ok(ns) = ns.trim().parse() else { continue };
                let place = figures.iter().position(|(known, _)| known == name).unwrap_or(figures.len());
                if place == figures.len() {
                    figures.push((name.to_owned(), Default::default()));
                }
                figures[place].1[target].push(ns);
            }
        }
    }
    println!("{title:<26} {:>10} {:>10} {:>8}", "husk", "linux", "ratio");
    for (name, [guest, native]) in &mut figures {
        let (guest, native) = (measure::median(guest), measure::median(native));
        println!("{name:<26} {guest:>10.1} {native:>10.1} {:>8.3}", guest / native);
    }
}
