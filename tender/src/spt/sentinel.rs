//! A thread that ends the process when it is told to end by SIGINT or SIGTERM, whatever a guest has done to the tender.
//!
//! A guest that owns the process can block signals in its own thread, and have handlers find what it likes in memory. The
//! sentinel uses no memory that can be written: it lives in registers, which a signal frame alone would expose, and it blocks
//! every signal. Its code and constants are in pages that are executed, and nothing in this process can bring other code to
//! that place: no call makes memory executable or moves it (`confine::calls`); a page that is taken away is a fault, which ends
//! the process too.
//!
//! The two signals have their default disposition, no call changes that, and the processor's thread blocks them. So the kernel
//! leaves them to the sentinel, which waits for them (rt_sigtimedwait(2)) and passes them on to the processor's thread under
//! other names ([`STAND_INS`]). If the process has not ended a second after the time of grace, or after a second signal, the
//! sentinel ends it. A guest that unblocks them ends at once, by the default, unless husk is process 1 of a PID namespace,
//! where the kernel drops a signal that nobody handles or blocks.
//!
//! Not the thread of the devices: that one reads memory of the guest's, and has a stack.

#![expect(unsafe_code, reason = "a thread without a stack is made and lives by assembler")]

use crate::confine::Program;
use crate::error::Error;
use crate::signals::STAND_INS;
use core::arch::global_asm;
use core::mem::offset_of;
use std::io;
use std::ptr::{null, null_mut};
use std::sync::atomic::AtomicU32;
use std::sync::atomic::Ordering::Acquire;

/// What the sentinel is to do.
#[derive(Clone, Copy, Debug)]
pub struct Duty {
    /// Which signals to wait for, bit n for number n of [`STAND_INS`].
    pub signals: usize,
    /// Seconds that the process has to end, after the first signal.
    pub grace_s: u64,
    /// The signal that has begun that time already, or 0.
    pub stopped_by: libc::c_int,
}

/// The sentinel, from its creation until it is inside its filter.
#[derive(Debug)]
pub struct Sentinel {
    /// The kernel reads it while the thread enters it.
    _program: Program,
    _header: Box<libc::sock_fprog>,
}

/// How much later than it should have the process ends at the latest, in seconds.
const MARGIN_S: u64 = 1;

/// Whether the sentinel has entered its filter: not yet, yes, or it could not.
static ENTERED: AtomicU32 = AtomicU32::new(NOT_YET);
const NOT_YET: u32 = 0;
const YES: u32 = 1;
const FAILED: u32 = 2;

/// What a thread of this process shares with the others.
const SHARED: libc::c_int = libc::CLONE_VM
    | libc::CLONE_FS
    | libc::CLONE_FILES
    | libc::CLONE_SIGHAND
    | libc::CLONE_THREAD
    | libc::CLONE_SYSVSEM;

/// What the thread takes with it into its registers.
#[repr(C)]
struct Start {
    program: *const libc::sock_fprog,
    set: *const u64,
    seconds: u64,
    process: u64,
    processor: u64,
    stopped_by: u64,
    delay_s: u64,
}

impl Sentinel {
    /// Starts the sentinel, for a process whose calling thread is to run the guest and blocks all signals.
    pub fn start(program: Program, duty: Duty, delay_s: u64) -> Result<Self, Error> {
        if !can_wait() {
            return Err(Error::NoSignals(io::Error::last_os_error()));
        }
        let header = Box::new(program.header());
        let start = Start {
            program: &raw const *header,
            set: (&raw const husk_sentinel_sets).cast::<u64>().wrapping_add(duty.signals),
            seconds: duty.grace_s.saturating_add(MARGIN_S),
            process: std::process::id().into(),
            // SAFETY: has no conditions.
            processor: unsafe { libc::gettid() } as u64,
            stopped_by: duty.stopped_by as u64,
            delay_s,
        };
        // SAFETY: the thread reads `start` before it is made, and nothing but the program after.
        match unsafe { husk_sentinel_start(&start) } {
            1.. => Ok(Self { _program: program, _header: header }),
            error => Err(Error::NoThread(io::Error::from_raw_os_error(-error as i32))),
        }
    }

    /// Blocks until the sentinel is inside its filter.
    pub fn wait(self) -> Result<(), Error> {
        loop {
            match ENTERED.load(Acquire) {
                YES => return Ok(()),
                FAILED => return Err(Error::NotConfined(io::ErrorKind::Unsupported.into())),
                _ => {}
            }
            let wait = libc::FUTEX_WAIT | libc::FUTEX_PRIVATE_FLAG;
            // SAFETY: the word is a static.
            unsafe { libc::syscall(libc::SYS_futex, &raw const ENTERED, wait, NOT_YET, null::<libc::timespec>()) };
        }
    }
}

/// Whether this host lets a thread wait for signals.
fn can_wait() -> bool {
    let (none, now) = (0_u64, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: both are variables of ours, the set as long as it says.
    let answer =
        unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const none, null_mut::<u8>(), &raw const now, 8) };
    answer == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
}

unsafe extern "C" {
    /// Makes the thread. Returns its number, or the error as a negative one.
    fn husk_sentinel_start(start: &Start) -> i64;
    /// Sets of signals, by [`Duty::signals`].
    static husk_sentinel_sets: u8;
}

const fn bit(signal: libc::c_int) -> u64 {
    husk_abi::signals::bit(signal as u32)
}

global_asm!(
    ".pushsection .text.husk_sentinel, \"ax\", @progbits",
    ".balign 8",
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
    "    mov rbp, [rdi + {program}]",
    "    mov r12, [rdi + {set}]",
    "    mov r13, [rdi + {seconds}]",
    "    mov r14, [rdi + {process}]",
    "    mov r15, [rdi + {processor}]",
    "    mov r9, [rdi + {stopped_by}]",
    "    mov rbx, [rdi + {delay_s}]",
    "    mov edi, {shared}",
    "    xor esi, esi",
    "    xor edx, edx",
    "    xor r10d, r10d",
    "    xor r8d, r8d",
    "    mov eax, {clone}",
    "    syscall",
    "    test rax, rax",
    "    jz husk_sentinel",
    "    pop r15",
    "    pop r14",
    "    pop r13",
    "    pop r12",
    "    pop rbp",
    "    pop rbx",
    "    ret",
    ".size husk_sentinel_start, . - husk_sentinel_start",
    "",
    ".type husk_sentinel, @function",
    "husk_sentinel:",
    "2:  test rbx, rbx",
    "    jz 3f",
    "    dec rbx",
    "    lea rdi, [rip + husk_sentinel_sets]",
    "    husk_sentinel_wait_a_second",
    "    jmp 2b",
    "3:  mov edi, {filter_mode}",
    "    xor esi, esi",
    "    mov rdx, rbp",
    "    mov eax, {seccomp}",
    "    syscall",
    "    mov ecx, {yes}",
    "    mov edx, {failed}",
    "    test rax, rax",
    "    cmovne ecx, edx",
    "    lea rdi, [rip + {entered}]",
    "    mov [rdi], ecx",
    // The last use of memory that can be written, and by the kernel as a name alone.
    "    mov esi, {wake}",
    "    mov edx, 1",
    "    mov eax, {futex}",
    "    syscall",
    "    mov ebp, r9d",
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
    ".purgem husk_sentinel_pass_on",
    ".purgem husk_sentinel_wait_a_second",
    ".popsection",
    entered = sym ENTERED,
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
    delay_s = const offset_of!(Start, delay_s),
    shared = const SHARED,
    clone = const libc::SYS_clone,
    seccomp = const libc::SYS_seccomp,
    filter_mode = const libc::SECCOMP_SET_MODE_FILTER,
    yes = const YES,
    failed = const FAILED,
    futex = const libc::SYS_futex,
    wake = const libc::FUTEX_WAKE | libc::FUTEX_PRIVATE_FLAG,
    wait = const libc::SYS_rt_sigtimedwait,
    timed_out = const libc::EAGAIN,
    tgkill = const libc::SYS_tgkill,
    exit = const libc::SYS_exit_group,
);
