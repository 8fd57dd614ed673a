//! Code of the sentinel ([`crate::confine`]): a thread whose state is in registers.

#![expect(unsafe_code, reason = "a thread without a stack is made and lives by assembler")]

use crate::host::signals::STAND_INS;
use core::arch::global_asm;
use core::mem::offset_of;

/// Resources that a thread of this process shares with the others.
const SHARED: libc::c_int = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM;

/// Values that the thread loads into its registers, and the filter.
#[derive(Debug)]
#[repr(C)]
pub struct Start {
    /// The filter.
    pub program: *const libc::sock_fprog,
    /// The two words of the program that hold the secret; overwritten.
    pub secret: [*mut u32; 2],
    /// Set of signals to wait for.
    pub set: *const u64,
    /// Seconds from a signal to the end.
    pub seconds: u64,
    /// This process.
    pub process: u64,
    /// Thread that runs the guest.
    pub processor: u64,
    /// Signal that has arrived already, or 0.
    pub stopped_by: u64,
    /// Index of the step in the steps of a start that has failed, if one has.
    pub step: u64,
}

unsafe extern "C" {
    /// Makes the thread; all enter the filter. Returns 0, the thread id that seccomp(2) returned, or a negative error.
    pub fn husk_sentinel_start(start: &mut Start) -> i64;
    /// Sets of signals, by [`Duty::signals`].
    pub static husk_sentinel_sets: u8;
}

const fn bit(signal: libc::c_int) -> u64 {
    husk_abi::signals::bit(signal as u32)
}

global_asm!(
    ".pushsection .text.husk_sentinel, \"ax\", @progbits",
    // Constants and code share a page: removing the constants removes the code, and the process ends.
    ".balign 512",
    ".globl husk_sentinel_sets",
    ".type husk_sentinel_sets, @object",
    "husk_sentinel_sets:",
    "    .quad 0, {first}, {second}, {first} | {second}",
    "husk_sentinel_second:",
    "    .quad 1, 0",
    ".size husk_sentinel_sets, . - husk_sentinel_sets",
    "",
    // Passes the signal in ebp on.
    ".macro husk_sentinel_pass_on",
    "    mov edi, r14d",
    "    mov esi, r15d",
    "    mov edx, {second_stand_in}",
    "    mov eax, {first_stand_in}",
    "    cmp ebp, {first_signal}",
    "    cmove edx, eax",
    "    mov eax, {tgkill}",
    "    syscall",
    ".endm",
    // Waits for a signal of the set at rdi, for a second at most. The signal, or a negative error, is in eax.
    ".macro husk_sentinel_wait_a_second",
    "    xor esi, esi",
    "    lea rdx, [rip + husk_sentinel_second]",
    "    mov r10d, 8",
    "    mov eax, {wait}",
    "    syscall",
    ".endm",
    "",
    ".globl husk_sentinel_start",
    ".type husk_sentinel_start, @function",
    "husk_sentinel_start:",
    "    push rbx",
    "    push rbp",
    "    push r12",
    "    push r13",
    "    push r14",
    "    push r15",
    "    mov rbx, rdi",
    "    mov rdi, [rbx + {secret}]",
    "    mov esi, 4",
    "    xor edx, edx",
    "    mov eax, {getrandom}",
    "    syscall",
    "    cmp rax, 4",
    "    jne 3f",
    "    mov rdi, [rbx + {secret} + 8]",
    "    mov eax, {getrandom}",
    "    syscall",
    "    cmp rax, 4",
    "    jne 3f",
    "    mov rax, [rbx + {secret}]",
    "    mov r8d, [rax]",
    "    mov rax, [rbx + {secret} + 8]",
    "    mov r9d, [rax]",
    "    mov rbp, [rbx + {stopped_by}]",
    "    mov r12, [rbx + {set}]",
    "    mov r13, [rbx + {seconds}]",
    "    mov r14, [rbx + {process}]",
    "    mov r15, [rbx + {processor}]",
    "    mov qword ptr [rbx + {step}], 1",
    "    mov edi, {shared}",
    "    xor esi, esi",
    "    xor edx, edx",
    "    xor r10d, r10d",
    "    mov eax, {clone}",
    "    syscall",
    "    test rax, rax",
    "    jz husk_sentinel",
    "    js 3f",
    "    mov qword ptr [rbx + {step}], 2",
    "    mov edi, {filter_mode}",
    "    mov esi, {all_threads}",
    "    mov rdx, [rbx + {program}]",
    "    mov eax, {seccomp}",
    "    syscall",
    // The secret is erased, whatever the outcome.
    "3:  mov rcx, [rbx + {secret}]",
    "    mov dword ptr [rcx], 0",
    "    mov rcx, [rbx + {secret} + 8]",
    "    mov dword ptr [rcx], 0",
    "    xor r8d, r8d",
    "    xor r9d, r9d",
    "    pop r15",
    "    pop r14",
    "    pop r13",
    "    pop r12",
    "    pop rbp",
    "    pop rbx",
    "    ret",
    ".size husk_sentinel_start, . - husk_sentinel_start",
    "",
    // The thread's state is in registers: the secret in r8 and r9, which no call changes.
    ".type husk_sentinel, @function",
    "husk_sentinel:",
    "    test ebp, ebp",
    "    jnz 5f",
    // No signal so far. A stop of the process interrupts the wait.
    "4:  mov rdi, r12",
    "    xor esi, esi",
    "    xor edx, edx",
    "    mov r10d, 8",
    "    mov eax, {wait}",
    "    syscall",
    "    test eax, eax",
    "    jle 4b",
    "    mov ebp, eax",
    "    husk_sentinel_pass_on",
    // The time of grace.
    "5:  mov rdi, r12",
    "    husk_sentinel_wait_a_second",
    "    test eax, eax",
    "    jg 6f",
    "    cmp eax, -{timed_out}",
    "    jne 5b",
    "    dec r13",
    "    jnz 5b",
    "    jmp 8f",
    // A second signal.
    "6:  mov ebp, eax",
    "    husk_sentinel_pass_on",
    "7:  lea rdi, [rip + husk_sentinel_sets]",
    "    husk_sentinel_wait_a_second",
    "    cmp eax, -{timed_out}",
    "    jne 7b",
    "8:  lea edi, [rbp + 128]",
    "    mov eax, {exit}",
    "    syscall",
    "    jmp 8b",
    ".size husk_sentinel, . - husk_sentinel",
    ".globl husk_sentinel_end",
    "husk_sentinel_end:",
    ".purgem husk_sentinel_pass_on",
    ".purgem husk_sentinel_wait_a_second",
    ".popsection",
    first = const bit(STAND_INS[0].1),
    second = const bit(STAND_INS[1].1),
    first_signal = const STAND_INS[0].1,
    first_stand_in = const STAND_INS[0].0,
    second_stand_in = const STAND_INS[1].0,
    program = const offset_of!(Start, program),
    set = const offset_of!(Start, set),
    seconds = const offset_of!(Start, seconds),
    process = const offset_of!(Start, process),
    processor = const offset_of!(Start, processor),
    stopped_by = const offset_of!(Start, stopped_by),
    secret = const offset_of!(Start, secret),
    step = const offset_of!(Start, step),
    shared = const SHARED,
    clone = const libc::SYS_clone,
    seccomp = const libc::SYS_seccomp,
    filter_mode = const libc::SECCOMP_SET_MODE_FILTER,
    all_threads = const libc::SECCOMP_FILTER_FLAG_TSYNC,
    getrandom = const libc::SYS_getrandom,
    wait = const libc::SYS_rt_sigtimedwait,
    timed_out = const libc::EAGAIN,
    tgkill = const libc::SYS_tgkill,
    exit = const libc::SYS_exit_group,
);

#[cfg(test)]
mod tests {
    use super::*;

    unsafe extern "C" {
        static husk_sentinel_end: u8;
    }

    #[test]
    fn all_of_it_lies_in_one_page() {
        let (start, end) = (&raw const husk_sentinel_sets, &raw const husk_sentinel_end);
        assert!(start.addr().is_multiple_of(512) && end.addr() - start.addr() <= 512, "{start:?} to {end:?}");
    }
}
