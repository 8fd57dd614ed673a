//! Requests to a disk: a guest through the native API, and a process on the same file in the page cache, by a system call
//! for each or, with several under way, through io_uring.

use super::table::{Row, Sample, head, rows};
use husk_tests::measure::exits;
use husk_tests::{Disk, Target, build};
use std::fs::File;
use std::io::{self, Write};
use std::path::Path;
use std::process::Command;

/// Bytes of the disk.
const SIZE: usize = 64 << 20;
/// Bytes that are written to it at once.
const PIECE: usize = 4096;
/// How long a case runs at once.
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

/// Writes it in small pieces, as what uses a disk does: ext4 walks the whole of the piece that the page cache has, for each
/// byte written to it. And makes it last: what the host has yet to write is dearer to write to.
fn fill(path: &Path) -> io::Result<()> {
    let mut file = File::options().write(true).open(path)?;
    for _ in 0..SIZE / PIECE {
        file.write_all(&[7; PIECE])?;
    }
    file.sync_all()
}

/// What Solo5 does, which has one request under way at a time.
fn solo5(case: &[&str; 5]) -> &'static str {
    match case[..4] {
        ["read", "sequential", "512", "1"] => "14,000 and 1,840,000",
        ["write", "sequential", "512", "1"] => "13,000 and 540,000",
        ["read", "random", "4096", "1"] => "13,000 and 1,050,000",
        ["write", "random", "4096", "1"] => "13,000 and 305,000",
        _ => "",
    }
}

/// Requests a second, and how often a guest left for its tender.
fn ran(command: &mut Command) -> Sample<1> {
    let output = command.output().expect("the program starts");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    let numbers: Vec<f64> = stdout.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [requests, ns] = numbers[..] else { panic!("no figures: {stdout}{stderr}") };
    Sample { values: [requests * 1e9 / ns], exits: exits(&stderr) / requests }
}
