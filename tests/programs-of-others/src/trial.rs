//! Trial of a program: its answers on all sides, compared with those on Linux.

use crate::Result;
use crate::bounded::{Bounded, Ended};
use crate::list::Program;
use crate::place::Place;
use crate::serve::serve;
use crate::side::Side;
use std::time::Duration;

/// Time within which a tool ends.
const LIMIT: Duration = Duration::from_secs(120);
/// Characters of an answer that are shown where it differs.
const SHOWN: usize = 1200;

/// Answers of a program.
#[derive(Debug)]
pub struct Trial {
    /// Answers on Linux.
    pub expected: usize,
    /// Of these, the same in a VM, and in a process of Husk.
    pub same: [usize; 2],
    /// Why answers differ, as the list has it.
    pub differs: Option<String>,
    /// What differs, for the person at the terminal.
    differences: Vec<String>,
}

impl Trial {
    /// Runs a program on all sides.
    pub fn of(program: &Program) -> Result<Self> {
        let expected = on_linux(program)?;
        let mut differences = Vec::new();
        let mut count = |side: Side| {
            let answers = match run(program, side) {
                Ok(answers) => answers,
                Err(error) => {
                    differences.push(format!("{side}: {error}"));
                    return 0;
                }
            };
            let mut same = 0;
            for (at, ((answer, errors), (of_linux, _))) in answers.iter().zip(&expected).enumerate() {
                match answer == of_linux {
                    true => same += 1,
                    false => differences.push(difference(side, at, [of_linux, answer], errors)),
                }
            }
            same
        };
        let same = [count(Side::Hvt), count(Side::Spt)];
        Ok(Self { expected: expected.len(), same, differs: program.differs.clone(), differences })
    }

    /// True if all answers are the same, or the list says why not.
    pub fn is_explained(&self) -> bool {
        self.same == [self.expected; 2] || self.differs.is_some()
    }

    /// Prints the counts, and what differs.
    pub fn print(&self) {
        let [hvt, spt] = self.same;
        println!("    {} answers on Linux, the same: {hvt} under hvt, {spt} under spt", self.expected);
        if self.same == [self.expected; 2] && self.differs.is_some() {
            println!("    nothing differs: take the reason out of programs.toml");
        }
        for difference in &self.differences {
            println!("    {}", difference.trim_end().replace('\n', "\n        "));
        }
    }
}

/// Returns an answer that differs, in words.
fn difference(side: Side, at: usize, [expected, answer]: [&String; 2], errors: &str) -> String {
    let [expected, answer, errors] =
        [expected, answer, errors].map(|text| text.chars().take(SHOWN).collect::<String>());
    format!("{side}, answer {}:\n{answer}\non Linux:\n{expected}\nstandard error:\n{errors}", at + 1)
}

/// Runs a program on Linux, where every answer is one: what fails there is no measure.
fn on_linux(program: &Program) -> Result<Vec<(String, String)>> {
    let answers = run(program, Side::Linux)?;
    for (at, (answer, errors)) in answers.iter().enumerate() {
        if !answer.starts_with("exit status: 0\n") {
            return Err(format!("answer {} on Linux itself: {answer}\n{errors}", at + 1));
        }
    }
    match answers.iter().all(|(answer, _)| answer.trim_end() == "exit status: 0") {
        true => Err("not a word of output on Linux: nothing to compare".into()),
        false => Ok(answers),
    }
}

/// Runs a program on a side. Returns its answers, each with what was printed to standard error.
fn run(program: &Program, side: Side) -> Result<Vec<(String, String)>> {
    let place = Place::new(program, &side.to_string())?;
    let mut answers = Vec::new();
    for run in &program.run {
        let mut command = side.command(program, &place, &run.args, false)?;
        answers.push(Bounded::start(&mut command, &place.fill(&run.input))?.end(LIMIT));
    }
    if let Some(server) = &program.serve {
        answers.extend(serve(program, server, side, &place)?);
    }
    Ok(answers.into_iter().map(|ended| (answer(program, &place, &ended), ended.errors)).collect())
}

/// Returns what is compared: the exit status and the output, without what may differ.
fn answer(program: &Program, place: &Place, ended: &Ended) -> String {
    let output = place.blank(&ended.output);
    let is_compared = |line: &&str| !program.ignore.iter().any(|part| line.contains(part));
    let mut lines: Vec<_> = output.lines().filter(is_compared).collect();
    if program.sort {
        lines.sort_unstable();
    }
    let status = ended.status.map_or("ended after its time".to_owned(), |status| status.to_string());
    format!("{status}\n{}", lines.join("\n"))
}
