//! Random sequences of system calls give the same results in a guest as natively (tests/differential).
//!
//! `HUSK_SEQUENCES=N` carries out N sequences of each family, `HUSK_SEED=N` begins with that seed.

use husk_tests::{Guest, build, native};
use std::time::Duration;

/// Calls of a sequence.
const LENGTH: usize = 30;

/// Sequences of one process.
const AT_ONCE: u64 = 10_000;

/// Sequences of a family, unless another number is asked for.
const SEQUENCES: u64 = 20_000;

fn number(variable: &str) -> Option<u64> {
    std::env::var(variable).ok().map(|text| text.parse().unwrap_or_else(|_| panic!("{variable} is a number")))
}

/// Output of the program with these arguments, natively and in a guest.
fn outputs(arguments: &[&str]) -> [String; 2] {
    let guest = Guest::image(build::image("differential", "differential"));
    let guest = arguments.iter().fold(guest, |guest, argument| guest.argument(*argument));
    let outcome = guest.within(Duration::from_secs(300)).run();
    outcome.expect_success();
    [native::output_with("differential", "differential", arguments), outcome.stdout()]
}

/// Output of calls of one sequence, also if the guest does not come to its end.
fn calls(family: &str, seed: &str, places: &[usize]) -> [Vec<String>; 2] {
    let places = places.iter().map(usize::to_string).collect::<Vec<_>>().join(",");
    let arguments = [family, seed, &places];
    let guest = Guest::image(build::image("differential", "differential"));
    let guest = arguments.iter().fold(guest, |guest, argument| guest.argument(*argument)).run();
    [native::output_with("differential", "differential", &arguments), guest.stdout()]
        .map(|text| text.lines().map(str::to_owned).collect())
}

/// Returns the fewest calls of a sequence that still differ, each with its results.
fn shrunk(family: &str, seed: &str) -> String {
    let mut places: Vec<usize> = (0..LENGTH).collect();
    let differ = |places: &[usize]| {
        let [native, guest] = calls(family, seed, places);
        native != guest
    };
    let mut step = places.len() / 2;
    while step > 0 {
        let mut at = 0;
        while at < places.len() {
            let mut fewer = places.clone();
            fewer.drain(at..(at + step).min(places.len()));
            if differ(&fewer) {
                places = fewer;
            } else {
                at += step;
            }
        }
        step /= 2;
    }
    let [native, guest] = calls(family, seed, &places);
    let line = |lines: &[String], at: usize| lines.get(at).cloned().unwrap_or_else(|| "it has ended".to_owned());
    let lines = (0..places.len()).map(|at| match (line(&native, at), line(&guest, at)) {
        (native, guest) if native == guest => format!("  {native}\n"),
        (native, guest) => format!("  {native}\n  in the guest {guest}\n"),
    });
    format!("the results of {family} {seed} differ:\n{}", lines.collect::<String>())
}

fn compare(family: &str) {
    let (first, count) = (number("HUSK_SEED").unwrap_or(0), number("HUSK_SEQUENCES").unwrap_or(SEQUENCES));
    for start in (first..first + count).step_by(AT_ONCE as usize) {
        let [start, count] = [start, AT_ONCE.min(first + count - start)].map(|number| number.to_string());
        let [native, guest] = outputs(&[family, &start, &count, &LENGTH.to_string()]);
        assert_eq!(native.lines().count().to_string(), count);
        let differing = native.lines().zip(guest.lines()).find(|(native, guest)| native != guest);
        if let Some((line, _)) = differing {
            let seed = line.split_once(' ').expect("a seed and a hash").0;
            panic!("{}", shrunk(family, seed));
        }
        assert_eq!(native.len(), guest.len(), "{family} from {start} on");
    }
}

#[test]
fn calls_on_files_and_names_are_as_on_linux() {
    compare("files");
}

#[test]
fn calls_on_pipes_and_pairs_of_sockets_are_as_on_linux() {
    compare("pipes");
}

#[test]
fn calls_on_sets_of_files_are_as_on_linux() {
    compare("ready");
}

#[test]
fn calls_on_memory_are_as_on_linux() {
    compare("memory");
}

#[test]
fn calls_on_signals_and_timers_are_as_on_linux() {
    compare("signals");
}
