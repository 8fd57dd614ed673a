//! Guests run at CPL 3 only, in memory with access rights that they cannot change: each attack is stopped, by name.

use husk_abi::fault::{ARITHMETIC, CALL, ILLEGAL_INSTRUCTION, MEMORY, TRAP};
use husk_abi::memory::{BOOT, CLOCK, FRAME, GATE, PAGE, RING0, RING0_SIZE};
use husk_tests::{Guest, Target, build};

/// Tests of guests that must be stopped: name of the guest (and of the test), status, part of the message.
macro_rules! stopped {
    ($($guest:ident: $status:expr, $message:literal;)*) => {
        $(
            #[test]
            fn $guest() {
                Guest::native(stringify!($guest)).run().expect_fault($status, $message);
            }
        )*
    };
}

stopped! {
    write_text: MEMORY, "write to";
    beyond_attached: MEMORY, "read of";
    write_rodata: MEMORY, "write to";
    write_relocated: MEMORY, "write to";
    execute_heap: MEMORY, "execution at";
    execute_stack: MEMORY, "execution at";
    hlt: MEMORY, "general protection";
    mov_cr3: MEMORY, "general protection";
    read_cr0: MEMORY, "general protection";
    wrmsr: MEMORY, "general protection";
    rdmsr: MEMORY, "general protection";
    lidt: MEMORY, "general protection";
    lgdt: MEMORY, "general protection";
    cli: MEMORY, "general protection";
    swapgs: MEMORY, "general protection";
    port_in: MEMORY, "general protection";
    port_out: MEMORY, "general protection";
    port_exception: MEMORY, "general protection";
    port_wide: MEMORY, "general protection";
    undefined: ILLEGAL_INSTRUCTION, "invalid instruction";
    breakpoint: TRAP, "breakpoint";
    trap_flag: TRAP, "debug trap";
    divide: ARITHMETIC, "division error";
    call_unknown: CALL, "call number 30583 does not exist";
    call_outside: CALL, "outside its memory";
    call_wrapping: CALL, "outside its memory";
    call_straddling: CALL, "outside its memory";
    call_null: CALL, "outside its memory";
    call_ring0: CALL, "outside its memory";
    call_reads_into_text: CALL, "not memory that it may write";
    call_protects_image: CALL, "not memory that it may write";
    system_call: CALL, "Linux system call 39";
    system_call_bad_stack: CALL, "Linux system call 39";
    system_call_flags: CALL, "Linux system call 39";
}

#[test]
fn a_breakpoint_is_reported_at_its_line() {
    Guest::native("breakpoint").run().expect_stderr("breakpoint.rs:12:");
}

#[test]
fn a_software_interrupt_is_stopped() {
    // A KVM in software raises an invalid opcode exception, hardware a general protection fault.
    let outcome = Guest::native("int_80").run();
    assert!(!outcome.stdout().contains("survived"));
    outcome.expect_stderr("husk: the guest stopped: ");
}

#[test]
fn the_port_of_the_gate_is_used_by_the_gate_alone() {
    let message = if Target::usual() == Target::Hvt { "is not the gate's" } else { "general protection" };
    for how in ["rep", "plain", "one"] {
        let outcome = Guest::native("port_of_gate").argument(how).run();
        outcome.expect_stderr(message);
        assert!(!outcome.stdout().contains("survived"), "{outcome}");
    }
    Guest::native("port_of_gate").argument("wide").run().expect_fault(MEMORY, "general protection");
}

#[test]
fn the_port_of_the_doorbell_is_used_by_the_doorbell_alone() {
    let message = if Target::usual() == Target::Hvt { "is not the gate's" } else { "general protection" };
    let guest = |how| Guest::image(build::image("net-guests", "port_of_doorbell")).flag("--net=user").argument(how);
    for how in ["rep", "plain", "one"] {
        let outcome = guest(how).run();
        outcome.expect_stderr(message);
        assert!(!outcome.stdout().contains("survived"), "{outcome}");
    }
    guest("wide").run().expect_fault(MEMORY, "general protection");
}

/// Double fault of a tender that is built without a stack for exceptions, because no guest can cause one otherwise
/// (`tender/src/arch/x86_64/hvt/ring0.rs`).
#[test]
fn a_double_fault_is_reported_as_one() {
    if Target::usual() == Target::Hvt {
        for guest in ["undefined", "write_text"] {
            Guest::native(guest).attack("tables", "no_stack").run().expect_fault(MEMORY, "double fault");
        }
    }
}

#[test]
fn the_null_page_cannot_be_touched() {
    for guest in ["read_address", "write_address", "jump_address"] {
        Guest::native(guest).argument("0x8").run().expect_fault(MEMORY, "0x8").expect_stderr("null");
    }
}

#[test]
fn tender_pages_can_be_read_only_where_the_contract_says_so() {
    let at = |guest, physical| {
        let address = format!("{:#x}", Target::usual().own(physical));
        Guest::native(guest).flag("--no-aslr").argument(address).run()
    };
    for page in [GATE, CLOCK, BOOT] {
        at("read_address", page).expect_success().expect_stdout("survived\n");
        at("write_address", page).expect_fault(MEMORY, "write to");
    }
    if Target::usual() == Target::Hvt {
        at("read_address", FRAME).expect_success();
    }
    at("write_address", FRAME).expect_fault(MEMORY, "write to");
    // Pages of ring 0, the addresses that page tables would have if they were mapped one to one, and the guard pages between.
    let hidden = (RING0..RING0 + RING0_SIZE).step_by(PAGE as usize).chain([0x8_0000, 0x8_1000, 0x10_0000, 0x1f_f000]);
    for page in hidden {
        at("read_address", page).expect_fault(MEMORY, "read of");
        at("write_address", page).expect_fault(MEMORY, "write to");
        at("jump_address", page).expect_fault(MEMORY, "execution at");
    }
}

#[test]
fn a_jump_to_a_non_canonical_address_is_stopped() {
    Guest::native("jump_address").argument("0x8000000000000000").run().expect_fault(MEMORY, "general protection");
}

#[test]
fn every_stack_has_a_guard_that_the_report_names() {
    Guest::native("main_stack_overflow")
        .run()
        .expect_fault(MEMORY, "page fault")
        .expect_stderr("stack overflow of the main thread");
    Guest::native("libos_stack_overflow")
        .run()
        .expect_fault(MEMORY, "page fault")
        .expect_stderr("stack overflow of the libos");
}

#[test]
fn pages_that_the_guest_protects_are_protected() {
    Guest::native("protected_heap").run().expect_fault(MEMORY, "protected").expect_stdout("still ours\n");
}

#[test]
fn flags_and_odd_arguments_hurt_nobody() {
    Guest::native("hostile_flags").run().expect_success().expect_stdout("survived\n");
    Guest::native("call_odd_values").run().expect_success().expect_stdout("survived\n");
}
