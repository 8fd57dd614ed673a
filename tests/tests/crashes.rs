//! Reports on crashes: backtraces lead from the libos and from signal handlers back to the program.

use husk_abi::fault::MEMORY;
use husk_tests::Guest;

#[test]
fn a_fault_in_a_system_call_is_traced_back_to_who_made_it() {
    let outcome = Guest::program("crashes").argument("call").run();
    outcome.expect_fault(MEMORY, "protected");
    for part in
        ["husk_libos::syscalls::transfer::read", "husk_system_call_direct", "crashes::in_a_call", "crashes::main"]
    {
        outcome.expect_stderr(part);
    }
}

#[test]
fn a_fault_in_a_signal_handler_is_traced_back_to_what_was_interrupted() {
    let outcome = Guest::program("crashes").argument("handler").run();
    outcome.expect_fault(MEMORY, "read of address 0x0");
    for part in ["crashes::handler", "__restore_rt", "raise", "crashes::in_a_handler", "crashes::main"] {
        outcome.expect_stderr(part);
    }
    let mut running = Guest::program("crashes").argument("spin").spawn();
    running.expect_printed("ready\n", 1).signal("USR1", 1);
    let outcome = running.finish();
    outcome.expect_fault(MEMORY, "read of address 0x0");
    for part in ["crashes::handler", "__restore_rt", "crashes::spin", "crashes::main"] {
        outcome.expect_stderr(part);
    }
}
