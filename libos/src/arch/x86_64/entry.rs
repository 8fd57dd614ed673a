//! Entries of the libos: the image's entry point, system calls, and the end of a time slice; and the return to a thread.
//!
//! A patched call site jumps to `husk_system_call_direct` with its return address in `rcx` and all other registers as at
//! `syscall`. An unpatched one traps: the tender's stub returns to `husk_system_call_trapped` with `rsp` 0 and the thread's
//! stack pointer in `r11`. In both cases the registers are saved at the address in this processor's [`Block`], never
//! on the thread's stack, because its red zone may be in use, or it may be unmapped. Then the libos runs on the processor's one
//! stack of its own, and returns the address of the registers to load.
//!
//! When a thread's slice is over ([`husk::abi::processor`]), the tender makes it continue at `husk_preempted`, whatever instruction
//! it was at; then every register must be saved.
//!
//! A thread that tampers with GS or makes a call without a stack harms the guest alone: all of this code runs at CPL 3.

#![expect(unsafe_code, reason = "naked entry points")]

use super::registers::Registers;
use crate::{libos, start};
use core::arch::global_asm;
use core::mem::offset_of;
use husk::abi::boot::Info;
use husk::abi::memory::Region;
use husk::abi::processor::Block;

/// Room for the stubs of patched call sites, which the linker step generates, in bytes.
const STUBS: usize = 8 << 10;

/// Section for call frame information: not loaded into memory, because only reports need it.
#[cfg(target_os = "none")]
macro_rules! cfi_sections {
    () => {
        ".cfi_sections .debug_frame"
    };
}
/// In a test, the stand-in for the tender unwinds through functions beside these, so `.eh_frame` is needed, too.
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
    // rdi: boot information. All other registers are undefined, rsp included.
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
    "    mov dword ptr gs:[{in_libos}], 1",
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
    "    mov rbx, rsp", // Callee-saved, as a report needs it.
    "    husk_saved_at rbx",
    "    mov rsp, gs:[{stack}]",
    "    call {system_call}",
    // rax: the registers to load.
    "husk_resume:",
    "    .cfi_def_cfa rax, 0",
    "    mov gs:[{current}], rax",
    "    mov dword ptr gs:[{in_libos}], 0",
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
    ".type husk_preempted, @function",
    "husk_preempted:",
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
    "    mov rdi, gs:[{preempted_pc}]",
    "    mov rsi, gs:[{preempted_flags}]",
    "    mov rdx, gs:[{scratch}]",
    "    mov rsp, gs:[{stack}]",
    "    cld",
    "    call {preempted}",
    "    jmp husk_resume",
    "    .cfi_endproc",
    ".size husk_preempted, . - husk_preempted",
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
    preempted = sym libos::husk_preempted_thread,
    scratch = const offset_of!(Block, own),
    in_libos = const offset_of!(Block, in_libos),
    preempted_pc = const offset_of!(Block, pc),
    preempted_flags = const offset_of!(Block, flags),
    current = const offset_of!(Block, current),
    stack = const offset_of!(Block, libos_stack),
    rax = const offset_of!(Registers, general.rax),
    rbx = const offset_of!(Registers, general.rbx),
    rcx = const offset_of!(Registers, general.rcx),
    rdx = const offset_of!(Registers, general.rdx),
    rsi = const offset_of!(Registers, general.rsi),
    rdi = const offset_of!(Registers, general.rdi),
    rbp = const offset_of!(Registers, general.rbp),
    r8 = const offset_of!(Registers, general.r8),
    r9 = const offset_of!(Registers, general.r9),
    r10 = const offset_of!(Registers, general.r10),
    r11 = const offset_of!(Registers, general.r11),
    r12 = const offset_of!(Registers, general.r12),
    r13 = const offset_of!(Registers, general.r13),
    r14 = const offset_of!(Registers, general.r14),
    r15 = const offset_of!(Registers, general.r15),
    rip = const offset_of!(Registers, general.rip),
    rsp = const offset_of!(Registers, general.rsp),
    status = const offset_of!(Registers, status),
    whole = const offset_of!(Registers, whole),
    stubs = const STUBS,
);
