//! Hardware lab: the tests in emulated machines with AMD-V and VT-x, which have a Linux with KVM on hardware virtualisation.
//!
//! `cargo test -p husk-tests --test hardware` boots both and runs in them the very executables of the other tests, with the
//! guests and the tender built beforehand ([`husk_tests::prebuilt`]). Tests that a machine cannot run, and the reasons, are in
//! [`plan`] and docs/hardware.md. `HUSK_LAB_ONLY=TEXT,…` runs the tests with one of these in their name, `HUSK_LAB_ALL=1` also
//! those that are left out otherwise.

mod bochs;
mod boot;
mod console;
mod content;
mod emulator;
mod modules;
mod plan;

use console::Summary;
use emulator::Machine;
use husk_tests::skip;

/// Most starts of a machine that stands still: on a busy host an emulator may get nothing done but timer interrupts.
const STARTS: usize = 3;

/// Runs the tests of `machine` in it.
fn run(machine: Machine) {
    if let Err(missing) = machine.available() {
        skip!("the {machine} host, as {missing}");
        return;
    }
    let content = content::gather(machine);
    let mut plan = plan::make(machine, &content);
    let mut summary = Summary::new(&plan);
    for _ in 0..STARTS {
        summary.follow(machine.start(&boot::disk(machine, &content, &plan)));
        if summary.is_done() && !summary.retry() {
            break;
        }
        plan.tests.retain(|(executable, name)| !summary.has(executable, name));
    }
    eprintln!("{machine}: {summary}");
    assert!(summary.is_good(), "{machine}: see above");
}

#[test]
fn amd_v() {
    run(Machine::AmdV);
}

#[test]
fn no_xsave() {
    run(Machine::NoXsave);
}

#[test]
fn vt_x() {
    run(Machine::VtX);
}
