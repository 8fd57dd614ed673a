//! Guests that misuse the rings of a network device.

use husk_abi::fault::CALL;
use husk_tests::{End, Guest, build, wire};

/// Guest `name`, on a wire of this thread's own network; `None` if there cannot be such a network.
fn guest(name: &str) -> Option<Guest> {
    if !wire::alone() {
        return None;
    }
    wire::ip("tuntap add tap0 mode tap");
    wire::ip("link set tap0 up");
    Some(Guest::image(build::image("net-guests", name)).flag("--net=tap:tap0"))
}

/// Checks that a guest that breaks a ring in this way is stopped, for this reason.
#[track_caller]
fn stopped(how: &str, queue: &str, reason: &str) {
    let Some(guest) = guest("ring_broken") else { return };
    let outcome = guest.argument(how).run();
    outcome.expect_fault(CALL, &format!("device 'net', {queue} queue: "));
    outcome.expect_fault(CALL, reason);
}

#[test]
fn an_index_ahead_of_the_ring_is_a_fault() {
    stopped("ahead", "transmit", "index of requests is 1 ahead");
}

#[test]
fn completions_read_before_they_are_there_are_a_fault() {
    stopped("read-ahead", "transmit", "index of completions read is 44 ahead");
}

#[test]
fn more_requests_than_completions_have_room_for_are_a_fault() {
    stopped("under-way", "transmit", "more requests are under way than the 256");
}

#[test]
fn a_request_that_is_cut_off_is_a_fault() {
    stopped("cut", "transmit", "cut off");
}

#[test]
fn a_request_of_too_many_parts_is_a_fault() {
    stopped("parts", "transmit", "more than 20 parts");
}

#[test]
fn flags_operations_and_details_that_do_not_exist_are_faults() {
    stopped("flags", "transmit", "flags 0x8000");
    stopped("operation", "transmit", "operation 7 does not exist");
    stopped("detail", "transmit", "detail 0x9");
    stopped("offload", "transmit", "detail 0x5000000000000");
    stopped("guest-offloads", "receive", "detail 0x2");
}

#[test]
fn lengths_that_cannot_be_are_faults() {
    stopped("empty", "transmit", "0 bytes long");
    stopped("long", "transmit", "4294967295 bytes long");
}

#[test]
fn memory_that_is_not_the_guests_is_a_fault() {
    stopped("outside", "transmit", "60 bytes at 0xdead00000000, which are outside its memory");
    stopped("wrapping", "transmit", "outside its memory");
    stopped("rings", "transmit", "outside its memory");
    stopped("constant", "receive", "not memory that it may write");
}

#[test]
fn memory_that_the_guest_has_protected_is_a_fault() {
    stopped("protected", "transmit", "that it has protected");
}

#[test]
fn a_guest_that_writes_nonsense_to_its_rings_hurts_only_itself() {
    const SEEDS: u32 = 100;
    let mut survived = 0;
    for seed in 0..SEEDS {
        let Some(guest) = guest("ring_corrupt") else { return };
        let outcome = guest.argument(seed.to_string()).run();
        match outcome.end() {
            End::Exit(0) => survived += 1,
            _ => drop(outcome.expect_fault(CALL, "device 'net', ")),
        }
    }
    assert!(survived < SEEDS, "some nonsense is a fault");
}

#[test]
fn a_guest_that_rings_for_ever_and_never_reads_is_served_no_worse() {
    let Some(guest) = guest("ring_endless") else { return };
    guest.run().expect_success().expect_stdout("rang, 256 frames sent\n");
}

#[test]
fn frames_of_nonsense_go_out_and_those_of_impossible_length_are_refused() {
    let Some(guest) = guest("frames_malformed") else { return };
    // Frames of 1 to 13, and of 1515 to 2000 bytes.
    guest.run().expect_success().expect_stdout("499 refused\n");
}

#[test]
fn nonsense_that_is_to_be_finished_goes_out_or_is_lost() {
    let Some(guest) = guest("offloads_malformed") else { return };
    guest.run().expect_success().expect_stdout("done\n");
}
