//! Documents made from the tables: they are what is in the repository, and tools can read them.
//!
//! `UPDATE=1 cargo test -p husk-flags --test documents` writes them again.

use husk_flags::{HUSK, book, completions, man};
use husk_skip::skip;
use std::path::PathBuf;
use std::process::{Command, Output};

fn expect_file(name: &str, made: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..").join(name);
    if std::env::var_os("UPDATE").is_some() {
        std::fs::write(&path, made).expect("docs can be written");
    }
    let kept = std::fs::read_to_string(&path).unwrap_or_default();
    assert!(kept == made, "{name} is not what the tables say; write it with UPDATE=1");
}

#[test]
fn the_book_and_what_husk_contains_have_every_flag() {
    expect_file("docs/flags.md", &book::page(&HUSK));
    expect_file("tender/flags/generated/husk.1", &man::page(&HUSK, env!("CARGO_PKG_VERSION")));
    for (shell, file) in [("bash", "husk.bash"), ("zsh", "_husk"), ("fish", "husk.fish")] {
        let made = completions::script(&HUSK, shell).expect("a known shell");
        expect_file(&format!("tender/flags/generated/{file}"), &made);
    }
}

#[test]
fn formatters_understand_the_manual() {
    let folder = tempfile::tempdir().expect("a folder");
    let page = folder.path().join("husk.1");
    std::fs::write(&page, man::page(&HUSK, env!("CARGO_PKG_VERSION"))).expect("a file");
    let run = |name: &str, flags: &[&str]| -> Option<Output> {
        let output = Command::new(name).args(flags).arg(&page).output();
        let Ok(output) = output else {
            skip!("the manual page in {name}, which is not installed");
            return None;
        };
        let complaints = [&output.stdout[..], &output.stderr].map(String::from_utf8_lossy).concat();
        assert!(output.status.success(), "{name}: {complaints}");
        Some(output)
    };
    // All that it warns of is that a page without a date has none.
    run("mandoc", &["-T", "lint", "-W", "error"]);
    if let Some(Output { stdout, stderr, .. }) = run("groff", &["-man", "-ww", "-Tascii", "-P-cbou"]) {
        assert!(stderr.is_empty(), "groff: {}", String::from_utf8_lossy(&stderr));
        let text = String::from_utf8_lossy(&stdout).replace(|character: char| character.is_whitespace(), "");
        for flag in HUSK.commands.iter().flat_map(|command| command.flags) {
            assert!(text.contains(&format!("--{}", flag.long)), "{}", flag.long);
        }
    }
}
