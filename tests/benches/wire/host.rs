//! Host of the measurements: its own costs, and a load that keeps it busy.

use husk_tests::{Target, build, run_briefly};
use std::process::{Child, Command, Stdio};

/// Prints the times of an exit and of a first touch of a page on this host.
pub fn print_costs() {
    let image = build::image("guests", "host_costs");
    for target in Target::all() {
        let outcome = run_briefly(Command::new(build::husk()).args(["run", target.flag()]).arg(&image));
        let stdout = outcome.stdout();
        let costs: Vec<f64> = stdout.split_whitespace().filter_map(|word| word.parse().ok()).collect();
        let [exit_ns, page_ns] = costs[..] else { panic!("no costs: {outcome}") };
        let (exit_us, page_us) = (exit_ns / 1e3, page_ns / 1e3);
        println!(
            "{}: a call to the tender takes {exit_us:.2} us, a first touch of a page {page_us:.2} us",
            target.name()
        );
    }
}

/// Process that keeps one processor busy until this is dropped.
pub struct Busy(Child);

impl Busy {
    /// Starts the process.
    pub fn start() -> Self {
        let busy = Command::new("sh").args(["-c", "while :; do :; done"]).stdin(Stdio::null()).spawn();
        Self(busy.expect("there is a shell"))
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.kill().expect("it is our own child");
        self.0.wait().expect("it is our own child");
    }
}
