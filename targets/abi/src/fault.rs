//! Faults: violations of the contract by a guest, and the exit status for each.
//!
//! The tender exits with `128 + n`, where `n` is the signal that Linux would have sent to a process doing the same; thus a
//! shell, a supervisor or a test shows for a guest what it would have shown for the program itself. The rule also holds for a
//! signal that the program dies of; a signal from outside is no fault, and is not reported.

/// Declares the status numbers with their meaning.
macro_rules! statuses {
    ($($(#[$doc:meta])* $name:ident = $signal:literal,)*) => {
        $($(#[$doc])* pub const $name: u8 = 128 + $signal;)*
    };
}

statuses! {
    /// SIGILL: an instruction that does not exist (`ud2` included).
    ILLEGAL_INSTRUCTION = 4,
    /// SIGTRAP: a breakpoint or single-step trap.
    TRAP = 5,
    /// SIGABRT: the libos, or a native program with `panic = "abort"`, gave up; a program aborted; or all its threads
    /// wait for one another.
    PANIC = 6,
    /// SIGBUS: an alignment check, or a page of the image that its file no longer has.
    BUS = 7,
    /// SIGFPE: division by zero or another arithmetic exception.
    ARITHMETIC = 8,
    /// SIGKILL: the guest touched more memory than it may have.
    OUT_OF_MEMORY = 9,
    /// SIGSEGV: a memory access that the page tables or a guard forbid, or a privileged instruction or port.
    MEMORY = 11,
    /// SIGSYS: a call that does not exist, or one with a pointer outside the guest's memory.
    CALL = 31,
}

/// Exit status if the tender could not start or continue a guest, through no fault of the guest's.
pub const TENDER_ERROR: u8 = 125;
/// Exit status if the guest exceeded its time limit, as of timeout(1).
pub const TIME_IS_UP: u8 = 124;
