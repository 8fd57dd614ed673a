//! Threads in reports: on request all threads, with names and what they do, and after a fault the one that caused it.

use husk_abi::fault::{ARITHMETIC, MEMORY, PANIC};
use husk_tests::{End, Guest, Outcome, Running, with_more_time};
use std::panic::{UnwindSafe, catch_unwind};
use std::time::Duration;

const ASKED: &str = "husk: the guest's threads:";
const TERMINATED: i32 = 128 + 15;

fn program(how: &str) -> Guest {
    Guest::program("threads").argument(how)
}

fn ready(how: &str) -> Running {
    let mut running = program(how).spawn();
    running.expect_printed("ready\n", 1);
    running
}

/// Checks that standard error has all of these parts.
#[track_caller]
fn expect(outcome: &Outcome, parts: &[&str]) {
    for part in parts {
        outcome.expect_stderr(part);
    }
}

#[test]
fn whoever_asks_is_told_what_every_thread_does() {
    let mut running = ready("busy");
    let busy = ["'spinner' runs", "threads::spin", "'sleeper' waits in sleep", "threads::doze"];
    let waiting = ["'parker' waits in futex", "Parker", "thread 1 (main) waits in futex", "threads::main"];
    running.ask_until(&[&busy[..], &waiting, &["names and lines"]].concat()).signal("TERM", 1);
    running.finish().expect_status(TERMINATED);
}

#[test]
fn a_guest_that_was_asked_goes_on() {
    let mut running = ready("busy");
    for round in 1..=5 {
        running.signal("QUIT", 1).expect_told(ASKED, round).expect_told("names and lines", round);
    }
    running.signal("TERM", 1);
    running.finish().expect_status(TERMINATED);
}

#[test]
fn a_guest_without_libos_can_be_asked_too() {
    for how in ["spin", "read", "sleep"] {
        let mut running = Guest::native("endless").argument(how).spawn();
        running.expect_printed("ready\n", 1).ask_until(&["endless.rs:"]);
        // The end of the input could come first.
        running.signal("TERM", 1).expect_ended();
        running.finish().expect_status(TERMINATED);
    }
}

#[test]
fn a_guest_can_be_asked_while_it_reads() {
    let mut running = Guest::program("echo").spawn();
    running.say("first").expect_printed("first\n", 1).ask_until(&["is in read of file 0"]);
    running.input(b"a line\n".to_vec()).finish().expect_success().expect_stdout("first\na line\n");
}

#[test]
fn asking_at_any_moment_of_the_start_or_the_end_does_no_harm() {
    for delay_us in (1000..8000).step_by(250) {
        let mut running = Guest::program("sleeps").spawn();
        std::thread::sleep(Duration::from_micros(delay_us));
        running.signal("QUIT", 3);
        let outcome = running.finish();
        // Before the tender has installed its handlers, the signal ends the tender itself.
        outcome.expect_end(&[End::Signal(libc::SIGQUIT), End::Exit(0)]);
    }
}

#[test]
fn a_deadlock_is_told_with_every_thread() {
    let outcome = program("deadlock").run();
    outcome.expect_fault(PANIC, "deadlock");
    expect(&outcome, &["'left-right' waits in futex", "'right-left' waits in futex", "thread 1 (main) waits in futex"]);
    expect(&outcome, &["threads::lock_both", "Mutex>::lock_contended", "threads::main"]);
}

#[test]
fn threads_that_wait_for_a_signal_are_no_deadlock() {
    let mut running = ready("handled");
    running.ask_until(&["'left-right' waits in futex", "'right-left' waits in futex"]).signal("HUP", 1);
    running.finish().expect_status(128 + 1);
}

#[test]
fn an_abort_is_told_with_the_thread_that_made_it() {
    let outcome = program("abort").run();
    outcome.expect_fault(PANIC, "SIGABRT");
    expect(&outcome, &["thread 'quitter'", "std::process::abort"]);
    let outcome = program("raise").run();
    outcome.expect_fault(ARITHMETIC, "SIGFPE");
    expect(&outcome, &["thread 'raiser'", "raise"]);
}

#[test]
fn a_stack_overflow_names_the_thread_and_the_address() {
    for how in ["narrow", "wide"] {
        let outcome = Guest::program("thread_overflow").argument(how).run();
        outcome.expect_fault(MEMORY, "access to 0x");
        expect(&outcome, &["stack overflow of thread 'deep-thought'", "thread_overflow::recurse"]);
    }
}

#[test]
fn threads_are_in_proc_by_name_and_can_be_limited() {
    let expected = "[\"tasks\"]\n[\"first\", \"second, of a lo\", \"tasks\"]\nanother: true\n[\"tasks\"]\n\
        another: Ok(\"is there again\")\n";
    Guest::program("tasks").run().expect_success().expect_stdout(expected);
}

/// Message of a test that fails.
fn failure(test: impl FnOnce() + UnwindSafe) -> String {
    let panic = catch_unwind(test).expect_err("it fails");
    *panic.downcast::<String>().expect("a message that was made")
}

#[test]
fn a_test_whose_guest_does_not_end_fails_with_what_every_thread_did() {
    let parts = ["has not ended in time", "ready\n", "'spinner' runs", "'sleeper' waits in sleep", "threads::doze"];
    let mut last = String::new();
    let found = with_more_time(Duration::from_millis(700), |time| {
        last = failure(move || drop(program("busy").within(time).run()));
        parts.iter().all(|part| last.contains(part)).then_some(())
    });
    assert!(found.is_some(), "not all of {parts:?} in {last}");
}

#[test]
fn a_test_whose_guest_has_died_fails_at_once() {
    let failure = failure(|| {
        program("abort").spawn().expect_printed("never printed", 1);
    });
    assert!(failure.contains("has ended and not printed 1 times 'never printed'"), "{failure}");
    assert!(failure.contains("SIGABRT"), "{failure}");
}
