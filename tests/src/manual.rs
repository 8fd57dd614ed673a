//! Manual pages in the tools that show them.

use crate::{Running, requires};
use std::process::Command;

/// Checks that mandoc and groff, as far as they are installed, understand a page, and that groff shows each of these flags.
#[track_caller]
pub fn expect_understood<'f>(page: &str, flags: impl IntoIterator<Item = &'f str>) {
    let run = |name: &str, words: &[&str]| {
        let mut command = Command::new(name);
        command.args(words);
        requires::program(name).then(|| Running::of(command).input(page.into()).finish())
    };
    // All that mandoc warns of is that a page without a date has none.
    if let Some(outcome) = run("mandoc", &["-T", "lint", "-W", "error"]) {
        outcome.expect_success();
    }
    if let Some(outcome) = run("groff", &["-man", "-ww", "-Tascii", "-P-cbou"]) {
        assert_eq!(outcome.expect_success().stderr(), "", "groff complains");
        let text = outcome.stdout().replace(char::is_whitespace, "");
        for flag in flags {
            assert!(text.contains(&format!("--{flag}")), "--{flag} is not on the page as groff shows it");
        }
    }
}
