//! Writer of docs/programs.md. A program that has no result on this machine keeps its row there, as long as that is of the
//! version in the list.

use crate::list::Program;
use crate::trial::Trial;
use crate::{Result, folder};
use husk_tests::build;
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

const HEAD: &str = "# Programs of others

Servers and tools as their authors published them, installed by `cargo husk install NAME` without a change, and asked the same
natively (built for `x86_64-unknown-linux-musl`), in a VM and as a process of Husk: a tool by its runs, a server by real clients (curl,
redis-cli, dig, mosquitto). An answer counts as the same if the exit status and the output are, but for times and the like.

    cargo run -p programs-of-others                   what has no result yet; then it writes this table
    cargo run -p programs-of-others -- dufs ripgrep   these two again

What is asked is in `tests/programs-of-others/programs.toml`. A program that is not in the table was not tried.

";

/// Returns the file with the result of a program on this machine.
fn path(program: &Program) -> PathBuf {
    folder().join("results").join(format!("{}-{}", program.name, program.version))
}

/// Returns the cells of a program's row that are results on this machine.
pub fn result(program: &Program) -> Option<String> {
    fs::read_to_string(path(program)).ok()
}

/// Keeps the result of a trial.
pub fn keep(program: &Program, trial: &Trial) -> Result<()> {
    let path = path(program);
    let [hvt, spt] = trial.same;
    let failed = |error: std::io::Error| format!("{}: {error}", path.display());
    path.parent().map_or(Ok(()), fs::create_dir_all).map_err(failed)?;
    fs::write(&path, format!("{} | {hvt} | {spt}", trial.expected)).map_err(failed)
}

/// Writes the table of the programs in `list` that have results.
pub fn write(list: &[Program]) -> Result<()> {
    let path = build::workspace().join("docs/programs.md");
    let before = fs::read_to_string(&path).unwrap_or_default();
    let rows = list.iter().filter_map(|program| Some((program, result(program).or_else(|| kept(&before, program))?)));
    fs::write(&path, text(&rows.collect::<Vec<_>>())).map_err(|error| format!("{}: {error}", path.display()))
}

/// Returns the beginning of a program's row.
fn beginning(program: &Program) -> String {
    format!("| {} | {} | {} | ", program.name, program.version, program.what)
}

/// Returns the results in a program's row of `table`.
fn kept(table: &str, program: &Program) -> Option<String> {
    let row = table.lines().find_map(|line| line.strip_prefix(&beginning(program)))?;
    Some(row.strip_suffix(" |")?.to_owned())
}

/// Returns the page.
fn text(rows: &[(&Program, String)]) -> String {
    let mut text = HEAD.to_owned();
    text.push_str("| program | version | what it is | answers on Linux | the same under hvt | under spt |\n|---|---|---|--:|--:|--:|\n");
    let mut sums = [0; 3];
    for (program, cells) in rows {
        let numbers = cells.split(" | ").map(|cell| cell.parse::<usize>().unwrap_or(0));
        sums.iter_mut().zip(numbers).for_each(|(sum, number)| *sum += number);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{}{cells} |", beginning(program));
    }
    let [linux, hvt, spt] = sums;
    let _ = writeln!(text, "| {} programs | | | {linux} | {hvt} | {spt} |", rows.len());
    let reasons: Vec<_> = rows.iter().filter_map(|(program, _)| Some((program, program.differs.as_ref()?))).collect();
    if !reasons.is_empty() {
        text.push_str("\n## Differences\n\n");
    }
    for (program, reason) in reasons {
        let _ = writeln!(text, "- {}: {reason}", program.name);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_table_says_of_a_version_is_kept() {
        let mut program = crate::list::read().expect("a list").remove(0);
        let table = text(&[(&program, "5 | 5 | 4".into())]);
        assert_eq!(kept(&table, &program).as_deref(), Some("5 | 5 | 4"));
        assert!(table.contains("| 1 programs | | | 5 | 5 | 4 |"), "{table}");
        program.version = "0.0.0".into();
        assert_eq!(kept(&table, &program), None);
    }
}
