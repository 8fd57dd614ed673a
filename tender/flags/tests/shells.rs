//! Completions in the shells themselves: each shell reads its script, and completes words by it.

use husk_flags::{Command, HUSK, Program, completions, run};
use husk_skip::skip;
use std::process;

/// `cargo husk`, as far as scripts for a command of another program differ.
static CARGO: Program<'static> = Program { name: "cargo husk", commands: &[&RUN], ..HUSK };
static RUN: Command<'static> = Command { usage: "cargo husk run", ..run::COMMAND };

/// Lines of `husk` with what completes their last word.
const LINES: [(&str, &str); 10] = [
    ("husk ins", "inspect"),
    ("husk run --memory-m", "--memory-max"),
    ("husk run --target h", "hvt"),
    ("husk run -v --console=e", "escaped"),
    ("husk run --env-file Cargo.t", "Cargo.toml"),
    ("husk run Cargo.t", "Cargo.toml"),
    ("husk disk cre", "create"),
    ("husk disk create Cargo.t", "Cargo.toml"),
    ("husk help stric", "strict"),
    ("husk completions f", "fish"),
];

/// Has bash complete: the function of the script, called as bash calls it.
const BASH: &str = r#"
    source "$1" || exit
    COMP_WORDS=(${2//=/ = }) COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
    [[ $(complete -p "${COMP_WORDS[0]}") =~ " -F "([^ ]*)" " ]] && "${BASH_REMATCH[1]}"
    printf '%s\n' "${COMPREPLY[@]}"
"#;
/// Has zsh complete: an interactive shell behind a terminal, where the tabulator is pressed.
const ZSH: &str = r#"
    zmodload zsh/zpty && zpty shell zsh -f -i
    zpty -w shell "PS1=; autoload -Uz compinit; compinit -u -D; source $1; print rea''dy"
    zpty -r -m shell output '*ready*' && zpty -w -n shell "$2"$'\t' && zpty -r -m shell output "*$3*"
    print -r -- "$output"
"#;
/// Has fish complete.
const FISH: &str = "source $argv[1]; and complete -C $argv[2]";

/// Returns what `shell` makes of `line`, in which the last word lacks the end of `expected`.
fn completed(shell: &str, program: &Program<'_>, line: &str, expected: &str) -> String {
    let folder = tempfile::tempdir().expect("a folder");
    let script = folder.path().join("script");
    std::fs::write(&script, completions::script(program, shell).expect("a known shell")).expect("a file");
    let (flags, code): (&[&str], _) = match shell {
        "bash" => (&["--norc", "-c"], BASH),
        "zsh" => (&["-f", "-c"], ZSH),
        _ => (&["--no-config", "-c"], FISH),
    };
    let mut command = process::Command::new("timeout");
    command.args(["20", shell]).args(flags).arg(code).args((shell != "fish").then_some(shell));
    let output = command.arg(&script).args([line, expected]).output().expect("timeout starts");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success() && stderr.is_empty(), "{shell}: {line}: {}\n{stderr}", output.status);
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn expect_completions(shell: &str) {
    if process::Command::new(shell).arg("--version").output().is_err() {
        return skip!("completions of {shell}, which is not installed");
    }
    let of_cargo = ("cargo husk run --memory-m", "--memory-max");
    // zsh's completions of cargo call those of each subcommand by this name.
    let of_cargo = if shell == "zsh" { ("cargo-husk run --memory-m", of_cargo.1) } else { of_cargo };
    for (program, (line, expected)) in LINES.map(|line| (&HUSK, line)).into_iter().chain([(&CARGO, of_cargo)]) {
        let found = completed(shell, program, line, expected);
        assert!(found.contains(expected), "{shell}: {line}: {found}");
    }
}

#[test]
fn bash_completes() {
    expect_completions("bash");
    let all = completed("bash", &HUSK, "husk run --console", "");
    assert_eq!(all, "--console\n--console-rate\n");
    assert_eq!(completed("bash", &CARGO, "cargo bui", ""), "\n");
}

#[test]
fn zsh_completes() {
    expect_completions("zsh");
}

#[test]
fn fish_completes() {
    expect_completions("fish");
}
