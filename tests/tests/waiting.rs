//! Programs that wait for files: what they see is what Linux would show them, so each also passes as a process.

use husk_tests::{Guest, native};

/// The program `name` ends well here, as a process, and in a guest, with the same output.
fn same_as_a_process(name: &str) {
    Guest::program(name).run().expect_success().expect_stdout(&native::output("programs", name));
}

#[test]
fn sets_of_files_and_timers_are_as_on_linux() {
    same_as_a_process("epoll");
}

#[test]
fn sockets_between_threads_are_as_on_linux() {
    same_as_a_process("sockets");
}

#[test]
fn a_thread_that_waits_for_input_stops_no_other() {
    let typing = "(sleep 0.3; echo first; sleep 0.3; echo second; sleep 0.2) | \"$@\"";
    let outcome = Guest::program("input").through(&["sh", "-c", typing, "sh"]).run();
    outcome.expect_success().expect_stdout("waiting\nfirst\nsecond\n");
}
