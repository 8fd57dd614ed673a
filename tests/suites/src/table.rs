//! RESULTS.md.

use crate::Result;
use crate::compare::Comparison;
use std::fmt::Write;
use std::fs;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

const HEAD: &str = "# Test suites of published crates

Each crate's own tests, from the source that the registry has, run by `cargo run -p suites`: as processes of Linux
(`cargo test --target x86_64-unknown-linux-musl`) and in VMs (`cargo husk test`), each test executable in a VM of its own
with 4 GB of memory. Doctests, benches and examples are left out. The numbers are those of libtest.

";

/// Writes what `comparisons` say.
pub fn write(comparisons: &[Comparison]) -> Result<()> {
    fs::write(PATH, text(comparisons)).map_err(|error| format!("{PATH}: {error}"))
}

fn text(comparisons: &[Comparison]) -> String {
    let mut text = HEAD.to_owned();
    // Writing to a string does not fail.
    let _ = lines(&mut text, comparisons);
    text
}

fn lines(text: &mut String, comparisons: &[Comparison]) -> std::fmt::Result {
    writeln!(text, "| crate | version | passed natively | passed in VMs | failed natively | differences |")?;
    writeln!(text, "|---|---|--:|--:|--:|--:|")?;
    let mut sums = [0; 4];
    for comparison in comparisons {
        let Comparison { one, counts: [[native, failed, _], [guest, ..]], differences, .. } = comparison;
        let row = [*native, *guest, *failed, differences.len()];
        sums.iter_mut().zip(row).for_each(|(sum, number)| *sum += number);
        writeln!(text, "| {} | {} | {} |", one.name, one.version, row.map(|number| number.to_string()).join(" | "))?;
    }
    let sums = sums.map(|number| number.to_string()).join(" | ");
    writeln!(text, "| {} crates | | {sums} |", comparisons.len())?;
    differences(text, comparisons)?;
    skipped(text, comparisons)
}

/// Why tests pass natively and not in VMs.
fn differences(text: &mut String, comparisons: &[Comparison]) -> std::fmt::Result {
    writeln!(text, "\n## Differences\n\nTests that pass natively, and not in VMs.\n")?;
    for Comparison { one, differences, .. } in comparisons {
        let mut reasons: Vec<_> = one.differs.iter().map(|tests| &tests.why[..]).collect();
        reasons.sort_unstable();
        reasons.dedup();
        for reason in reasons {
            let has_it = |why: &Option<usize>| why.is_some_and(|at| one.differs[at].why == reason);
            let tests: Vec<_> = differences.iter().filter(|(_, why)| has_it(why)).map(|(test, _)| test).collect();
            match tests[..] {
                [] => {}
                [test] => writeln!(text, "- {}, {}: {reason}", one.name, code(test))?,
                _ => writeln!(text, "- {}, {} tests in {}: {reason}", one.name, tests.len(), executables(&tests))?,
            }
        }
        for (test, _) in differences.iter().filter(|(_, why)| why.is_none()) {
            writeln!(text, "- {}, {}: not explained yet", one.name, code(test))?;
        }
    }
    Ok(())
}

/// What runs on neither side.
fn skipped(text: &mut String, comparisons: &[Comparison]) -> std::fmt::Result {
    writeln!(text, "\n## Left out on both sides\n")?;
    for Comparison { one, .. } in comparisons {
        for tests in &one.skip {
            writeln!(text, "- {}, {}: {}", one.name, code(&tests.test), tests.why)?;
        }
    }
    Ok(())
}

/// The executables that `tests` are in, each once.
fn executables(tests: &[&String]) -> String {
    let mut names: Vec<_> = tests.iter().map(|test| code(test.split('/').next().unwrap_or(test))).collect();
    names.dedup();
    names.join(", ")
}

/// A name of a test as Markdown.
fn code(test: &str) -> String {
    format!("`{test}`")
}
