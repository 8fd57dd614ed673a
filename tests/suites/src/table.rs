//! Writer of RESULTS.md. A crate that has no results on this machine keeps its rows there, as long as they are of the
//! version in the list.

use crate::Result;
use crate::compare::Comparison;
use crate::list::Crate;
use std::fmt::Write;
use std::fs;

const PATH: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/RESULTS.md");

const HEAD: &str = "# Test suites of published crates

Each crate's own tests, from the source that the registry has, run by `cargo run -p suites`: as processes of Linux
(`cargo test --target x86_64-unknown-linux-musl`) and in VMs (`cargo husk test`), each test executable in a VM of its own
with 4 GB of memory. Doctests, benches and examples are left out. The numbers are those of libtest.

";

/// Results of one crate.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Row {
    /// Tests: passed natively, passed in VMs, failed natively, different.
    counts: [usize; 4],
    /// Lines that explain the differences.
    differences: String,
}

/// Writes the results in `comparisons` for the crates in `list`.
pub fn write(list: &[Crate], comparisons: &[Comparison]) -> Result<()> {
    let before = fs::read_to_string(PATH).unwrap_or_default();
    let rows = list.iter().filter_map(|one| {
        let now = comparisons.iter().find(|comparison| comparison.one.name == one.name).map(row);
        Some((one, now.or_else(|| kept(&before, one))?))
    });
    fs::write(PATH, text(&rows.collect::<Vec<_>>())).map_err(|error| format!("{PATH}: {error}"))
}

/// Returns the row of a crate in `table`, if it is of this version.
fn kept(table: &str, one: &Crate) -> Option<Row> {
    let beginning = format!("| {} | {} |", one.name, one.version);
    let row = table.lines().find_map(|line| line.strip_prefix(&beginning))?;
    let numbers: Vec<usize> = row.split('|').filter_map(|number| number.trim().parse().ok()).collect();
    let of_it = format!("- {}, ", one.name);
    let explained = table.split("\n## ").find(|section| section.starts_with("Differences"))?;
    let lines = explained.lines().filter(|line| line.starts_with(&of_it));
    Some(Row { counts: numbers.try_into().ok()?, differences: lines.flat_map(|line| [line, "\n"]).collect() })
}

/// Returns the row of a comparison on this machine.
fn row(comparison: &Comparison) -> Row {
    let Comparison { counts: [[native, failed, _], [guest, ..]], differences, .. } = comparison;
    let mut explained = String::new();
    // Writing to a string does not fail.
    let _ = explain(&mut explained, comparison);
    Row { counts: [*native, *guest, *failed, differences.len()], differences: explained }
}

fn text(rows: &[(&Crate, Row)]) -> String {
    let mut text = HEAD.to_owned();
    // Writing to a string does not fail.
    let _ = lines(&mut text, rows);
    text
}

fn lines(text: &mut String, rows: &[(&Crate, Row)]) -> std::fmt::Result {
    writeln!(text, "| crate | version | passed natively | passed in VMs | failed natively | differences |")?;
    writeln!(text, "|---|---|--:|--:|--:|--:|")?;
    let mut sums = [0; 4];
    for (one, row) in rows {
        sums.iter_mut().zip(row.counts).for_each(|(sum, number)| *sum += number);
        let counts = row.counts.map(|number| number.to_string()).join(" | ");
        writeln!(text, "| {} | {} | {counts} |", one.name, one.version)?;
    }
    let sums = sums.map(|number| number.to_string()).join(" | ");
    writeln!(text, "| {} crates | | {sums} |", rows.len())?;
    writeln!(text, "\n## Differences\n\nTests that pass natively, and not in VMs.\n")?;
    rows.iter().for_each(|(_, row)| text.push_str(&row.differences));
    skipped(text, rows)
}

/// Writes why tests of one crate pass natively and not in VMs.
fn explain(text: &mut String, comparison: &Comparison) -> std::fmt::Result {
    let Comparison { one, differences, .. } = comparison;
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
    Ok(())
}

/// Writes the tests that run on neither side.
fn skipped(text: &mut String, rows: &[(&Crate, Row)]) -> std::fmt::Result {
    writeln!(text, "\n## Left out on both sides\n")?;
    for (one, _) in rows {
        for tests in &one.skip {
            writeln!(text, "- {}, {}: {}", one.name, code(&tests.test), tests.why)?;
        }
    }
    Ok(())
}

/// Returns the executables that `tests` are in, each once.
fn executables(tests: &[&String]) -> String {
    let mut names: Vec<_> = tests.iter().map(|test| code(test.split('/').next().unwrap_or(test))).collect();
    names.dedup();
    names.join(", ")
}

/// Returns the name of a test as Markdown.
fn code(test: &str) -> String {
    format!("`{test}`")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_table_says_of_a_version_is_kept() {
        let (slab, mio) = (Crate::new("slab", "0.4.12"), Crate::new("mio", "1.2.4"));
        let differences = "- slab, `lib/one`: starts a process\n- slab, `lib/two`: not explained yet\n".to_owned();
        let row = Row { counts: [47, 45, 1, 2], differences };
        let other = Row { counts: [3, 3, 0, 0], differences: String::new() };
        let table = text(&[(&slab, row.clone()), (&mio, other.clone())]);
        assert_eq!((kept(&table, &slab), kept(&table, &mio)), (Some(row), Some(other)));
        assert_eq!(kept(&table, &Crate::new("slab", "0.5.0")), None);
        assert!(table.contains("| 2 crates | | 50 | 48 | 1 | 2 |"), "{table}");
    }
}
