//! The hardware lab: emulated machines with AMD-V and VT-x, whose Linux has a KVM with hardware semantics, run the tests.
//!
//! `cargo test -p husk-tests --test hardware` boots both and runs in them the very executables of the other tests, with the
//! guests and the tender built beforehand ([`husk_tests::prebuilt`]). What a machine cannot run, and why, is in [`plan`] and
//! docs/hardware.md. `HUSK_LAB_ONLY=TEXT` runs the tests with this in their name, `HUSK_LAB_ALL=1` also those that VT-x, the
//! slower of the two, leaves out otherwise.

mod boot;
mod console;
mod content;
mod emulator;
mod modules;
mod plan;

use console::Summary;
use emulator::Machine;
use husk_tests::skip;

/// Runs the tests of `machine` in it.
fn run(machine: Machine) {
    if let Err(missing) = machine.available() {
        return skip!("the {machine} host, as {missing}");
    }
    let content = content::gather(machine);
    let plan = plan::make(machine, &content);
    let disk = boot::disk(machine, &content, &plan);
    let summary = Summary::of(machine.start(&disk), &plan);
    assert!(summary.is_good(), "{machine}: {summary}");
}

#[test]
fn amd_v() {
    run(Machine::AmdV);
}

#[test]
fn vt_x() {
    run(Machine::VtX);
}
