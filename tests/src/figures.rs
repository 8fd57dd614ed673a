//! Figures that a program measures itself and prints as lines `name: ns`, in a guest and as a process of this machine.

use crate::{build, measure};
use std::path::PathBuf;
use std::process::Command;

/// Builds the program `name` of `package` as an image and as a process.
pub fn built(package: &str, name: &str) -> [PathBuf; 2] {
    [build::image(package, name), build::native(package, name)]
}

/// Runs a program both ways, in turn, and prints the medians of each of its figures. The ratio is the median of the ratios
/// within each round, so that changes between rounds affect both sides alike; the quartiles of the ratios are printed too.
pub fn compare(programs: [PathBuf; 2], title: &str, rounds: usize) {
    compare_runs(programs, title, rounds, &[None], &[]);
}

/// Compares like [`compare`]: the programs get this argument, and the guest is run with `flags`.
pub fn compare_with(programs: [PathBuf; 2], title: &str, rounds: usize, argument: &str, flags: &[String]) {
    compare_runs(programs, title, rounds, &[Some(argument)], flags);
}

/// Compares a program figure by figure: with the argument `names` it prints the names of its figures, a line each, and with one
/// of the names it measures that figure only. Each figure has a guest and a process of its own, so that figures do not affect
/// each other through the heap.
pub fn compare_each(programs: [PathBuf; 2], title: &str, rounds: usize) {
    let output = Command::new(&programs[1]).arg("names").output().expect("the program starts");
    let names = String::from_utf8(output.stdout).expect("names in UTF-8");
    let names: Vec<_> = names.lines().map(Some).collect();
    compare_runs(programs, title, rounds, &names, &[]);
}

/// Runs the programs with each of these arguments in each round, and the guest with these flags.
fn compare_runs(
    [image, native]: [PathBuf; 2],
    title: &str,
    rounds: usize,
    arguments: &[Option<&str>],
    flags: &[String],
) {
    let mut figures: Vec<(String, [Vec<f64>; 2])> = Vec::new();
    for (round, argument) in (0..rounds).flat_map(|round| arguments.iter().map(move |argument| (round, argument))) {
        let (guest, process) = (&mut Command::new(build::husk()), &mut Command::new(&native));
        guest.arg("run").args(flags).arg(&image);
        if let Some(argument) = argument {
            guest.arg("--").arg(argument);
            process.arg(argument);
        }
        let mut commands = [(0, guest), (1, process)];
        // The second program may profit from caches that the first one has warmed.
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
