//! Random sequences of system calls: `differential FAMILY FIRST COUNT LENGTH` carries out the sequences of seeds FIRST to
//! FIRST + COUNT and prints a hash of the results of each. `differential FAMILY SEED LENGTH,…` carries out the calls with these
//! places in the sequence of SEED and prints each with its result.
//!
//! A call depends on the seed and its place alone, so that leaving out one changes no other. Results hold nothing that may differ
//! from run to run, such as addresses, times or process numbers.

mod calls;
mod descriptors;
mod files;
mod memory;
mod pipes;
mod random;
mod ready;
mod signals;

use random::Random;
use std::fmt::Write;

/// State that the calls of a sequence share, made anew for each sequence.
trait Family {
    /// Carries out the call that is drawn; returns it with its result.
    fn step(&mut self, random: &mut Random) -> String;
}

fn make(family: &str) -> Box<dyn Family> {
    match family {
        "files" => Box::new(files::Files::new()),
        "pipes" => Box::new(pipes::Pipes::new()),
        "ready" => Box::new(ready::Ready::new()),
        "memory" => Box::new(memory::Memory::new()),
        "signals" => Box::new(signals::Signals::new()),
        _ => panic!("no family is called {family}"),
    }
}

/// FNV-1a.
fn hash(of: &str, start: u64) -> u64 {
    of.bytes().fold(start, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3))
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |text: &String| text.parse::<u64>().expect("a number");
    match &arguments[..] {
        [family, first, count, length] => {
            let mut out = String::new();
            for seed in number(first)..number(first) + number(count) {
                let mut state = make(family);
                let results = (0..number(length)).map(|place| state.step(&mut Random::new(seed, place)));
                let hash = results.fold(0xcbf2_9ce4_8422_2325, |hash, line| self::hash(&line, hash));
                writeln!(out, "{seed} {hash:016x}").expect("memory takes it");
            }
            print!("{out}");
        }
        [family, seed, places] => {
            let mut state = make(family);
            for place in places.split(',').filter(|place| !place.is_empty()) {
                let place = place.parse().expect("a number");
                println!("{place} {}", state.step(&mut Random::new(number(seed), place)));
            }
        }
        _ => panic!("differential FAMILY FIRST COUNT LENGTH, or differential FAMILY SEED PLACE,…"),
    }
}
