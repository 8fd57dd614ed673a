//! Message queues, semaphores and shared memory, of POSIX and of System V, within a program.

use husk_tests::{Guest, native};

#[test]
fn message_queues_of_posix_behave_as_on_linux() {
    let expected = native::output("programs", "message_queues");
    Guest::program("message_queues").run().expect_success().expect_stdout(&expected);
}

#[test]
fn queues_semaphores_and_memory_of_system_v_behave_as_on_linux() {
    let expected = native::output("programs", "system_v");
    Guest::program("system_v").run().expect_success().expect_stdout(&expected);
}
