//! Mutexes that inherit priorities.

use husk_tests::{Guest, native};

#[test]
fn words_of_two_futexes_and_requeues_to_a_lock_behave_as_on_linux() {
    let expected = native::output("programs", "futexes");
    Guest::program("futexes").run().expect_success().expect_stdout(&expected);
}

#[test]
fn mutexes_that_inherit_priorities_are_as_on_linux() {
    Guest::program("priorities").run().expect_success().expect_stdout(&native::output("programs", "priorities"));
}
