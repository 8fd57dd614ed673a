//! Signals to the tender: they reach the guest, whatever it does, and reliably end it where they should.

use husk_tests::{End, Guest, Running, Target, native};
use std::time::{Duration, Instant};

const INTERRUPTED: i32 = 128 + 2;
const TERMINATED: i32 = 128 + 15;

/// Starts the program that awaits signals in this way, and waits until it is ready.
fn ready(how: &str) -> Running {
    let mut running = Guest::program("signals").argument(how).spawn();
    running.expect_printed("ready\n", 1);
    running
}

#[test]
fn a_handler_is_called_whatever_the_guest_does() {
    for how in ["sleep", "spin", "call", "threads"] {
        let mut running = ready(how);
        running.signal("TERM", 1);
        running.finish().expect_status(7).expect_stdout("ready\nsignal 15\n");
    }
}

#[test]
fn every_signal_that_is_passed_on_arrives() {
    for (name, number) in [("HUP", 1), ("INT", 2), ("USR1", 10), ("USR2", 12), ("WINCH", 28)] {
        let mut running = ready("sleep");
        running.signal(name, 1);
        running.finish().expect_status(7).expect_stdout(&format!("ready\nsignal {number}\n"));
    }
}

#[test]
fn without_a_handler_the_default_action_is_taken() {
    for how in ["default-sleep", "default-spin", "default-threads", "default-read"] {
        for (name, status) in [("TERM", TERMINATED), ("INT", INTERRUPTED), ("USR1", 128 + 10)] {
            let mut running = ready(how);
            // In spt, a thread passes the signal on: the end of the input could come first.
            running.signal("WINCH", 1).signal(name, 1).expect_ended();
            running.finish().expect_status(status).expect_stdout("ready\n");
        }
    }
}

#[test]
fn a_read_of_the_console_is_interrupted() {
    let mut running = ready("read");
    // A signal before the program's read(2) would run the handler without an interruption.
    running.ask_until(&["is in read of file 0"]).signal("TERM", 1).expect_printed("signal 15\n", 1);
    running.finish().expect_status(7).expect_stdout("ready\nread: Err(Interrupted)\nsignal 15\n");
}

#[test]
fn a_guest_that_does_not_end_is_ended_by_the_second_signal() {
    for how in ["ignore", "stubborn", "stubborn-spin"] {
        let mut running = ready(how);
        running.signal("TERM", 1).signal("HUP", 1).signal("INT", 1);
        // On a busy machine, both signals may be pending: the kernel delivers the lowest number first.
        let ends = [INTERRUPTED, TERMINATED].map(End::Exit);
        running.finish().expect_end(&ends).expect_stderr("was told to end and did not");
    }
}

#[test]
fn a_guest_that_does_not_end_is_ended_when_its_time_of_grace_is_over() {
    let started = Instant::now();
    let mut running = Guest::program("signals").flag("--stop-timeout=1").argument("ignore").spawn();
    running.expect_printed("ready\n", 1).signal("TERM", 1);
    running.finish().expect_status(TERMINATED).expect_stderr("was told to end and did not");
    assert!(started.elapsed() >= Duration::from_secs(1));
}

#[test]
fn signals_that_stop_nobody_may_come_as_often_as_they_like() {
    let mut running = ready("flood");
    for name in ["USR1", "HUP", "WINCH", "USR2"] {
        running.signal(name, 500);
    }
    running.signal("TERM", 1);
    running.finish().expect_status(7).expect_stdout("ready\nsignal 15\n");
}

#[test]
fn a_guest_without_libos_takes_the_default_action() {
    for (name, status) in [("TERM", TERMINATED), ("INT", INTERRUPTED), ("HUP", 128 + 1)] {
        for how in ["spin", "read", "sleep"] {
            let mut running = Guest::native("endless").argument(how).spawn();
            running.expect_printed("ready\n", 1).signal("WINCH", 1).signal(name, 1).expect_ended();
            running.finish().expect_status(status).expect_stdout("ready\n");
        }
    }
}

#[test]
fn a_signal_at_any_moment_of_the_start_ends_the_guest() {
    for delay_us in (0..3000).step_by(100) {
        let mut running = Guest::program("signals").argument("default-sleep").spawn();
        std::thread::sleep(Duration::from_micros(delay_us));
        running.signal("TERM", 1);
        let outcome = running.finish();
        // Before the tender has installed its handlers, the signal ends the tender itself.
        outcome.expect_end(&[End::Signal(libc::SIGTERM), End::Exit(TERMINATED)]);
    }
}

/// Checks that the program `name` prints the same in a guest as in a process of this machine.
fn expect_as_natively(name: &str) {
    Guest::program(name).run().expect_success().expect_stdout(&native::output("programs", name));
}

#[test]
fn calls_are_made_again_after_a_handler_as_linux_does() {
    expect_as_natively("interruptions");
}

#[test]
fn signals_can_be_read_from_a_file_as_on_linux() {
    expect_as_natively("signal_files");
}

#[test]
fn a_signal_from_outside_can_be_read_from_a_file() {
    let mut running = Guest::program("signal_files").argument("and wait").spawn();
    running.expect_printed("\nready\n", 1).signal("TERM", 1);
    assert!(running.finish().expect_success().stdout().ends_with("from outside: Ok(15)\n"));
}

#[test]
fn timers_send_signals_as_on_linux() {
    expect_as_natively("timers");
}

#[test]
fn a_handler_is_told_where_its_signal_comes_from() {
    let expected = "raised: code -6\nkilled: code 0\nqueued: code -1, value 77\n\
        queued before another: code -1, value 78\nkilled: code 0\n";
    Guest::program("origins").run().expect_success().expect_stdout(expected);
}

#[test]
fn handlers_run_on_alternate_stacks_as_on_linux() {
    expect_as_natively("signal_stack");
}

#[test]
fn a_handler_runs_on_the_smallest_stack_that_there_is() {
    Guest::program("signal_stack").argument("smallest").run().expect_success().expect_stdout("handled 1\n");
}

#[test]
fn handlers_that_an_alternate_stack_does_not_hold_are_a_memory_fault() {
    const MEMORY: i32 = 128 + 11;
    Guest::program("signal_stack").argument("overflow").run().expect_status(MEMORY).expect_stdout("");
}

#[test]
fn a_guest_that_calls_all_the_time_is_not_hurt_by_signals() {
    for target in Target::all() {
        let guest = Guest::native("hostile_load").argument("tell").flag(target.flag());
        let mut running = guest.spawn();
        running.expect_printed("ready", 1).signal("WINCH", 2000).signal("TERM", 1);
        running.finish().expect_status(143);
    }
}
