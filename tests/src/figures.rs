//! Figures that a program measures itself, `name: ns` a line, in a guest and as a process of this machine.

use crate::{build, measure};
use std::path::PathBuf;
use std::process::Command;

/// The program `name` of `package`: as an image, and to run as a process.
pub fn built(package: &str, name: &str) -> [PathBuf; 2] {
    [build::image(package, name), build::native(package, name)]
}

/// Runs a program both ways, in turn, and prints the medians of each of its figures. The ratio is the median of those
/// within each round, so that what changes from round to round weighs on both alike; with it come the ratios below
/// which a quarter of the rounds lies, and above which another does.
pub fn compare([image, native]: [PathBuf; 2], title: &str, rounds: usize) {
    let mut figures: Vec<(String, [Vec<f64>; 2])> = Vec::new();
    for round in 0..rounds {
        let guest = &mut Command::new(build::husk());
        let mut commands = [(0, guest.arg("run").arg(&image)), (1, &mut Command::new(&native))];
        // Whatever comes second may find something warm.
        commands.rotate_left(round % 2);
        for (target, command) in commands {
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
    println!("{title:<26} {:>10} {:>10} {:>8} {:>16}", "husk", "linux", "ratio", "quartiles");
    for (name, [guest, native]) in &mut figures {
        let mut ratios: Vec<f64> = guest.iter().zip(native.iter()).map(|(guest, native)| guest / native).collect();
        let [low, middle, high] = measure::quartiles(&mut ratios);
        let (guest, native) = (measure::median(guest), measure::median(native));
        println!("{name:<26} {guest:>10.1} {native:>10.1} {middle:>8.3} {low:>8.3}{high:>8.3}");
    }
}
