//! What a request to a disk costs: a guest through the native API, and a process through io_uring, on the same file in the
//! page cache.
//!
//! Both run each case in turn, for a moment each, so that they share the machine's moods; the medians of their rates are
//! printed, their ratio (guest to process, more is better), and how often the guest left the VM for its tender.
//! `cargo bench -p husk-tests --bench block [-- ROUNDS]`

use husk_tests::{Disk, build, measure};
use std::process::Command;

/// Bytes of the disk.
const SIZE: usize = 64 << 20;
/// How long a case runs at once.
const DURATION_MS: &str = "100";

fn main() {
    let rounds = measure::rounds(5);
    let disk = Disk::of(&vec![7; SIZE]);
    let (image, native) = (build::image("block-guests", "disk_bench"), build::baseline("block_uring"));
    println!("{:<38} {:>10} {:>10} {:>7} {:>14}", "requests/s", "husk", "linux", "ratio", "exits/request");
    for size in ["512", "4096", "65536", "1048576"] {
        for (way, order) in [("read", "sequential"), ("read", "random"), ("write", "sequential"), ("write", "random")] {
            for depth in ["1", "32"] {
                let case = [way, order, size, depth, DURATION_MS];
                let (mut rates, mut ratios, mut exits) = ([vec![], vec![]], vec![], vec![]);
                for _ in 0..rounds {
                    let guest = &mut Command::new(build::husk());
                    guest.args(["run", "--verbose", &disk.flag("")]).arg("--").arg(&image).args(case);
                    let (requests, guest, left) = run(guest);
                    let (_, process, _) = run(Command::new(&native).arg(disk.path()).args(case));
                    rates[0].push(guest);
                    rates[1].push(process);
                    ratios.push(guest / process);
                    exits.push(left / requests);
                }
                let name = format!("{size} bytes, {order} {way}, depth {depth}");
                let [guest, process] = rates.each_mut().map(|rates| measure::median(rates));
                let (ratio, exits) = (measure::median(&mut ratios), measure::median(&mut exits));
                println!("{name:<38} {guest:>10.0} {process:>10.0} {ratio:>7.2} {exits:>14.4}");
            }
        }
    }
}

/// Requests made, requests a second, and how often a guest left the VM to wait.
fn run(command: &mut Command) -> (f64, f64, f64) {
    let output = command.output().expect("the program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let numbers: Vec<f64> = stdout.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [requests, ns] = numbers[..] else { panic!("no figures: {stdout}{stderr}") };
    let exits = stderr.split_once("Wait ").and_then(|(_, rest)| rest.split_whitespace().next());
    (requests, requests * 1e9 / ns, exits.and_then(|count| count.parse().ok()).unwrap_or(0.0))
}
