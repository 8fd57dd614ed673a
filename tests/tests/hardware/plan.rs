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

/// The executable of the libos' own tests, of which those of vector registers run on other processors than this machine has.
pub const LIBOS: &str = "husk_libos";

/// How long a test may take in a machine, by the clock of that, in seconds.
const LIMIT_S: u32 = 200;

/// Tests that are not run: machine, part of the name, reason.
const SKIPPED: &[(Machine, &str, &str)] =
    &[(Machine::VtX, "almost_all_of_a_large_memory", "it takes 4 GiB, and Bochs has 2 GiB")];

/// The tests of vector registers.
const VECTORS: &str = "husk_libos::arch::x86_64::vector::";

/// What a machine runs unless everything is asked for: parts of names.
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
    (Machine::VtX, &["ring3::", "std::hello", "clocks::both"]),
];

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

/// Whether `machine` runs the test of this name unless everything is asked for.
fn is_chosen(machine: Machine, name: &str) -> bool {
    CHOICE.iter().any(|(of, parts)| *of == machine && parts.iter().any(|part| name.contains(part)))
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
                // It differs from the other in this alone.
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
