//! Which tests a machine runs, and which it does not, with the reason.

use crate::content::Content;
use crate::emulator::Machine;

/// Executables of tests that need no cargo.
pub const TESTS: &[&str] = &[
    "ring3",
    "refused",
    "std",
    "threads",
    "memory",
    "signals",
    "clocks",
    "disks",
    "disk_files",
    "frames",
    "user_network",
    "crashes",
];

/// How long a test may take in a machine, by the clock of that, in seconds.
const LIMIT_S: u32 = 200;

/// Tests that are not run: machine, part of the name, reason.
const SKIPPED: &[(Machine, &str, &str)] = &[];

/// What VT-x runs unless everything is asked for: parts of names.
const CHOICE: &[&str] = &["ring3::", "std::hello", "clocks::"];

/// The tests of a machine.
#[derive(Debug, Default)]
pub struct Plan {
    /// Those that it runs: executable and name.
    pub tests: Vec<(String, String)>,
    /// Those that it does not, with the reason.
    pub skipped: Vec<(String, &'static str)>,
}

impl Plan {
    /// One line a test, as the first process reads them.
    pub fn lines(&self) -> String {
        self.tests.iter().map(|(executable, name)| format!("{executable} {name} {LIMIT_S}\n")).collect()
    }
}

/// The plan for `machine`.
pub fn make(machine: Machine, content: &Content) -> Plan {
    let only = std::env::var("HUSK_LAB_ONLY").ok();
    let all = std::env::var_os("HUSK_LAB_ALL").is_some_and(|value| value != "0");
    let mut plan = Plan::default();
    let mut used = vec![false; SKIPPED.len()];
    for executable in &content.tests {
        for name in content.names(executable) {
            let full = format!("{executable}::{name}");
            let skip = SKIPPED.iter().position(|(of, part, _)| *of == machine && full.contains(part));
            if let Some(index) = skip {
                used[index] = true;
                plan.skipped.push((full, SKIPPED[index].2));
                continue;
            }
            let chosen = match &only {
                Some(only) => only.split(',').any(|part| full.contains(part)),
                None => machine == Machine::AmdV || all || CHOICE.iter().any(|part| full.contains(part)),
            };
            if chosen {
                plan.tests.push((executable.clone(), name));
            }
        }
    }
    for (index, (of, part, _)) in SKIPPED.iter().enumerate() {
        assert!(*of != machine || used[index], "no test has '{part}' in its name any more");
    }
    plan
}
