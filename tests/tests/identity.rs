//! Users, groups and capabilities of a program that starts as root.

use husk_tests::{Guest, native, requires};

#[test]
fn root_is_given_up_as_on_linux_with_all_threads() {
    let outcome = Guest::program("identity").run();
    outcome.expect_success();
    if requires::root() {
        outcome.expect_stdout(&native::output("programs", "identity"));
    }
}
