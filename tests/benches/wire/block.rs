//! Requests to a disk: a guest through the native API, and a process on the same file in the page cache, by a system call
//! for each or, with several in flight, through io_uring.

use super::table::{Row, Sample, head, rows};
use husk_tests::measure::exits;
use husk_tests::{Disk, Target, build};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

/// Bytes of the disk.
const SIZE: usize = 64 << 20;
/// Bytes that are written to the disk at once.
const PIECE: usize = 4096;
/// Duration of a case in each round, in milliseconds.
const DURATION_MS: &str = "300";

pub fn run(rounds: usize) {
    let disk = Disk::empty(SIZE as u64);
    fill(disk.path()).expect("there is room");
    let (image, native) = (build::image("block-guests", "disk_bench"), build::baseline("block"));
    head("req");
    for size in ["512", "4096", "65536", "1048576"] {
        for (way, order) in [("read", "sequential"), ("read", "random"), ("write", "sequential"), ("write", "random")] {
            for depth in ["1", "32"] {
                let case = [way, order, size, depth, DURATION_MS];
                let title = format!("{size} bytes, {order} {way}s/s, depth {depth}");
                let what = Row::new(title, solo5(&case));
                let native = || [ran(Command::new(&native).arg(disk.path()).args(case)).values[0]];
                rows([what], rounds, native, |target: Target| {
                    let mut command = Command::new(build::husk());
                    command.args(["run", target.flag(), "--verbose", &disk.flag("")]).arg("--").arg(&image).args(case);
                    ran(&mut command)
                });
            }
        }
    }
}

/// Writes the disk in small pieces, as users of a disk do: for each byte written, ext4 walks the whole piece that the page
/// cache has. Then syncs the disk, because writes to pages that the host has yet to write back are dearer.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    for _ in 0..SIZE / PIECE {
        file.write_all(&[7; PIECE])?;
    }
    file.sync_all()
}

/// Results of Solo5, which has one request in flight at a time.
fn solo5(case: &[&str; 5]) -> &'static str {
    match case[..4] {
        ["read", "sequential", "512", "1"] => "14,000 and 1,840,000",
        ["write", "sequential", "512", "1"] => "13,000 and 540,000",
        ["read", "random", "4096", "1"] => "13,000 and 1,050,000",
        ["write", "random", "4096", "1"] => "13,000 and 305,000",
        _ => "",
    }
}

/// Runs a case. Returns the requests per second, and a guest's exits per request.
fn ran(command: &mut Command) -> Sample<1> {
    let output = command.output().expect("the program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let numbers: Vec<f64> = stdout.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [requests, ns] = numbers[..] else { panic!("no figures: {stdout}{stderr}") };
    Sample { values: [requests * 1e9 / ns], exits: exits(&stderr) / requests }
}
