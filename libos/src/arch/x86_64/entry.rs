//! The ways into the libos: the image's entry point, system calls, and the end of a turn; and the way back to a thread.
//!
//! A patched call site jumps to `husk_system_call_direct` with its return address in `rcx` and everything else as at
//! `syscall`. An unpatched one traps: the tender's stub returns to `husk_system_call_trapped` with `rsp` 0 and the
//! thread's stack pointer in `r11`. Either way the registers go to where this processor's [`Processor`] block says,
//! never to the thread's stack, whose red zone may be in use, or which may be gone. Then the libos runs on the
//! processor's one stack of its own, and says which registers to go on with.
//!
//! When a thread's turn is over ([`husk::abi::turns`]), the tender lets it go on at `husk_turn_over`, wherever it was;
//! then every register counts.
//!
//! A thread that tampers with GS or makes a call without a stack hurts the guest alone: all of this is CPL 3.

#![expect(unsafe_code, reason = "naked entry points")]

use super::base;
use super::registers::Registers;
use crate::{libos, start};
use core::arch::global_asm;
use core::mem::offset_of;
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering::Relaxed};
use husk::abi::boot::Info;
use husk::abi::call::Number;
use husk::abi::memory::Region;
use husk::abi::signals;
use husk::abi::turns::Record;

/// What the entry needs to know at a call; GS points to it.
#[derive(Debug)]
#[repr(C)]
pub struct Processor {
    /// Address of the running thread's [`Registers`]; kept by the way back.
    current: AtomicU64,
    /// End of the stack the libos runs on.
    stack: AtomicU64,
    /// A register that has no place yet.
    scratch: AtomicU64,
    /// What the tender knows.
    turns: Record,
    /// What the tender tells.
    signals: signals::Record,
}

/// The processor. The libos is at work from the start.
pub static PROCESSOR: Processor = Processor {
    current: AtomicU64::new(0),
    stack: AtomicU64::new(0),
    scratch: AtomicU64::new(0),
    turns: Record {
        wanted: AtomicU32::new(0),
        inside: AtomicU32::new(1),
        rip: AtomicU64::new(0),
        rflags: AtomicU64::new(0),
        ticking: AtomicU32::new(0),
        reserved: AtomicU32::new(0),
    },
    signals: signals::Record { pending: AtomicU64::new(0) },
};

/// Where in [`Processor`] the record is.
pub const TURNS: usize = offset_of!(Processor, turns);
/// The same for which thread runs.
#[cfg(target_os = "none")]
pub const CURRENT: usize = offset_of!(Processor, current);
/// The same for what the tender tells of signals.
#[cfg(target_os = "none")]
pub const SIGNALS: usize = offset_of!(Processor, signals);

/// Prepares this processor for system calls, which will be answered on `stack`.
pub fn prepare(stack: Region) {
    PROCESSOR.stack.store(stack.end(), Relaxed);
    base::set_processor_base(core::ptr::from_ref(&PROCESSOR) as u64);
}

unsafe extern "C" {
    /// Not a function that could be called from here.
    safe static husk_system_call_direct: u8;
}

/// Where a thread makes a system call whose return address is in `rcx`.
pub fn direct() -> u64 {
    (&raw const husk_system_call_direct) as u64
}

/// Says whether anybody waits for the running thread's turn to end.
#[inline]
pub fn want_turn(wanted: bool) {
    PROCESSOR.turns.wanted.store(u32::from(wanted), Relaxed);
    if wanted && PROCESSOR.turns.ticking.load(Relaxed) == 0 {
        tick();
    }
}

/// Has the tender look whether the running thread's turn is to end.
#[cold]
fn tick() {
    // It always does.
    let _ = husk::gate::call(Number::Tick, 0, 0, 0, 0);
}

/// Whether the tender has told of signals that nobody has taken.
#[inline]
pub fn signals_told() -> bool {
    PROCESSOR.signals.pending.load(Relaxed) != 0
}

/// Takes the signals that the tender has told of, bit n-1 for signal n.
pub fn take_signals() -> u64 {
    PROCESSOR.signals.pending.swap(0, Relaxed)
}

/// Room for the code that the linker step makes for each patched site, in bytes.
const STUBS: usize = 8 << 10;

/// Where call frame information goes: not into memory, as only reports take it.
#[cfg(target_os = "none")]
macro_rules! cfi_sections {
    () => {
        ".cfi_sections .debug_frame"
    };
}
/// In a test, what stands in for the tender unwinds through functions beside these.
#[cfg(not(target_os = "none"))]
macro_rules! cfi_sections {
    () => {
        ".cfi_sections .eh_frame, .debug_frame"
    };
}

global_asm!(
    cfi_sections!(),
    // For crash reports: the thread's registers are in memory, at the address in \base.
    ".macro husk_saved_at base",
    "    .cfi_def_cfa \\base, 0",
    "    .cfi_offset rip, {rip}",
    "    .cfi_offset rsp, {rsp}",
    "    .cfi_offset rbx, {rbx}",
    "    .cfi_offset rbp, {rbp}",
    "    .cfi_offset r12, {r12}",
    "    .cfi_offset r13, {r13}",
    "    .cfi_offset r14, {r14}",
    "    .cfi_offset r15, {r15}",
    ".endm",
    ".pushsection .text.husk_entry, \"ax\", @progbits",
    // rdi: boot information. Nothing else is known, rsp included.
    ".globl husk_start",
    ".type husk_start, @function",
    "husk_start:",
    "    .cfi_startproc",
    "    .cfi_undefined rip",
    "    cld",
    "    mov rsp, [rdi + {stack_start}]",
    "    add rsp, [rdi + {stack_length}]",
    "    call {initialise}",
    "    jmp husk_resume",
    "    .cfi_endproc",
    ".size husk_start, . - husk_start",
    "",
    ".balign 64",
    ".globl husk_system_call_direct",
    ".type husk_system_call_direct, @function",
    "husk_system_call_direct:",
    "    .cfi_startproc",
    "    .cfi_def_cfa rsp, 0",
    "    .cfi_register rip, rcx",
    "    mov r11, rsp",
    ".globl husk_system_call_trapped",
    "husk_system_call_trapped:",
    "    .cfi_def_cfa r11, 0",
    "    mov rsp, gs:[{current}]",
    "    mov dword ptr gs:[{inside}], 1",
    "    mov [rsp + {rax}], rax",
    "    lahf",
    "    seto al",
    "    mov [rsp + {status}], ax",
    "    mov qword ptr [rsp + {whole}], 0",
    "    mov [rsp + {rip}], rcx",
    "    mov [rsp + {rsp}], r11",
    "    mov [rsp + {rbx}], rbx",
    "    mov [rsp + {rdx}], rdx",
    "    mov [rsp + {rsi}], rsi",
    "    mov [rsp + {rdi}], rdi",
    "    mov [rsp + {rbp}], rbp",
    "    mov [rsp + {r8}], r8",
    "    mov [rsp + {r9}], r9",
    "    mov [rsp + {r10}], r10",
    "    mov [rsp + {r12}], r12",
    "    mov [rsp + {r13}], r13",
    "    mov [rsp + {r14}], r14",
    "    mov [rsp + {r15}], r15",
    "    mov rbx, rsp", // Kept by what is called, as a report needs it.
    "    husk_saved_at rbx",
    "    mov rsp, gs:[{stack}]",
    "    call {system_call}",
    // rax: the registers to go on with.
    "husk_resume:",
    "    .cfi_def_cfa rax, 0",
    "    mov gs:[{current}], rax",
    "    mov dword ptr gs:[{inside}], 0",
    "    mov rsp, rax",
    "    .cfi_def_cfa rsp, 0",
    "    mov rbx, [rsp + {rbx}]",
    "    mov rdx, [rsp + {rdx}]",
    "    mov rsi, [rsp + {rsi}]",
    "    mov rdi, [rsp + {rdi}]",
    "    mov rbp, [rsp + {rbp}]",
    "    mov r8, [rsp + {r8}]",
    "    mov r9, [rsp + {r9}]",
    "    mov r10, [rsp + {r10}]",
    "    mov r12, [rsp + {r12}]",
    "    mov r13, [rsp + {r13}]",
    "    mov r14, [rsp + {r14}]",
    "    mov r15, [rsp + {r15}]",
    "    cmp qword ptr [rsp + {whole}], 0",
    "    jne 2f",
    "    movzx eax, word ptr [rsp + {status}]",
    "    add al, 0x7f", // Overflows exactly if `seto` left 1.
    "    sahf",
    "    mov rax, [rsp + {rax}]",
    "    mov rcx, [rsp + {rip}]",
    "    mov rsp, [rsp + {rsp}]",
    "    jmp rcx",
    "2:",
    "    mov rax, [rsp + {rax}]",
    "    mov rcx, [rsp + {rcx}]",
    "    mov r11, [rsp + {r11}]",
    "    lea rsp, [rsp + {rip}]",
    "    iretq",
    "    .cfi_endproc",
    ".size husk_system_call_direct, . - husk_system_call_direct",
    ".type husk_turn_over, @function",
    "husk_turn_over:",
    "    .cfi_startproc",
    "    .cfi_signal_frame",
    "    .cfi_undefined rip",
    "    mov gs:[{scratch}], rsp",
    "    mov rsp, gs:[{current}]",
    "    mov [rsp + {rax}], rax",
    "    mov [rsp + {rbx}], rbx",
    "    mov [rsp + {rcx}], rcx",
    "    mov [rsp + {rdx}], rdx",
    "    mov [rsp + {rsi}], rsi",
    "    mov [rsp + {rdi}], rdi",
    "    mov [rsp + {rbp}], rbp",
    "    mov [rsp + {r8}], r8",
    "    mov [rsp + {r9}], r9",
    "    mov [rsp + {r10}], r10",
    "    mov [rsp + {r11}], r11",
    "    mov [rsp + {r12}], r12",
    "    mov [rsp + {r13}], r13",
    "    mov [rsp + {r14}], r14",
    "    mov [rsp + {r15}], r15",
    "    mov rbx, rsp",
    "    husk_saved_at rbx",
    "    mov rdi, gs:[{turn_rip}]",
    "    mov rsi, gs:[{turn_rflags}]",
    "    mov rdx, gs:[{scratch}]",
    "    mov rsp, gs:[{stack}]",
    "    cld",
    "    call {turn_over}",
    "    jmp husk_resume",
    "    .cfi_endproc",
    ".size husk_turn_over, . - husk_turn_over",
    "husk_entry_end:",
    "",
    ".balign 64",
    ".globl husk_system_call_stubs",
    ".type husk_system_call_stubs, @object",
    "husk_system_call_stubs:",
    "    .fill {stubs}, 1, 0xcc",
    ".size husk_system_call_stubs, {stubs}",
    ".popsection",
    stack_start = const offset_of!(Info, libos_stack) + offset_of!(Region, start),
    stack_length = const offset_of!(Info, libos_stack) + offset_of!(Region, length),
    initialise = sym start::initialise,
    system_call = sym libos::husk_system_call,
    turn_over = sym libos::husk_turn_is_over,
    scratch = const offset_of!(Processor, scratch),
    inside = const TURNS + offset_of!(Record, inside),
    turn_rip = const TURNS + offset_of!(Record, rip),
    turn_rflags = const TURNS + offset_of!(Record, rflags),
    current = const offset_of!(Processor, current),
    stack = const offset_of!(Processor, stack),
    rax = const offset_of!(Registers, rax),
    rbx = const offset_of!(Registers, rbx),
    rcx = const offset_of!(Registers, rcx),
    rdx = const offset_of!(Registers, rdx),
    rsi = const offset_of!(Registers, rsi),
    rdi = const offset_of!(Registers, rdi),
    rbp = const offset_of!(Registers, rbp),
    r8 = const offset_of!(Registers, r8),
    r9 = const offset_of!(Registers, r9),
    r10 = const offset_of!(Registers, r10),
    r11 = const offset_of!(Registers, r11),
    r12 = const offset_of!(Registers, r12),
    r13 = const offset_of!(Registers, r13),
    r14 = const offset_of!(Registers, r14),
    r15 = const offset_of!(Registers, r15),
    rip = const offset_of!(Registers, rip),
    rsp = const offset_of!(Registers, rsp),
    status = const offset_of!(Registers, status),
    whole = const offset_of!(Registers, whole),
    stubs = const STUBS,
);
