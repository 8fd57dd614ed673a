//! Fresh machines: the first command after the repository has been cloned.

mod machine;

use husk_tests::{Outcome, requires};
use husk_toolchain::{MUSL, NONE, TARGETS};
use machine::Machine;
use std::fs;

/// Script in place of rustup that fails like a rustup without a network.
const FAILING: &str = "#!/bin/sh
echo 'info: downloading component rust-std' >&2
echo 'error: component download failed for rust-std' >&2
echo >&2
echo 'Caused by:' >&2
echo '    0: could not download a file' >&2
echo '    1: Temporary failure in name resolution' >&2
exit 1
";

/// Checks that cargo ended with an error of the build script that compiles the libos: one line that contains these parts, and no backtrace.
#[track_caller]
fn expect_line(outcome: &Outcome, parts: &[&str]) {
    outcome.expect_status(101);
    let stderr = outcome.stderr();
    let errors: Vec<_> = stderr.lines().filter(|line| line.starts_with("error")).collect();
    let [ours, _] = errors[..] else { panic!("{outcome}") };
    assert!(ours.starts_with("error: husk-objects@") && parts.iter().all(|part| ours.contains(part)), "{outcome}");
    for noise in ["panicked", "stack backtrace", "--- stderr", "--- stdout"] {
        assert!(!stderr.contains(noise), "{outcome}");
    }
}

/// Checks the errors of the build script where it cannot get the targets. cargo runs it again until it has succeeded.
fn what_cannot_be_had_is_told_in_a_line(machine: &Machine) {
    let build = "build --package cargo-husk";
    let add = format!("run 'rustup target add --toolchain 1.95.0-x86_64-unknown-linux-gnu {NONE} {MUSL}'");
    let failing = machine.script("rustup", FAILING);
    let programs = machine.toolchain().join("bin");
    let reason = "(component download failed for rust-std: Temporary failure in name resolution)";
    expect_line(&machine.call(&[&failing, &programs], "cargo", build).build(), &[NONE, MUSL, reason, &add]);
    let nothing = machine.call(&[&programs], "cargo", build).build();
    expect_line(&nothing, &[NONE, MUSL, "'rustup' does not start", "install rustup from https://rustup.rs"]);

    let system = machine.system_toolchain();
    let call = || machine.call(&[&system.join("bin"), &machine.rustups()], "cargo", build).build();
    expect_line(&call(), &[NONE, MUSL, "not one of rustup's", "install the package of your system"]);
    for target in TARGETS {
        fs::create_dir_all(system.join("lib/rustlib").join(target).join("lib")).expect("a folder of ours");
        fs::write(system.join("lib/rustlib").join(target).join("lib/libcore-0.rlib"), "").expect("a folder of ours");
    }
    fs::remove_file(system.join("lib/rustlib/x86_64-unknown-linux-gnu/bin/rust-lld")).expect("it was copied");
    expect_line(&call(), &["has no 'rust-lld'", "not one of rustup's: install Rust from https://rustup.rs"]);

    if requires::root() {
        let alone = machine.call(&[&machine.rustups()], "unshare", &format!("--net cargo {build}"));
        expect_line(&alone.build(), &[NONE, MUSL, "component download failed", &add]);
    }
    assert!(machine.targets().is_empty());

    // No build script can run before the C compiler has linked it, so the error is rustc's.
    let alone = machine.call_alone("build --package husk-abi --target-dir target/alone").build();
    alone.expect_status(101).expect_stderr("error: linker `cc` not found");
    assert!(!alone.stderr().contains("panicked"), "{alone}");
}

#[test]
fn the_first_command_gets_what_is_missing_or_says_what_to_do() {
    let Some(machine) = Machine::new() else { return };
    // An earlier run of this test has left a build of it.
    machine.cargo("clean --package husk-objects").expect_success();
    what_cannot_be_had_is_told_in_a_line(&machine);

    let run = machine.cargo("husk run --package hello");
    if run.stderr().contains("rustup cannot add it") && machine.add_targets().status() != 0 {
        return husk_skip::skip!("the first command on a fresh machine, as rustup has no network here");
    }
    run.expect_success().expect_stdout("Hello from a Husk guest\n");
    assert_eq!(machine.targets(), TARGETS);

    // The first command may also be a test or a bench, which begin in the same way.
    machine.install();
    machine.cargo("test --package husk-tests --lib -- --exact build::tests::the_targets_are_there").expect_success();
    assert_eq!(machine.targets(), TARGETS);
}
