//! Whole-process measurements: rounds in which every row runs once, medians, ratios to the first row.

use crate::watch;
use std::ffi::OsString;
use std::io::Read;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// A program to measure.
#[derive(Clone, Debug)]
pub struct Row {
    name: &'static str,
    command: Vec<OsString>,
}

impl Row {
    /// Returns a row called `name` that runs `command`.
    pub fn new(name: &'static str, command: Vec<OsString>) -> Self {
        Self { name, command }
    }

    /// Runs the program once. Returns the milliseconds to the first byte of its output, and to its exit.
    fn run(&self) -> [f64; 2] {
        let mut command = Command::new(&self.command[0]);
        command.args(&self.command[1..]).stdin(Stdio::null()).stdout(Stdio::piped());
        let started = Instant::now();
        let mut child = command.spawn().expect("the row's program starts");
        let mut output = child.stdout.take().expect("piped");
        output.read_exact(&mut [0]).expect("every row prints something");
        let first_byte = started.elapsed();
        let _ = output.read_to_end(&mut Vec::new());
        let status = child.wait().expect("our own child");
        let exit = started.elapsed();
        assert!(status.success(), "{} ended with {status}", self.name);
        [first_byte, exit].map(|time| time.as_secs_f64() * 1e3)
    }
}

/// Time limit of a measured program.
const LONGEST: Duration = Duration::from_secs(300);

/// Number of rounds: the last command line argument if it is a number, else `default`. From now on, the bench ends if a
/// measured program hangs.
pub fn rounds(default: usize) -> usize {
    watch::over_children(LONGEST);
    std::env::args().next_back().and_then(|argument| argument.parse().ok()).unwrap_or(default)
}

/// Runs all rows in rounds and prints, for each, medians and ratios to the first row.
pub fn compare(rows: &[Row], rounds: usize) {
    let mut times = vec![[vec![], vec![]]; rows.len()];
    let mut ratios = times.clone();
    for round in 0..=rounds {
        let measured: Vec<_> = rows.iter().map(Row::run).collect();
        // The first round warms the page cache.
        for (row, [first, exit]) in measured.iter().enumerate().filter(|_| round > 0) {
            times[row][0].push(*first);
            times[row][1].push(*exit);
            ratios[row][0].push(first / measured[0][0]);
            ratios[row][1].push(exit / measured[0][1]);
        }
    }
    println!("{:<26} {:>14} {:>8} {:>14} {:>8}", "start", "first byte ms", "ratio", "exit ms", "ratio");
    for ((row, times), ratios) in rows.iter().zip(&mut times).zip(&mut ratios) {
        let [first, exit] = times.each_mut().map(|values| median(values));
        let [first_ratio, exit_ratio] = ratios.each_mut().map(|values| median(values));
        println!("{:<26} {first:>14.3} {first_ratio:>8.3} {exit:>14.3} {exit_ratio:>8.3}", row.name);
    }
}

/// Returns the median.
pub fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

/// Returns the number of a guest's exits to its tender, from the statistics that `--verbose` prints at the end.
pub fn exits(told: &str) -> f64 {
    let line = told.lines().find(|line| line.starts_with("husk: exits:")).unwrap_or_default();
    line.split_whitespace().filter_map(|word| word.parse::<f64>().ok()).sum()
}

/// Returns the milliseconds that a tender took to confine itself, from the statistics that `--verbose` prints at the end.
pub fn confinement_ms(told: &str) -> f64 {
    let line = told.lines().find_map(|line| line.strip_prefix("husk: confined itself in")).unwrap_or_default();
    line.split_whitespace().find_map(|word| word.parse().ok()).unwrap_or(f64::NAN)
}

/// Returns the quartiles.
pub fn quartiles(values: &mut [f64]) -> [f64; 3] {
    values.sort_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values.get(values.len() * quarter / 4).copied().unwrap_or(f64::NAN))
}

/// Returns resident and proportional set size in KiB of a process that prints a line and then rests. Ends the process.
pub fn memory(command: &mut Command) -> (u64, u64) {
    let mut child = command.stdout(Stdio::piped()).spawn().expect("the program starts");
    child.stdout.as_mut().expect("piped").read_exact(&mut [0]).expect("it prints something");
    std::thread::sleep(std::time::Duration::from_millis(50));
    let rollup = std::fs::read_to_string(format!("/proc/{}/smaps_rollup", child.id())).expect("our own child");
    let field = |name: &str| {
        let line = rollup.lines().find(|line| line.starts_with(name)).unwrap_or_default();
        line.split_whitespace().nth(1).and_then(|kib| kib.parse().ok()).unwrap_or(0)
    };
    child.kill().expect("our own child");
    child.wait().expect("our own child");
    (field("Rss:"), field("Pss:"))
}
