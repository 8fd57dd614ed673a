//! Documents made from the tables: they are what is in the repository, and tools can read them.
//!
//! `UPDATE=1 cargo test -p husk-flags --test documents` writes them again.

use husk_flags::{HUSK, book, completions, man};
use husk_tests::manual;
use std::path::PathBuf;

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
    let flags = HUSK.commands.iter().flat_map(|command| command.flags).map(|flag| flag.long);
    manual::expect_understood(&man::page(&HUSK, env!("CARGO_PKG_VERSION")), flags);
}
