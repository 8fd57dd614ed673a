//! Networks and disks: speed of a guest, as a virtual machine and as a process, against that of an ordinary process of this
//! machine, all in turn.
//!
//! `cargo bench -p husk-tests --bench wire [-- PART…] [--busy] [--slow-host] [--only TEXT] [ROUNDS]`
//!
//! The parts are `http`, `bulk`, `frames` and `block`; all run if none is named. All but `block` take root, because they make
//! networks of their own. With `--busy`, another process keeps one processor busy during the run; with `--slow-host`, each exit
//! takes longer than it does here; with `--only`, only rows with this text in their name are measured.

mod block;
mod bulk;
mod frames;
mod host;
mod http;
mod table;

use host::Busy;
use husk_tests::{build, measure, requires, wire};
use std::env;

/// Part: name, true if it takes networks, usual number of rounds, and function that runs it.
type Part = (&'static str, bool, usize, fn(usize));

const PARTS: [Part; 4] = [
    ("http", true, 3, http::run),
    ("bulk", true, 3, bulk::run),
    ("frames", true, 5, frames::run),
    ("block", false, 3, block::run),
];

fn main() {
    let named = |name: &str| env::args().skip(1).any(|word| word == name);
    if named("--slow-host") {
        build::pretend_slow_host();
    }
    host::print_costs();
    let _busy = named("--busy").then(Busy::start);
    let all = !PARTS.iter().any(|(name, ..)| named(name));
    for (name, takes_networks, rounds, run) in PARTS {
        if !all && !named(name) || takes_networks && (!requires::root() || !requires::tun()) {
            continue;
        }
        println!("\n{name}");
        match takes_networks {
            // In a network of its own, because other runs have interfaces of the same names.
            true => std::thread::scope(|scope| {
                scope.spawn(|| wire::alone().then(|| run(measure::rounds(rounds))));
            }),
            false => run(measure::rounds(rounds)),
        }
    }
}
