//! Parser of the output of a test executable.

use std::collections::BTreeMap;

/// Result of a test.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The test passed.
    Passed,
    /// The test failed.
    Failed,
    /// The crate itself ignores the test.
    Ignored,
}

/// Run of a test executable.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Run {
    /// Tests and verdicts.
    pub tests: BTreeMap<String, Verdict>,
    /// Numbers in the last line of libtest, `test result: …`: passed, failed, ignored.
    pub totals: Option<[usize; 3]>,
}

impl Run {
    /// Reads `output`.
    pub fn read(output: &str) -> Self {
        let mut run = Self::default();
        for line in output.lines() {
            if let Some(totals) = totals(line) {
                run.totals = Some(totals);
            } else if let Some((name, verdict)) = test(line) {
                run.tests.insert(name.to_owned(), verdict);
            }
        }
        run
    }

    /// Returns the number of tests with `verdict`: libtest's, or that of the lines if libtest did not get to its end.
    pub fn count(&self, verdict: Verdict) -> usize {
        match self.totals {
            Some([passed, failed, ignored]) => match verdict {
                Verdict::Passed => passed,
                Verdict::Failed => failed,
                Verdict::Ignored => ignored,
            },
            None => self.tests.values().filter(|&&other| other == verdict).count(),
        }
    }
}

/// `test result: ok. 3 passed; 0 failed; 1 ignored; …`
fn totals(line: &str) -> Option<[usize; 3]> {
    let (_, numbers) = line.strip_prefix("test result: ")?.split_once(". ")?;
    let mut numbers = numbers.split("; ").map(|part| part.split(' ').next().and_then(|number| number.parse().ok()));
    Some([numbers.next()??, numbers.next()??, numbers.next()??])
}

/// `test a::b - should panic ... ok`, perhaps after something that the test printed without an end of line.
fn test(line: &str) -> Option<(&str, Verdict)> {
    let (name, verdict) = line[line.find("test ")? + 5..].rsplit_once(" ... ")?;
    let verdict = match verdict.split([',', ' ']).next()? {
        "ok" => Verdict::Passed,
        "FAILED" => Verdict::Failed,
        "ignored" => Verdict::Ignored,
        _ => return None,
    };
    Some((name.strip_suffix(" - should panic").unwrap_or(name), verdict))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_libtest_are_read() {
        let run = Run::read(
            "running 3 tests\ntest a::b ... ok\ntest c - should panic ... FAILED\nnoisetest d ... ignored, slow\n\n\
             test result: FAILED. 1 passed; 1 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s\n",
        );
        let expected = [("a::b", Verdict::Passed), ("c", Verdict::Failed), ("d", Verdict::Ignored)];
        assert_eq!(run.tests, expected.map(|(name, verdict)| (name.to_owned(), verdict)).into());
        assert_eq!(run.totals, Some([1, 1, 1]));
    }

    #[test]
    fn a_run_that_breaks_off_has_the_tests_until_then() {
        let run = Run::read("test a ... ok\ntest b ... ");
        assert_eq!((run.count(Verdict::Passed), run.totals), (1, None));
    }
}
