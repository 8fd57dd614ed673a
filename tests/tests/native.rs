//! Programs over the native API.

use husk_abi::fault::PANIC;
use husk_tests::{Guest, build};
use std::fs;

#[test]
fn hello_prints_its_line() {
    Guest::image(build::image("hello", "hello")).run().expect_success().expect_stdout("Hello from a Husk guest\n");
}

#[test]
fn hello_is_at_most_32_kib() {
    let size = fs::metadata(build::image("hello", "hello")).expect("just built").len();
    assert!(size <= 32 << 10, "{size} bytes");
}

#[test]
fn heap_clock_arguments_and_exit_status_work() {
    let guest = || Guest::native("heap_and_clock");
    guest().argument("0").run().expect_success().expect_stdout("value 999 true true\n");
    guest().argument("200").run().expect_status(200);
    guest().argument("many").run().expect_status(1).expect_stderr("Error: ParseIntError");
}

#[test]
fn a_panic_is_reported_with_message_and_place() {
    let outcome = Guest::native("native_panic").run();
    outcome.expect_fault(PANIC, "panicked at");
    outcome.expect_stderr("index out of bounds: the len is 3 but the index is 6");
    outcome.expect_stderr("native_panic::inner").expect_stderr("native_panic.rs:15:5");
}

#[test]
fn all_memory_that_is_given_can_be_used() {
    Guest::native("large_heap").flag("--memory=400M").run().expect_success().expect_stdout("357 MB used\n");
}
