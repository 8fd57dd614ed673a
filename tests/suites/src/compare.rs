//! Comparison of both sides of a crate.

use crate::libtest::Verdict;
use crate::list::Crate;
use crate::log::{self, Runs};
use crate::side::Side;

/// Results of a crate's tests on both sides.
#[derive(Debug)]
pub struct Comparison {
    /// The crate.
    pub one: Crate,
    /// Passed, failed and ignored tests, natively and in VMs.
    pub counts: [[usize; 3]; 2],
    /// Tests that pass natively only, with the number of the entry in the list that explains it.
    pub differences: Vec<(String, Option<usize>)>,
    /// Test executables that did not end well in VMs while they did natively.
    ends: Vec<String>,
}

impl Comparison {
    /// Compares the runs of `one`.
    pub fn of(one: &Crate, native: Runs, guest: Runs) -> Self {
        let counts = [&native, &guest].map(|runs| {
            let count = |verdict| runs.values().map(|(run, _)| run.count(verdict)).sum();
            [Verdict::Passed, Verdict::Failed, Verdict::Ignored].map(count)
        });
        let mut differences = Vec::new();
        let mut ends = Vec::new();
        for (executable, (run, ended)) in &native {
            let other = guest.get(executable);
            for (test, _) in run.tests.iter().filter(|(_, verdict)| **verdict == Verdict::Passed) {
                if other.and_then(|(run, _)| run.tests.get(test)) != Some(&Verdict::Passed) {
                    let test = format!("{executable}/{test}");
                    let why = one.differs.iter().position(|tests| tests.has(&test));
                    differences.push((test, why));
                }
            }
            // The end of a test executable without Rust's harness is its only result.
            match other {
                Some((_, other)) if other != log::WELL && ended == log::WELL => {
                    ends.push(format!("{executable} {other}"));
                    if run.tests.is_empty() {
                        let test = format!("{executable}/");
                        let why = one.differs.iter().position(|tests| tests.has(&test));
                        differences.push((test, why));
                    }
                }
                _ => {}
            }
        }
        Self { one: one.clone(), counts, differences, ends }
    }

    /// Returns true if the list has a reason for each difference.
    pub fn is_explained(&self) -> bool {
        self.differences.iter().all(|(_, why)| why.is_some())
    }

    /// Prints the comparison.
    pub fn print(&self) {
        for end in &self.ends {
            println!("    in VMs {end}");
        }
        for (test, why) in &self.differences {
            println!("    only natively: {test}: {}", why.map_or("?", |why| &self.one.differs[why].why));
        }
        for (at, tests) in self.one.differs.iter().enumerate() {
            if !self.differences.iter().any(|(_, why)| *why == Some(at)) {
                println!("    no difference any more: {}", tests.test);
            }
        }
        if !self.is_explained() {
            println!("    see {}", log::path(&self.one, Side::Guest).display());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::libtest::Run;

    fn runs(output: &str) -> Runs {
        [("lib".to_owned(), (Run::read(output), log::WELL.to_owned()))].into()
    }

    #[test]
    fn a_test_that_passes_natively_only_wants_an_explanation() {
        let text = "name = 'a'\nversion = '1'\ndiffers = [{ test = 'lib/b*', why = 'known' }]";
        let one: Crate = toml::from_str(text).expect("valid");
        let native = "test a ... ok\ntest b1 ... ok\ntest b2 ... ok\ntest c ... FAILED\n";
        let comparison = Comparison::of(&one, runs(native), runs("test a ... FAILED\ntest b1 ... ok\n"));
        assert_eq!(comparison.differences, [("lib/a".into(), None), ("lib/b2".into(), Some(0))]);
        assert!(!comparison.is_explained());
    }
}
