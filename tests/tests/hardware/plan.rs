//! Selection of the tests that a machine runs, and of those that it does not, with the reason.

use crate::content::Content;
use crate::emulator::Machine;

/// Test executables that need no cargo.
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

/// Executable of the libos' own tests. Those of vector registers run in the machines, on processors that this host lacks.
pub const LIBOS: &str = "husk_libos";

/// Longest duration of a test in a machine, by the machine's clock, in seconds.
const LIMIT_S: u32 = 200;

/// Tests that are not run: machine, part of the name, reason.
const SKIPPED: &[(Machine, &str, &str)] =
    &[(Machine::VtX, "almost_all_of_a_large_memory", "it takes 4 GiB, and Bochs has 2 GiB")];

/// Prefix of the tests of vector registers.
const VECTORS: &str = "husk_libos::arch::x86_64::vector::";

/// Parts of the names of tests that a machine runs unless all are asked for.
const CHOICE: &[(Machine, &[&str])] = &[
    (
        Machine::AmdV,
        &[
            "ring3::",
            "refused::a",
            "refused::no_kvm",
            "refused::o",
            "refused::s",
            "std::hello",
            "clocks::both",
            VECTORS,
            "std::threads_keep",
        ],
    ),
    (
        Machine::NoXsave,
        &[VECTORS, "std::hello", "std::threads_keep", "std::system_calls", "signals::handlers", "signals::a_handler"],
    ),
    (Machine::VtX, &["ring3::", "signals::", "std::hello", "std::a_", "std::system_calls", "clocks::both"]),
];

/// Tests of a machine.
#[derive(Debug, Default)]
pub struct Plan {
    /// Tests that the machine runs: executable and name.
    pub tests: Vec<(String, String)>,
    /// Tests that the machine does not run, with the reason.
    pub skipped: Vec<(String, &'static str)>,
}

impl Plan {
    /// Lines that the first process reads, one for each test.
    pub fn lines(&self) -> String {
        self.tests.iter().map(|(executable, name)| format!("{executable} {name} {LIMIT_S}\n")).collect()
    }
}

/// Returns true if `machine` runs the test of this name unless all are asked for.
fn is_chosen(machine: Machine, name: &str) -> bool {
    CHOICE.iter().any(|(of, parts)| *of == machine && parts.iter().any(|part| name.contains(part)))
}

/// Makes the plan for `machine`.
pub fn make(machine: Machine, content: &Content) -> Plan {
    let only = std::env::var("HUSK_LAB_ONLY").ok();
    let all = std::env::var_os("HUSK_LAB_ALL").is_some_and(|value| value != "0");
    let mut plan = Plan::default();
    let mut used = vec![false; SKIPPED.len()];
    for executable in &content.tests {
        for name in content.names(executable) {
            let full = format!("{executable}::{name}");
            if executable == LIBOS && !full.starts_with(VECTORS) {
                continue;
            }
            let skip = SKIPPED.iter().position(|(of, part, _)| *of == machine && full.contains(part));
            if let Some(index) = skip {
                used[index] = true;
                plan.skipped.push((full, SKIPPED[index].2));
                continue;
            }
            let chosen = match &only {
                Some(only) => only.split(',').any(|part| full.contains(part)),
                // NoXsave differs from AmdV only in the missing XSAVE, so it runs only the tests chosen for that.
                None => all && machine != Machine::NoXsave || is_chosen(machine, &full),
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
