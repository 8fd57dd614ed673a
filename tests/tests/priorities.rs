//! Mutexes that inherit priorities.

use husk_tests::{Guest, native};

#[test]
fn mutexes_that_inherit_priorities_are_as_on_linux() {
    Guest::program("priorities").run().expect_success().expect_stdout(&native::output("programs", "priorities"));
}
