//! Ordinary programs, unmodified: their output, input and status are as on Linux.

use husk_abi::fault::{MEMORY, PANIC};
use husk_tests::measure::exits;
use husk_tests::{Guest, build, native};

#[test]
fn hello_prints_its_line() {
    let image = build::image("hello-std", "hello-std");
    Guest::image(image).run().expect_success().expect_stdout("Hello from an ordinary Rust program\n");
}

#[test]
fn a_program_leaves_the_guest_only_to_print_and_to_exit() {
    let image = build::image("hello-std", "hello-std");
    let verbose = Guest::image(image).flag("--verbose").run();
    verbose.expect_success().expect_stderr("exits: ConsoleWrite 1 Exit 1 ");
}

#[test]
fn arguments_environment_and_status_arrive() {
    let guest =
        Guest::program("arguments").flag("-eSTATUS=200").flag("-eNAME=a value").argument("one").argument("-two");
    let outcome = guest.run();
    outcome.expect_status(200);
    for line in ["one", "-two", "NAME=a value", "STATUS=200"] {
        assert!(
            outcome.stdout().is_empty() || outcome.stdout().lines().any(|found| found == line),
            "{line}: {outcome}"
        );
    }
}

#[test]
fn input_output_and_errors_are_separate_streams() {
    let text = "a line\nanother\n\nlast\n";
    let outcome = Guest::program("echo").input(text.as_bytes()).run();
    outcome.expect_success().expect_stdout(text).expect_stderr("4 lines");
}

#[test]
fn a_megabyte_goes_through_the_console() {
    let text = "0123456789abcde\n".repeat(1 << 16);
    Guest::program("echo")
        .input(text.as_bytes())
        .run()
        .expect_success()
        .expect_stdout(&text)
        .expect_stderr("65536 lines");
}

#[test]
fn what_is_wrong_with_a_stream_of_the_host_is_told() {
    let full = ["sh", "-c", "exec \"$@\" >/dev/full </", "sh"];
    let outcome = Guest::program("streams").through(&full).run();
    outcome.expect_success().expect_stderr("write: Err(StorageFull)").expect_stderr("read: Err(IsADirectory)");
}

#[test]
fn panics_unwind_and_end_the_program_as_they_do_natively() {
    let outcome = Guest::program("panics").run();
    outcome.expect_status(101).expect_stdout("dropped one\ncaught: true\ndropped two\n");
    outcome.expect_stderr("panicked at").expect_stderr("failed with two");
}

#[test]
fn an_abort_ends_with_the_status_of_sigabrt() {
    Guest::program("aborts").run().expect_status(PANIC.into()).expect_stdout("about to abort\n");
}

#[test]
fn a_thread_whose_sleep_is_over_comes_before_those_that_spin() {
    Guest::program("punctual").run().expect_success().expect_stdout("punctual\n");
}

#[test]
fn a_thread_that_had_the_processor_for_long_gives_it_up_to_whatever_comes() {
    let outcome = Guest::program("long_turns").input(b"x").run();
    outcome.expect_success().expect_stdout("a new thread\na woken thread\na sleeper\nan alarm\ninput\n");
}

#[test]
fn a_thread_that_nobody_waits_for_is_left_alone() {
    let outcome = Guest::program("long_turns").argument("alone").flag("--verbose").run();
    outcome.expect_success().expect_stdout("was alone\n");
    let told = outcome.stderr();
    let count = told.trim_end().rsplit_once("interrupted ").and_then(|(_, count)| count.parse::<u32>().ok());
    // An interruption every few milliseconds would make hundreds in the second that the program runs.
    assert!(count.is_some_and(|count| count < 20), "{told}");
}

#[test]
fn no_thread_starves_for_its_place_in_the_order_of_turns() {
    Guest::program("leavings").run().expect_success().expect_stdout("each took some\n");
}

#[test]
fn advice_about_no_memory_at_all_tells_whether_there_is_such_advice() {
    Guest::program("advice").run().expect_success().expect_stdout("advice works\n");
}

#[test]
fn files_directories_links_and_metadata_work() {
    Guest::program("files").run().expect_success().expect_stdout("files work\n");
}

#[test]
fn sleeps_last_as_long_as_they_should() {
    Guest::program("sleeps").run().expect_success().expect_stdout("slept\n");
}

#[test]
fn two_runs_have_different_random_keys() {
    let runs = [(); 2].map(|()| Guest::program("hash_map").run());
    for run in &runs {
        run.expect_success();
    }
    assert!(runs[0].stdout().is_empty() || runs[0].stdout() != runs[1].stdout());
}

#[test]
fn system_calls_keep_every_register_but_those_they_may_change() {
    Guest::program("registers").run().expect_success().expect_stdout("all registers kept\n");
}

#[test]
fn threads_keep_their_vector_registers_apart() {
    let outcome = Guest::program("vectors").flag("--verbose").run();
    outcome.expect_success().expect_stdout("all registers kept\n");
    assert!(exits(&outcome.stderr()) > 100.0, "most of those who sleep leave: {outcome}");
}

#[test]
fn unanswered_system_calls_say_enosys_and_are_told_once_if_asked() {
    let quiet = Guest::program("unanswered").run();
    quiet.expect_success().expect_stdout("both answered ENOSYS\n");
    assert_eq!(quiet.stderr(), "");
    let verbose = Guest::program("unanswered").flag("--verbose").run();
    for call in ["system call 250,", "system call 321,"] {
        assert!(verbose.stderr().is_empty() || verbose.stderr().matches(call).count() == 1, "{verbose}");
    }
    for part in ["confined itself in", "first instruction after", "first output after", "exits: ConsoleWrite"] {
        verbose.expect_stderr(part);
    }
}

#[test]
fn what_a_unikernel_cannot_do_is_an_error_and_explained_once() {
    let outcome = Guest::program("impossible").run();
    outcome.expect_success().expect_stdout("no process\nnot executable\n");
    for line in [
        "husk: the program tried to start another program (clone: ENOSYS): a unikernel is one program",
        "husk: the program asked for memory that it can execute, which no guest gets (EACCES)",
    ] {
        outcome.expect_stderr(line);
        assert!(outcome.stderr().matches(line).count() <= 1, "{outcome}");
    }
}

#[test]
fn a_null_dereference_is_reported_with_every_frame() {
    let outcome = Guest::program("null_dereference").run();
    outcome.expect_fault(MEMORY, "read of address 0x0");
    for part in [
        "null",
        "innermost (inlined)",
        "null_dereference.rs:6:22",
        "null_dereference::middle",
        "null_dereference.rs:11:5",
        "null_dereference::outer",
        "null_dereference.rs:16:5",
        "null_dereference::main",
    ] {
        outcome.expect_stderr(part);
    }
}

#[test]
fn a_stack_overflow_names_the_thread() {
    let outcome = Guest::program("overflow").run();
    outcome.expect_fault(MEMORY, "page fault");
    outcome.expect_stderr("stack overflow of the main thread").expect_stderr("overflow::recurse");
}

#[test]
fn the_base_is_random_unless_it_is_asked_not_to_be() {
    let base = |flag: Option<&str>| {
        let mut guest = Guest::program("overflow");
        if let Some(flag) = flag {
            guest = guest.flag(flag);
        }
        let report = guest.run().stderr();
        report.split("rip ").nth(1).unwrap_or_default().split_whitespace().next().unwrap_or_default().to_owned()
    };
    assert!(base(None).is_empty() || base(None) != base(None));
    assert_eq!(base(Some("--no-aslr")), base(Some("--no-aslr")));
}

#[test]
fn memory_beyond_that_of_the_start_can_be_used() {
    Guest::program("large_heap").run().expect_success().expect_stdout("300 MB used\n");
}

#[test]
fn a_hostile_stack_pointer_or_gs_base_at_a_system_call_hurts_the_guest_alone() {
    // The call is answered, because the libos never touches the program's stack.
    let guest = |mode: &str| Guest::program("hostile_system_call").argument(mode).run();
    guest("stack").expect_success().expect_stdout("survived\n");
    guest("gs").expect_fault(MEMORY, "page fault");
    guest("both").expect_fault(MEMORY, "fault");
}

#[test]
fn a_program_can_read_the_image_that_it_is() {
    let size = std::fs::metadata(build::image("programs", "own_image")).expect("just built").len();
    Guest::program("own_image").run().expect_success().expect_stdout(&format!("{size} bytes, all there\n"));
}

#[test]
fn backtraces_inside_the_guest_have_names() {
    let outcome = Guest::program("panics").flag("-eRUST_BACKTRACE=1").run();
    outcome.expect_status(101).expect_stderr("panics::fail").expect_stderr("panics::main");
}

#[test]
fn threads_that_free_each_others_blocks_keep_their_contents() {
    Guest::program("allocates").run().expect_success().expect_stdout("all blocks kept their contents\n");
}

#[test]
fn the_functions_of_c_that_allocate_refuse_and_align_as_they_should() {
    Guest::program("c_allocation").run().expect_success().expect_stdout("as C has it\n");
}

#[test]
fn a_block_that_is_freed_twice_ends_the_program_with_a_message() {
    let outcome = Guest::program("frees_twice").run();
    outcome.expect_status(PANIC.into()).expect_stdout("about to free twice\n").expect_stderr("given back before");
}

#[test]
fn a_call_keeps_its_file_when_the_descriptor_is_closed_as_on_linux() {
    Guest::program("closes").run().expect_success().expect_stdout(&native::output("programs", "closes"));
}

#[test]
fn who_opens_a_named_pipe_waits_for_the_other_end() {
    let expected = "reader late: \"through the pipe\"\nwriter late: \"through the pipe\"\nat once, to read: Ok(())\n\
        at once, to write: Err(Some(6))\nboth: Ok(())\ninterrupted: true\nnobody is left to read: true\n\
        restarted: Ok(\"after a signal\")\nnothing stays open: true\n";
    Guest::program("named_pipes").run().expect_success().expect_stdout(expected);
}
