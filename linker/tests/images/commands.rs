//! Output of the subcommands, words that they pass on, and errors.

use crate::elf::Image;
use crate::kinds::make_executable;
use crate::project::{Project, name};
use husk_tests::{manual, requires, run_briefly};
use std::process::Command;

/// Makes a program with a tender that prints its words and ends with 7.
fn with_tender() -> Project {
    let project = Project::program("");
    project.write("tender", "#!/bin/sh\nfor word; do echo \"$word\"; done\nexit 7");
    make_executable(&project, "tender");
    project
}

#[test]
fn run_hands_flags_to_the_tender_and_arguments_to_the_guest() {
    let project = with_tender();
    let words = "run -q -e A=1 --memory 64M --release --no-aslr --verbose -- --flag x";
    let outcome = project.husk(words).env("HUSK", project.path("tender")).env("RUST_LOG", "all").outcome();
    let printed = outcome.expect_status(7).stdout();
    let expected = "run --env=RUST_LOG=all --memory-max=none --env=A=1 --memory=64M --no-aslr --verbose --";
    let printed: Vec<&str> = printed.lines().collect();
    assert_eq!(printed[..printed.len() - 3].join(" "), expected);
    assert!(printed[printed.len() - 3].ends_with("release/app"), "{printed:?}");
    assert_eq!(printed[printed.len() - 2..], ["--flag", "x"]);
}

#[test]
fn build_prints_nothing_but_paths_or_else_the_messages_of_cargo() {
    let project = Project::program("");
    let images = project.build("-v");
    assert_eq!(images.iter().map(|path| name(path)).collect::<Vec<_>>(), ["app"]);
    let lines = project.husk("build --message-format json").lines();
    assert!(lines.iter().all(|line| line.starts_with('{')), "{lines:?}");
}

#[test]
fn another_linker_is_noticed() {
    let project = Project::program("");
    project.write("wrapper", "#!/bin/sh\nexec \"$@\" -C linker=cc");
    make_executable(&project, "wrapper");
    let complaint = project.husk("build").env("RUSTC_WRAPPER", "./wrapper").complaint();
    assert!(complaint.contains("is no image: another linker made it; remove '-C linker'"), "{complaint}");
}

#[test]
fn a_dynamic_program_is_refused_with_the_remedy() {
    let project = Project::program("");
    let complaint = project.husk("build").env("RUSTFLAGS", "-C target-feature=-crt-static").complaint();
    assert!(complaint.contains("-crt-static") || complaint.contains("musl"), "{complaint}");
}

#[test]
fn bad_words_are_named() {
    let project = with_tender();
    let complain = |words: &str| project.husk(words).env("HUSK", project.path("tender")).complaint();
    assert!(complain("build --target x86_64-unknown-linux-gnu").contains("remove the option"));
    assert!(complain("run --memory lots").contains("--memory lots"));
    assert!(complain("run --stop-timeout soon").contains("--stop-timeout"));
    assert!(complain("build --no-such-flag").contains("--no-such-flag"));
    assert!(complain("").contains("Usage: cargo husk"));
    let complaint = project.husk("run").env("HUSK", "/nowhere/husk").complaint();
    assert!(complaint.contains("HUSK is '/nowhere/husk'"), "{complaint}");
}

#[test]
fn the_manual_page_and_the_completions_are_what_their_readers_take() {
    let folder = Project::new(&[]);
    let page = folder.husk("man").outcome().expect_success().stdout();
    assert!(page.starts_with(".TH CARGO-HUSK 1 "), "{page}");
    // Flags of cargo, of `husk run`, and of one command alone.
    manual::expect_understood(&page, ["package", "release", "memory-max", "publish", "status-file", "no-std"]);
    for shell in ["bash", "zsh", "fish"].into_iter().filter(|shell| requires::program(shell)) {
        folder.write("script", &folder.husk(&format!("completions {shell}")).outcome().expect_success().stdout());
        let mut check = Command::new(shell);
        check.arg("-n").arg(folder.path("script"));
        let outcome = run_briefly(&mut check);
        assert_eq!(outcome.expect_success().stderr(), "", "{shell}");
    }
    assert!(folder.husk("completions tcsh").complaint().contains("possible values: bash, zsh, fish"));
}

#[test]
fn a_new_project_builds() {
    let folder = Project::new(&[]).sharing();
    folder.husk("new --no-std native").lines();
    folder.husk("new ordinary").lines();
    for name in ["native", "ordinary"] {
        let images = folder.build(&format!("--manifest-path {name}/Cargo.toml"));
        let kind = Image::check(&images[0]).manifest.kind;
        assert_eq!(kind == husk_abi::note::kind::NATIVE, name == "native");
    }
    assert!(folder.husk("new ordinary").complaint().contains("exists"));
}
