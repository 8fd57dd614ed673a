//! Memory of ordinary programs: what they give up is the host's again, and what they cannot have is refused as natively.

use husk_abi::fault::PANIC;
use husk_tests::Guest;

#[test]
fn memory_that_is_given_up_is_the_hosts_again() {
    let mut guest = Guest::program("gives_back").spawn();
    let mut resident = |stage: &str| {
        let resident = guest.expect_printed(stage, 1).resident_kib();
        guest.say("go on");
        resident
    };
    let Some(before) = resident("nothing yet") else { return };
    let have = |resident: Option<u64>| resident.expect("it still runs").saturating_sub(before);
    for (used, given_up) in
        [("a vector", "no vector"), ("boxes", "no boxes"), ("a mapping", "unneeded"), ("\nneeded", "unmapped")]
    {
        let (used_kib, left_kib) = (have(resident(used)), have(resident(given_up)));
        assert!(used_kib > 60 << 10, "{used}: {used_kib} KiB");
        // An allocator keeps some, and libos and tender their tables.
        assert!(left_kib < 24 << 10, "{given_up}: {left_kib} KiB of {used_kib}");
    }
    guest.finish().expect_success();
}

#[test]
fn more_memory_than_there_is_is_refused() {
    let outcome = Guest::program("out_of_memory").flag("--memory=256M").run();
    outcome.expect_success().expect_stdout("did without\n");
    assert_eq!(outcome.stderr(), "");
}

#[test]
fn a_program_that_runs_out_of_memory_ends_as_natively_and_says_what_it_had() {
    let outcome = Guest::program("out_of_memory").flag("--memory=256M").argument("needs it").run();
    outcome.expect_status(PANIC.into()).expect_stderr("memory allocation of 5000000000 bytes failed");
    outcome.expect_stderr("refused memory").expect_stderr("asked for 50000").expect_stderr("--memory is 256M");
}

#[test]
fn mappings_are_what_allocators_expect() {
    let outcome = Guest::program("mappings").run();
    outcome.expect_success().expect_stdout("mappings work\n");
    assert_eq!(outcome.stderr(), "");
}

#[test]
fn wanting_to_execute_memory_is_told_once_if_asked() {
    let outcome = Guest::program("mappings").flag("--verbose").run();
    outcome.expect_success().expect_stderr("memory that it can execute");
    assert!(outcome.stderr().matches("(EACCES)").count() <= 1, "{outcome}");
}
