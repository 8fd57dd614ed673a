//! From the tender to its guest and back, in one thread: two stacks, two sets of registers.
//!
//! `husk_spt_enter` lets the guest continue and returns when the guest stops, in one of two ways. Either the guest goes through
//! the gate, a function call: then its registers are in [`Switch`]. Or a signal arrives while the guest runs, raised by an
//! instruction of its own or sent to the tender: then the kernel has saved its registers on the signal stack, where they stay;
//! `husk_spt_enter` returns as if the handler had never run, and the handler returns only when the guest is to continue.
//!
//! `in_guest` shows which of the two a signal interrupts. It is set after everything that `husk_spt_enter` needs to return
//! is in place, and cleared after the tender's FS base is: in between, the tender's own instructions count as the guest's,
//! and are stopped and continued like these. So they keep no data in fields that a handler writes (`stop`,
//! `handler_stack`, `handler_fs_base`) or on the tender's stack. The same order loses no signal: one that arrives before
//! `in_guest` is set has set `halt`, which is checked after it.
//!
//! `SS_AUTODISARM` disarms the signal stack while a guest is stopped on it, so that a signal for
//! the tender is handled on the tender's own stack.

#![expect(unsafe_code, reason = "stacks and registers are exchanged by assembler")]

use crate::arch::registers::Registers;
use core::arch::global_asm;
use core::cell::UnsafeCell;
use core::mem::offset_of;
use husk_abi::registers::Registers as General;

/// True if the tender may change more of a guest's vector state than SSE's registers: if it was built for processor features
/// beyond the baseline, or with a C library that detects such features. If false, the gate saves SSE's registers alone, in a
/// tenth of the time, and a test checks that the tender has no instruction that changes others.
const WIDE: bool = cfg!(target_feature = "avx") || !cfg!(all(target_env = "musl", target_feature = "crt-static"));
/// Bytes for the vector state that the gate saves: sixteen registers and MXCSR; or the XSAVE area with all state that a program
/// has without a request (Intel SDM volume 1, 13.4), which is 2,696 bytes on today's processors.
const VECTOR_STATE: usize = if WIDE { 16 << 10 } else { 17 << 4 };
/// Offset of MXCSR in the vector state.
const MXCSR: usize = if WIDE { 24 } else { 16 << 4 };
/// Bytes of the signal stack: a few frames, each as large as a vector state.
pub const SIGNAL_STACK: usize = 64 << 10;

/// Value of `stop` after the guest went through the gate.
pub const GATE: u32 = 0;
/// Value of `stop` if the guest did not run, because `halt` was set. Any other value is the number of a signal.
pub const HALTED: u32 = u32::MAX;

/// State that the assembler below reads and writes. There is one, because a process has one guest.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct Switch {
    vector_state: [u8; VECTOR_STATE],
    /// Components that the gate saves by XSAVE; 0 for FXSAVE. Not used unless `WIDE`.
    vector_mask: u32,
    /// Registers of the guest, unless it stopped for a signal; without GS and the address of a fault.
    pub guest: Registers,
    tender_fs_base: u64,
    /// Stack pointer with which `husk_spt_enter` returns.
    tender_stack: u64,
    /// Stack pointer of the handler if the guest stopped for a signal; else 0.
    pub handler_stack: u64,
    /// FS base of the guest at that signal.
    pub handler_fs_base: u64,
    /// Second and third argument of the handler.
    pub information: *const libc::siginfo_t,
    pub context: *mut libc::ucontext_t,
    /// Reason why the guest has stopped.
    pub stop: u32,
    in_guest: u8,
    /// Not 0 to keep the guest from running.
    pub halt: u8,
}

/// A static that the thread which runs the guest writes.
#[derive(Debug)]
#[repr(C, align(64))]
pub struct StaticCell<T>(UnsafeCell<T>);

// SAFETY: only the thread that runs the guest uses it, through the pointers of `get`.
unsafe impl<T> Sync for StaticCell<T> {}

impl<T> StaticCell<T> {
    /// Pointer to the value.
    pub const fn get(&self) -> *mut T {
        self.0.get()
    }
}

/// The switch between the tender and its guest.
pub static SWITCH: StaticCell<Switch> = StaticCell(UnsafeCell::new(Switch::NEW));

/// Stack of signal handlers while the guest runs.
pub static SIGNALS: StaticCell<[u8; SIGNAL_STACK]> = StaticCell(UnsafeCell::new([0; SIGNAL_STACK]));

impl Switch {
    // SAFETY: all zeros is a valid value of the numbers and pointers in the structure.
    const NEW: Self = Self { stop: HALTED, ..unsafe { core::mem::zeroed() } };

    /// Prepares a guest to start at `entry` with `argument`, with everything else as after a processor reset, except a
    /// small `stack` from which its flags are loaded.
    pub fn start(&mut self, entry: u64, argument: u64, stack: u64) {
        const RESERVED_FLAG: u64 = 2;
        self.guest =
            General { rip: entry, rdi: argument, rsp: stack, rflags: RESERVED_FLAG, ..Default::default() }.into();
        // XRSTOR too takes MXCSR from here, even if the header marks no component as present (Intel SDM volume 1, 13.8.1).
        self.vector_state[MXCSR..MXCSR + 4].copy_from_slice(&0x1f80_u32.to_le_bytes());
        self.vector_mask = if WIDE { kept() } else { 0 };
        if self.vector_mask == 0 && WIDE {
            // FXRSTOR takes the x87 control word as it is.
            self.vector_state[..2].copy_from_slice(&0x37f_u16.to_le_bytes());
        }
    }
}

/// Components of this processor that the gate saves: the enabled ones that Linux gives to a program without a request, which
/// protection keys and AMX's tiles need. 0 without XSAVE.
fn kept() -> u32 {
    const OSXSAVE: u32 = 1 << 27;
    const ON_REQUEST: u32 = 1 << 9 | 0b11 << 17;
    if core::arch::x86_64::__cpuid(1).ecx & OSXSAVE == 0 {
        return 0;
    }
    let low: u32;
    // SAFETY: CPUID (OSXSAVE) says that the register exists; reading it changes nothing.
    unsafe {
        core::arch::asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") _, options(nomem, nostack, preserves_flags))
    };
    low & !ON_REQUEST
}

unsafe extern "C" {
    /// Lets the guest in [`SWITCH`] continue until it stops.
    pub fn husk_spt_enter();
    /// Target of the gate's call.
    pub safe static husk_spt_gate: u8;
    /// Target of the doorbell's call.
    pub safe static husk_spt_doorbell: u8;
    /// Signal handler: stops the guest, or continues at [`crate::spt::signals::forward`].
    pub safe static husk_spt_signal: u8;
}

/// File that the doorbell writes to, an eventfd(2), or -1.
pub static DOORBELL_FILE: core::sync::atomic::AtomicI32 = core::sync::atomic::AtomicI32::new(-1);

global_asm!(
    ".pushsection .text.husk_spt, \"ax\", @progbits",
    ".macro husk_spt_general operation",
    "    \\operation rbx, {rbx}",
    "    \\operation rdx, {rdx}",
    "    \\operation rsi, {rsi}",
    "    \\operation rdi, {rdi}",
    "    \\operation rbp, {rbp}",
    "    \\operation r8, {r8}",
    "    \\operation r9, {r9}",
    "    \\operation r10, {r10}",
    "    \\operation r11, {r11}",
    "    \\operation r12, {r12}",
    "    \\operation r13, {r13}",
    "    \\operation r14, {r14}",
    "    \\operation r15, {r15}",
    ".endm",
    // The macros may use rax, rcx and rdx.
    ".macro husk_spt_vector_wide extended, legacy",
    "    lea rcx, [rip + {switch} + {vector_state}]",
    "    mov eax, [rip + {switch} + {vector_mask}]",
    "    xor edx, edx",
    "    test eax, eax",
    "    jz 5f",
    "    \\extended [rcx]",
    "    jmp 6f",
    "5:  \\legacy [rcx]",
    "6:",
    ".endm",
    ".macro husk_spt_vector_save",
    "    .if {wide}",
    "    husk_spt_vector_wide xsave64, fxsave64",
    "    .else",
    "    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "    movaps [rip + {switch} + {vector_state} + 16 * \\number], xmm\\number",
    "    .endr",
    "    stmxcsr [rip + {switch} + {mxcsr}]",
    "    .endif",
    ".endm",
    ".macro husk_spt_vector_load",
    "    .if {wide}",
    "    husk_spt_vector_wide xrstor64, fxrstor64",
    "    .else",
    "    .irp number, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15",
    "    movaps xmm\\number, [rip + {switch} + {vector_state} + 16 * \\number]",
    "    .endr",
    "    ldmxcsr [rip + {switch} + {mxcsr}]",
    "    .endif",
    ".endm",
    ".macro husk_spt_save register, place",
    "    mov [rip + {switch} + \\place], \\register",
    ".endm",
    ".macro husk_spt_load register, place",
    "    mov \\register, [rip + {switch} + \\place]",
    ".endm",
    "",
    ".globl husk_spt_enter",
    ".type husk_spt_enter, @function",
    "husk_spt_enter:",
    "    push rbp",
    "    push rbx",
    "    push r12",
    "    push r13",
    "    push r14",
    "    push r15",
    "    sub rsp, 8",
    "    stmxcsr [rsp]",
    "    rdfsbase rax",
    "    mov [rip + {switch} + {tender_fs_base}], rax",
    "    mov [rip + {switch} + {tender_stack}], rsp",
    "    mov rbx, [rip + {switch} + {handler_stack}]",
    "    mov byte ptr [rip + {switch} + {in_guest}], 1",
    "    cmp byte ptr [rip + {switch} + {halt}], 0",
    "    jne 3f",
    "    test rbx, rbx",
    "    jz 2f",
    // Back into the handler, which returns to the guest.
    "    mov rax, [rip + {switch} + {handler_fs_base}]",
    "    wrfsbase rax",
    "    mov rsp, rbx",
    "    ret",
    // Back to the guest after a call through the gate.
    "2:  mov rax, [rip + {switch} + {fs_base}]",
    "    wrfsbase rax",
    "    husk_spt_vector_load",
    "    mov rsp, [rip + {switch} + {rsp}]",
    "    push qword ptr [rip + {switch} + {rflags}]",
    "    popfq", // Nothing below changes flags.
    "    husk_spt_general husk_spt_load",
    "    mov rcx, [rip + {switch} + {rcx}]",
    "    mov rax, [rip + {switch} + {rax}]",
    "    jmp qword ptr [rip + {switch} + {rip}]",
    // The guest does not run: the state is restored.
    "3:  mov byte ptr [rip + {switch} + {in_guest}], 0",
    "    mov [rip + {switch} + {handler_stack}], rbx",
    "    mov dword ptr [rip + {switch} + {stop}], {halted}",
    "    jmp 4f",
    "",
    // Called by the gate, on a stack of the guest's.
    ".globl husk_spt_gate",
    ".type husk_spt_gate, @function",
    "husk_spt_gate:",
    "    pop qword ptr [rip + {switch} + {rip}]",
    "    mov [rip + {switch} + {rsp}], rsp",
    "    mov [rip + {switch} + {rax}], rax",
    "    mov [rip + {switch} + {rcx}], rcx",
    "    husk_spt_general husk_spt_save",
    "    pushfq",
    "    pop qword ptr [rip + {switch} + {rflags}]",
    "    husk_spt_vector_save",
    "    rdfsbase rax",
    "    mov [rip + {switch} + {fs_base}], rax",
    "    mov rax, [rip + {switch} + {tender_fs_base}]",
    "    wrfsbase rax",
    "    mov byte ptr [rip + {switch} + {in_guest}], 0",
    "    mov qword ptr [rip + {switch} + {handler_stack}], 0",
    "    mov dword ptr [rip + {switch} + {stop}], {gate}",
    "    jmp 4f",
    "husk_spt_leave:",
    "4:  mov rsp, [rip + {switch} + {tender_stack}]",
    "    push 2", // No flags: no alignment checks, strings upwards.
    "    popfq",
    "    .if {wide}",
    "    fninit",
    "    .endif",
    "    ldmxcsr [rsp]",
    "    add rsp, 8",
    "    pop r15",
    "    pop r14",
    "    pop r13",
    "    pop r12",
    "    pop rbx",
    "    pop rbp",
    "    ret",
    ".size husk_spt_enter, . - husk_spt_enter",
    "",
    // Arguments in rdi, rsi, rdx, as for every handler. On the signal stack if the guest was interrupted.
    ".globl husk_spt_signal",
    ".type husk_spt_signal, @function",
    "husk_spt_signal:",
    "    cmp byte ptr [rip + {switch} + {in_guest}], 0",
    "    je {forward}",
    // Another thread, which has no such stack, may have received the signal.
    "    lea rax, [rip + {signals}]",
    "    cmp rsp, rax",
    "    jb {forward}",
    "    add rax, {signal_stack}",
    "    cmp rsp, rax",
    "    jae {forward}",
    "    mov [rip + {switch} + {handler_stack}], rsp",
    "    mov [rip + {switch} + {stop}], edi",
    "    mov [rip + {switch} + {information}], rsi",
    "    mov [rip + {switch} + {context}], rdx",
    "    rdfsbase rax",
    "    mov [rip + {switch} + {handler_fs_base}], rax",
    "    mov rax, [rip + {switch} + {tender_fs_base}]",
    "    wrfsbase rax",
    "    mov byte ptr [rip + {switch} + {in_guest}], 0",
    "    jmp husk_spt_leave",
    ".size husk_spt_signal, . - husk_spt_signal",
    "",
    // Called by the doorbell. Keeps every register, as an instruction would.
    ".globl husk_spt_doorbell",
    ".type husk_spt_doorbell, @function",
    "husk_spt_doorbell:",
    "    push rax",
    "    push rcx",
    "    push rdx",
    "    push rsi",
    "    push rdi",
    "    push r11",
    "    pushfq",
    "    mov edi, [rip + {doorbell_file}]",
    "    lea rsi, [rip + husk_spt_one]",
    "    mov edx, 8",
    "    mov eax, {write}",
    "    syscall",
    "    popfq",
    "    pop r11",
    "    pop rdi",
    "    pop rsi",
    "    pop rdx",
    "    pop rcx",
    "    pop rax",
    "    ret",
    ".balign 8",
    "husk_spt_one:",
    "    .quad 1",
    ".size husk_spt_doorbell, . - husk_spt_doorbell",
    ".purgem husk_spt_general",
    ".purgem husk_spt_vector_wide",
    ".purgem husk_spt_vector_save",
    ".purgem husk_spt_vector_load",
    ".purgem husk_spt_save",
    ".purgem husk_spt_load",
    ".popsection",
    switch = sym SWITCH,
    signals = sym SIGNALS,
    doorbell_file = sym DOORBELL_FILE,
    forward = sym crate::spt::signals::forward,
    signal_stack = const SIGNAL_STACK,
    gate = const GATE,
    halted = const HALTED,
    wide = const WIDE as u32,
    write = const libc::SYS_write,
    vector_state = const offset_of!(Switch, vector_state),
    vector_mask = const offset_of!(Switch, vector_mask),
    mxcsr = const offset_of!(Switch, vector_state) + MXCSR,
    fs_base = const offset_of!(Switch, guest) + offset_of!(Registers, fs_base),
    handler_fs_base = const offset_of!(Switch, handler_fs_base),
    tender_fs_base = const offset_of!(Switch, tender_fs_base),
    tender_stack = const offset_of!(Switch, tender_stack),
    handler_stack = const offset_of!(Switch, handler_stack),
    information = const offset_of!(Switch, information),
    context = const offset_of!(Switch, context),
    stop = const offset_of!(Switch, stop),
    in_guest = const offset_of!(Switch, in_guest),
    halt = const offset_of!(Switch, halt),
    rax = const offset_of!(Switch, guest) + offset_of!(Registers, general.rax),
    rbx = const offset_of!(Switch, guest) + offset_of!(Registers, general.rbx),
    rcx = const offset_of!(Switch, guest) + offset_of!(Registers, general.rcx),
    rdx = const offset_of!(Switch, guest) + offset_of!(Registers, general.rdx),
    rsi = const offset_of!(Switch, guest) + offset_of!(Registers, general.rsi),
    rdi = const offset_of!(Switch, guest) + offset_of!(Registers, general.rdi),
    rbp = const offset_of!(Switch, guest) + offset_of!(Registers, general.rbp),
    rsp = const offset_of!(Switch, guest) + offset_of!(Registers, general.rsp),
    r8 = const offset_of!(Switch, guest) + offset_of!(Registers, general.r8),
    r9 = const offset_of!(Switch, guest) + offset_of!(Registers, general.r9),
    r10 = const offset_of!(Switch, guest) + offset_of!(Registers, general.r10),
    r11 = const offset_of!(Switch, guest) + offset_of!(Registers, general.r11),
    r12 = const offset_of!(Switch, guest) + offset_of!(Registers, general.r12),
    r13 = const offset_of!(Switch, guest) + offset_of!(Registers, general.r13),
    r14 = const offset_of!(Switch, guest) + offset_of!(Registers, general.r14),
    r15 = const offset_of!(Switch, guest) + offset_of!(Registers, general.r15),
    rip = const offset_of!(Switch, guest) + offset_of!(Registers, general.rip),
    rflags = const offset_of!(Switch, guest) + offset_of!(Registers, general.rflags),
);
