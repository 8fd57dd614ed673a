//! The internet families: what a program sees of them is what Linux would show it, so each also passes as a process.

use husk_tests::{Guest, build};
use std::process::Command;

/// The program `name` ends well here, as a process, and in a guest, with the same output.
fn same_as_a_process(name: &str) {
    let process = Command::new(build::native("programs", name)).output().expect("it starts");
    assert!(process.status.success(), "{process:?}");
    Guest::program(name).run().expect_success().expect_stdout(&String::from_utf8_lossy(&process.stdout));
}

#[test]
fn connections_are_as_on_linux() {
    same_as_a_process("tcp");
}

#[test]
fn datagrams_are_as_on_linux() {
    same_as_a_process("udp");
}
