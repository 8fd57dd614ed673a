//! cargo's configuration: each form of it has the effect that it has with cargo.
//!
//! The table follows the reference of cargo, "Configuration". A row sets something up, and a program checks the effect when
//! it is compiled; `cargo build` for the same target has to agree with `cargo husk build`.

use crate::elf::Image;
use crate::kinds::make_executable;
use crate::project::{HELLO, Project, name, package};
use husk_toolchain::MUSL;

/// A way to configure, and what then holds in the program.
struct Row {
    files: &'static [(&'static str, &'static str)],
    environment: &'static [(&'static str, &'static str)],
    words: &'static [&'static str],
    /// A condition of `cfg`.
    holds: &'static str,
}

const NOTHING: Row = Row { files: &[], environment: &[], words: &[], holds: "" };

/// Returns a row with one configuration file.
const fn file(text: &'static [(&'static str, &'static str)], holds: &'static str) -> Row {
    Row { files: text, holds, ..NOTHING }
}

/// Returns a row with environment variables.
const fn environment(environment: &'static [(&'static str, &'static str)], holds: &'static str) -> Row {
    Row { environment, holds, ..NOTHING }
}

/// Returns a row with words of the command line.
const fn words(words: &'static [&'static str], holds: &'static str) -> Row {
    Row { words, holds, ..NOTHING }
}

const CONFIG: &str = ".cargo/config.toml";

const ROWS: &[Row] = &[
    // Flags of the compiler: four sources, of which the first that is set counts; lists and strings.
    file(&[(CONFIG, "[build]\nrustflags = ['--cfg', 'a', '--cfg=b']")], "all(a, b)"),
    file(&[(CONFIG, "[build]\nrustflags = '--cfg a --cfg=b'")], "all(a, b)"),
    file(&[(CONFIG, "[target.x86_64-unknown-linux-musl]\nrustflags = ['--cfg', 'a']")], "a"),
    file(&[(CONFIG, "[target.'cfg(target_env = \"musl\")']\nrustflags = '--cfg a'")], "a"),
    file(
        &[(CONFIG, "[target.'cfg(target_env = \"gnu\")']\nrustflags = '--cfg a'\n[build]\nrustflags = '--cfg b'")],
        "all(b, not(a))",
    ),
    file(
        &[(
            CONFIG,
            "[target.'cfg(unix)']\nrustflags = ['--cfg=a']\n[target.x86_64-unknown-linux-musl]\nrustflags = ['--cfg=b']",
        )],
        "all(a, b)",
    ),
    file(
        &[(CONFIG, "[target.x86_64-unknown-linux-musl]\nrustflags = '--cfg a'\n[build]\nrustflags = '--cfg b'")],
        "all(a, not(b))",
    ),
    environment(&[("RUSTFLAGS", "--cfg a  --cfg b")], "all(a, b)"),
    environment(
        &[("CARGO_ENCODED_RUSTFLAGS", "--cfg\x1fa\x1f--cfg=c=\"d e\""), ("RUSTFLAGS", "--cfg b")],
        "all(a, c = \"d e\", not(b))",
    ),
    environment(&[("CARGO_BUILD_RUSTFLAGS", "--cfg a")], "a"),
    environment(
        &[("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUSTFLAGS", "--cfg a"), ("CARGO_BUILD_RUSTFLAGS", "--cfg b")],
        "all(a, not(b))",
    ),
    Row {
        environment: &[("RUSTFLAGS", "--cfg a")],
        ..file(&[(CONFIG, "build.rustflags = '--cfg b'")], "all(a, not(b))")
    },
    Row {
        environment: &[("CARGO_BUILD_RUSTFLAGS", "--cfg a")],
        ..file(&[(CONFIG, "build.rustflags = '-Clinker=cc --cfg b'")], "all(a, b)")
    },
    words(&["--config", "build.rustflags = ['--cfg', 'a']"], "a"),
    words(&["--config", "target.x86_64-unknown-linux-musl.rustflags = '--cfg a'"], "a"),
    words(&["--config=target.'cfg(unix)'.rustflags = '--cfg a'", "--config", "build.jobs = 1"], "a"),
    // Files: from the current folder upwards, the old name, files given and included.
    file(
        &[(".cargo/config", "build.rustflags = ['--cfg=a']"), (CONFIG, "build.rustflags = ['--cfg=b']")],
        "all(a, not(b))",
    ),
    file(
        &[("inner/.cargo/config.toml", "build.rustflags = ['--cfg=a']"), (CONFIG, "build.rustflags = ['--cfg=b']")],
        "all(not(a), b)",
    ),
    Row { words: &["--config", "more.toml"], ..file(&[("more.toml", "build.rustflags = '--cfg a'")], "a") },
    file(&[(CONFIG, "include = ['more.toml']"), (".cargo/more.toml", "build.rustflags = '--cfg a'")], "a"),
    // Profiles: in the manifest, files, variables, the command line; one of its own; for one package.
    file(&[(CONFIG, "[profile.dev]\ndebug-assertions = false")], "not(debug_assertions)"),
    environment(&[("CARGO_PROFILE_DEV_DEBUG_ASSERTIONS", "false")], "not(debug_assertions)"),
    words(&["--config", "profile.dev.debug-assertions = false"], "not(debug_assertions)"),
    words(&["--config", "profile.own.inherits = 'release'", "--profile", "own"], "not(debug_assertions)"),
    words(&["--config", "profile.release.package.app.debug-assertions = true", "--release"], "debug_assertions"),
    words(&["--config", "profile.dev.panic = 'abort'"], "panic = \"abort\""),
    // What else decides how, where and for which target is built.
    file(&[(CONFIG, "[build]\ntarget = 'x86_64-unknown-linux-gnu'")], "target_env = \"musl\""),
    file(&[(CONFIG, "[build]\ntarget = ['x86_64-unknown-linux-gnu', 'x86_64-unknown-none']")], "target_env = \"musl\""),
    environment(&[("CARGO_BUILD_TARGET", "x86_64-unknown-linux-gnu")], "target_env = \"musl\""),
    file(&[(CONFIG, "[build]\nrustc-wrapper = './wrapper'")], "wrapped"),
    environment(&[("RUSTC_WORKSPACE_WRAPPER", "./wrapper")], "wrapped"),
    file(&[(CONFIG, "[build]\nincremental = false\njobs = 1\n[term]\nverbose = true\n[net]\noffline = true")], "all()"),
];

/// A wrapper of rustc that compiles for the target with `--cfg wrapped`.
const WRAPPER: &str = "#!/bin/sh\ncase \"$*\" in *--target*) exec \"$@\" --cfg wrapped;; esac\nexec \"$@\"";

/// Runs `cargo build` or `cargo husk build` as a row says.
fn succeeds(project: &Project, row: &Row, call: &str) -> Result<(), String> {
    let mut call =
        if call == "husk" { project.husk("build") } else { project.cargo(&format!("build --target {MUSL}")) };
    for (name, value) in row.environment {
        call = call.env(name, value);
    }
    for word in row.words {
        call = call.argument(word);
    }
    let outcome = call.outcome();
    if outcome.status() == 0 { Ok(()) } else { Err(outcome.stderr()) }
}

#[test]
fn every_form_of_configuration_has_the_effect_that_it_has_with_cargo() {
    for (number, row) in ROWS.iter().enumerate() {
        let program = |holds: &str| {
            format!("#![allow(unexpected_cfgs)]\n#[cfg(not({holds}))]\ncompile_error!(\"no effect\");\n{HELLO}")
        };
        let project = Project::program("");
        for (path, text) in [row.files, &[("wrapper", WRAPPER)]].concat() {
            project.write(path, text);
        }
        make_executable(&project, "wrapper");
        for (holds, expected) in [(row.holds.to_owned(), true), (format!("not({})", row.holds), false)] {
            project.write("src/main.rs", &program(&holds));
            // That cargo's own build fails otherwise is no concern here.
            for call in &["husk", "cargo"][..1 + usize::from(expected)] {
                let outcome = succeeds(&project, row, call);
                let is_right =
                    outcome.as_ref().map_or_else(|error| !expected && error.contains("no effect"), |()| expected);
                assert!(is_right, "row {number}, {call}: {holds} is to be {expected}: {outcome:?}");
            }
        }
    }
}

/// Forms of the configuration of a linker; `L` stands for its path.
const LINKERS: &[Row] = &[
    file(&[(CONFIG, "target.x86_64-unknown-linux-musl.linker = './linker'")], ""),
    file(&[(CONFIG, "target.'cfg(target_env = \"musl\")'.linker = './linker'")], ""),
    file(&[(CONFIG, "build.rustflags = ['-C', 'linker=./linker', '-Copt-level=1']")], ""),
    environment(&[("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER", "./linker")], ""),
    environment(&[("RUSTFLAGS", "-Copt-level=1 -Clinker=./linker")], ""),
    words(&["--config", "target.x86_64-unknown-linux-musl.linker = './linker'"], ""),
];

#[test]
fn the_configured_linker_does_the_work() {
    for (number, row) in LINKERS.iter().enumerate() {
        let project = Project::program("");
        for (path, text) in row.files {
            project.write(path, text);
        }
        project.write("linker", "#!/bin/sh\necho called >> linked\nexec cc \"$@\"");
        make_executable(&project, "linker");
        succeeds(&project, row, "husk").unwrap_or_else(|error| panic!("row {number}: {error}"));
        let linked = std::fs::read_to_string(project.path("linked"));
        assert_eq!(linked.ok().as_deref(), Some("called\n"), "row {number}");
    }
}

#[test]
fn a_link_editor_may_be_the_linker() {
    let project = Project::program("");
    project.write(
        CONFIG,
        "target.x86_64-unknown-linux-musl.linker = 'rust-lld'\nbuild.rustflags = '-C link-arg=--icf=all'",
    );
    Image::check(&project.build("--release")[0]);
    let call = project.husk("build --release").env("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_LINKER", "no-such-linker");
    assert!(call.complaint().contains("no-such-linker"));
}

#[test]
fn the_tender_is_the_runner_whatever_runner_is_configured() {
    let rows: &[Row] = &[
        file(&[(CONFIG, "target.x86_64-unknown-linux-musl.runner = 'false now'")], ""),
        file(&[(CONFIG, "target.x86_64-unknown-linux-musl.runner = ['false', 'now']")], ""),
        file(&[(CONFIG, "target.'cfg(unix)'.runner = 'false'")], ""),
        environment(&[("CARGO_TARGET_X86_64_UNKNOWN_LINUX_MUSL_RUNNER", "false now")], ""),
        words(&["--config", "target.x86_64-unknown-linux-musl.runner = 'false'"], ""),
        words(&["--config", "target.x86_64-unknown-linux-musl.runner = ['false']"], ""),
    ];
    for (number, row) in rows.iter().enumerate() {
        let project = Project::program("");
        for (path, text) in row.files {
            project.write(path, text);
        }
        project.write("tender", "#!/bin/sh\nfor word; do echo \"$word\"; done");
        make_executable(&project, "tender");
        let mut call = project.husk("run -q").env("HUSK", project.path("tender"));
        for (name, value) in row.environment {
            call = call.env(name, value);
        }
        for word in row.words.iter().chain(&["--env=A=b c", "--", "d e"]) {
            call = call.argument(word);
        }
        let lines = call.lines();
        assert_eq!(lines[..3], ["run", "--memory-max=none", "--env=A=b c"], "row {number}");
        assert_eq!(lines.last().map(String::as_str), Some("d e"), "row {number}");
    }
}

#[test]
fn images_lie_where_the_configuration_puts_them() {
    for (words, variable) in [
        ("--config build.target-dir='here'", None),
        ("", Some("CARGO_TARGET_DIR")),
        ("", Some("CARGO_BUILD_TARGET_DIR")),
    ] {
        let project = Project::program("");
        let mut call = project.husk(&format!("build {words}"));
        if let Some(variable) = variable {
            call = call.env(variable, "here");
        }
        let images = call.images();
        assert!(images[0].starts_with(project.path("here")), "{words}, {variable:?}: {images:?}");
    }
    let project = Project::program("");
    project.write(CONFIG, "[build]\ntarget-dir = 'made'\nbuild-dir = '{workspace-root}/between'");
    let images = project.build("");
    assert!(images[0].starts_with(project.path("made")) && name(&images[0]) == "app", "{images:?}");
}

#[test]
fn builds_with_and_without_the_tool_leave_each_other_fresh() {
    let project = Project::new(&[
        ("Cargo.toml", &package("app", "[dependencies]\npart = { path = 'part' }")),
        ("build.rs", "fn main() { println!(\"cargo::rerun-if-changed=build.rs\"); }"),
        ("src/main.rs", "fn main() { println!(\"{}\", part::NUMBER); }"),
        ("part/Cargo.toml", &package("part", "")),
        ("part/src/lib.rs", "pub const NUMBER: u8 = 7;"),
    ]);
    for profile in ["", " --release"] {
        let plain = format!("build --target {MUSL} --message-format json{profile}");
        let ours = format!("build --message-format json{profile}");
        let counts = |call: crate::project::Call| {
            let lines = call.lines();
            let count = |part| lines.iter().filter(|line| line.contains(part)).count();
            (count("\"fresh\":true"), count("\"fresh\":false"))
        };
        // The package, its build script, and what it depends on.
        assert_eq!(counts(project.cargo(&plain)), (0, 3));
        assert_eq!(counts(project.husk(&ours)), (0, 3));
        assert_eq!(counts(project.cargo(&plain)), (3, 0));
        assert_eq!(counts(project.husk(&ours)), (3, 0));
        // What the host runs is built for it once.
        project.cargo(&format!("build{profile}")).lines();
        assert_eq!(counts(project.husk(&ours)), (3, 0));
    }
}

#[test]
fn aliases_are_followed() {
    let project = Project::new(&[("Cargo.toml", &package("app", "[features]\nloud = []")), ("src/main.rs", HELLO)]);
    project.write(CONFIG, "[alias]\nbr = 'build --release'\nloud = ['br', '--features', 'loud']");
    assert!(project.husk("loud").images()[0].ends_with("release/app"));
    assert!(project.husk("b").env("CARGO_ALIAS_B", "build --release").images()[0].ends_with("release/app"));
    assert!(project.husk("build").env("CARGO_ALIAS_BUILD", "no").images()[0].ends_with("debug/app"));
    assert!(project.husk("brr").complaint().contains("brr"));
}
