//! `cargo husk test`: each test executable and each documentation test in a virtual machine.

use husk_tests::{Project, package};

const LIBRARY: &str = r#"//! ```
//! assert_eq!(testable::twice(2), 4);
//! ```
pub fn twice(number: u32) -> u32 { number * 2 }
#[cfg(test)]
mod tests {
    #[test]
    fn holds() { assert_eq!(super::twice(4), 8); }
    #[test]
    #[should_panic(expected = "wanted")]
    fn panics() { panic!("wanted"); }
    #[test]
    fn fails_if_asked() { assert!(std::env::var_os("FAIL").is_none(), "asked to fail"); }
}
"#;

fn project() -> Project {
    let whole = "#[test]\nfn whole() { println!(\"{}\", testable::twice(21)); }";
    Project::new(
        "testable",
        &[("Cargo.toml", &package("testable", "")), ("src/lib.rs", LIBRARY), ("tests/whole.rs", whole)],
    )
}

#[test]
fn unit_integration_and_documentation_tests_pass() {
    let outcome = project().husk("test").run();
    outcome.expect_success();
    for result in ["ok. 3 passed", "ok. 1 passed", "src/lib.rs - (line 1) ... ok"] {
        assert!(outcome.stdout().is_empty() || outcome.stdout().contains(result), "{result}: {outcome}");
    }
}

#[test]
fn a_failing_test_fails_the_run() {
    let outcome = project().husk("test -q -e FAIL=1 --lib").run();
    outcome.expect_status(101);
    assert!(outcome.stdout().is_empty() || outcome.stdout().contains("asked to fail"), "{outcome}");
}

#[test]
fn tests_are_chosen_by_name_and_their_output_shown() {
    let outcome = project().husk("test -q --test whole who -- --nocapture").run();
    outcome.expect_success();
    assert!(outcome.stdout().is_empty() || outcome.stdout().contains("42\n"), "{outcome}");
}
