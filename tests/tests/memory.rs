//! Memory of ordinary programs: freed memory returns to the host, and requests that cannot be met are refused as natively.

use husk_abi::fault::{CALL, OUT_OF_MEMORY, PANIC};
use husk_abi::memory::GATE;
use husk_tests::{Guest, Target};

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
        // An allocator keeps some memory, and libos and tender keep their tables.
        assert!(left_kib < 24 << 10, "{given_up}: {left_kib} KiB of {used_kib}");
    }
    guest.finish().expect_success();
}

#[test]
fn an_idle_guest_takes_what_it_touches_and_no_huge_page() {
    for guest in [Guest::native("idle"), Guest::program("idle_std")] {
        let mut guest = guest.spawn();
        guest.expect_printed("resting", 1);
        let Some((own, all)) = guest.anonymous_kib().zip(guest.resident_kib()) else { return };
        // Usual values are 0.3 MB and, with the pages of the files of husk and the image, 2.2 MB.
        assert!(own < 1 << 10, "{own} KiB");
        assert!(all < 6 << 10, "{all} KiB");
    }
}

#[test]
fn memory_that_comes_ahead_of_its_use_stays_within_the_bound() {
    let mut guest = Guest::program("uses_memory").flag("--memory=64M").argument("all").spawn();
    guest.expect_printed("all used", 1);
    if let Some((used, most)) = guest.anonymous_kib().zip(guest.peak_kib()) {
        assert!(used > 40 << 10, "{used} KiB");
        assert!(most < 72 << 10, "{most} KiB");
    }
    guest.say("go on");
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
fn almost_all_of_a_large_memory_can_be_taken_piece_by_piece() {
    let outcome = Guest::program("large_heap").flag("--memory=4G").argument("3900").run();
    outcome.expect_success().expect_stdout("3900 MiB taken\n");
}

#[test]
fn mappings_are_what_allocators_expect() {
    let outcome = Guest::program("mappings").run();
    outcome.expect_success().expect_stdout("mappings work\n");
    assert!(outcome.stderr().lines().count() <= 1, "that it got no memory to execute: {outcome}");
}

#[test]
fn ten_thousand_threads_can_come_and_go() {
    let outcome = Guest::program("many_threads").argument("in-turn").run();
    outcome.expect_success().expect_stdout("10000 threads in turn: 49995000\n");
}

#[test]
fn a_thousand_threads_are_alive_at_once_in_the_usual_memory_and_again() {
    // Sum of the threads' numbers, and of the values that each found on its stack.
    let line = format!("1000 threads at once: {}\n", 499_500 + 1000 * 4096);
    let outcome = Guest::program("many_threads").argument("again").run();
    outcome.expect_success().expect_stdout(&line.repeat(3));
}

#[test]
fn stacks_that_are_used_in_depth_count() {
    let outcome = Guest::program("many_threads").argument("deep").run();
    outcome.expect_fault(OUT_OF_MEMORY, "out of memory");
}

#[test]
fn input_arrives_on_a_stack_that_nobody_has_touched() {
    let outcome = Guest::program("many_threads").argument("talk").input(b"hello\n").run();
    outcome.expect_success().expect_stdout("hello\n");
}

#[test]
fn reserved_memory_is_had_page_by_page_and_given_back() {
    let guest = |what: &str| Guest::program("sparse_memory").flag("--memory=64M").argument(what).run();
    guest("here and there").expect_success().expect_stdout("here and there\n");
    guest("again and again").expect_success().expect_stdout("again and again\n");
}

#[test]
fn a_guest_that_touches_all_it_has_reserved_gets_no_more_than_its_memory() {
    let guest = Guest::program("sparse_memory").flag("--memory=64M").argument("everywhere").spawn();
    let mut most = 0;
    while let Some(resident) = guest.resident_kib() {
        most = most.max(resident);
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
    assert!(most < 80 << 10, "{most} KiB");
    guest.finish().expect_fault(OUT_OF_MEMORY, "out of memory");
}

#[test]
fn a_guest_cannot_have_the_tender_write_to_memory_that_it_has_only_reserved() {
    let gate = Target::usual().own(GATE);
    let guest = Guest::program("sparse_memory").flag("--no-aslr").argument("by the tender").argument(gate.to_string());
    guest.input(b"something\n").run().expect_fault(CALL, "not memory that it may write");
}

#[test]
fn a_guest_cannot_protect_what_the_tender_uses_in_place() {
    let gate = Target::usual().own(GATE);
    let guest = Guest::program("protects_records").flag("--no-aslr").argument(gate.to_string());
    guest.run().expect_fault(CALL, "which hold a record that the tender uses");
}

#[test]
fn memory_is_written_back_and_stays_and_is_there_as_far_as_it_is_mapped() {
    let expected = "of four pages, all but the third\nmsync 0 12\nodd 22\nboth 22\nmlock 0 12\nmunlock 0\nmincore 0\n\
        mincore over the hole 12\non the stack 0\n[1, 1, 0, 0]\n";
    Guest::program("mapped").run().expect_success().expect_stdout(expected);
}
