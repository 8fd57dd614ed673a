//! Runs generated code in this process: each `syscall`, and the libos that patched sites lead to, is an undefined
//! instruction, and the handler of the signal that it raises records and answers the call. Entry to the code and exit from
//! it work in the same way.

#![expect(unsafe_code, reason = "machine code is written to memory and run, and a signal handler changes registers")]

use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

/// `ud2`: as long as `syscall`.
pub const CALL: [u8; 2] = [0x0f, 0x0b];
/// Offsets in the memory, and its size, in bytes.
const STUBS: usize = 0x8000;
const DIRECT: usize = 0xa000;
const END: usize = 0xa100;
/// See [`Place::scratch`].
const SCRATCH: usize = 0xb000;
const SCRATCH_SIZE: usize = 256;
const STACK_END: usize = 0x3_0000;
const SIZE: usize = 0x3_1000;
/// Most calls that are recorded; then the run ends.
const CALLS: usize = 1024;
/// Number of times that code may go back or call a function.
const FUEL: i64 = 6;
/// Value that a call leaves in `r11`, where it is undefined.
const UNDEFINED: i64 = 0x1111;
/// The flags that instructions compute.
const FLAGS: i64 = 0x8d5;
const SIGNALS: [i32; 5] = [libc::SIGILL, libc::SIGSEGV, libc::SIGBUS, libc::SIGTRAP, libc::SIGFPE];

/// General registers, the instruction pointer and flags, in the order of `ucontext_t`.
type Registers = [i64; 18];

/// Record of a run.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    /// Registers at each call, without those that a call clobbers, and its return address; at the end all registers.
    pub calls: Vec<Registers>,
    /// Signal that ended the run, if it was not the code's own return.
    pub signal: i32,
    /// Contents of the memory that code may use, at the end.
    pub scratch: Vec<u8>,
}

/// Memory to run code in.
#[derive(Debug)]
pub struct Place(NonNull<u8>);

/// A run, for the handler.
struct Run {
    start: i64,
    host: Registers,
    calls: Vec<Registers>,
    signal: i32,
}

static RUN: AtomicPtr<Run> = AtomicPtr::new(null_mut());

// SAFETY: a mapping is bound to no thread, and the value is its only user.
unsafe impl Send for Place {}

/// Start and end of a run.
#[unsafe(naked)]
extern "sysv64" fn run() {
    core::arch::naked_asm!("ud2", "ret")
}

impl Place {
    /// Maps memory that can be written and run.
    pub fn new() -> Option<Self> {
        let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        // SAFETY: a new mapping overlaps no other.
        let start = unsafe { libc::mmap(null_mut(), SIZE, rights, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
        if start == libc::MAP_FAILED { None } else { NonNull::new(start.cast()).map(Self) }
    }

    /// Returns the address of code.
    pub fn code(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    /// Returns the addresses of stubs, `room` bytes at most.
    pub fn stubs(&self, room: usize) -> std::ops::Range<u64> {
        let start = self.code() + STUBS as u64;
        start..start + room.min(DIRECT - STUBS) as u64
    }

    /// Returns the address that patched sites lead to.
    pub fn direct(&self) -> u64 {
        self.code() + DIRECT as u64
    }

    /// Distance from code to the bytes that it may use.
    pub const fn scratch() -> usize {
        SCRATCH
    }

    /// Most bytes of code.
    pub const fn room() -> usize {
        STUBS
    }

    /// Runs `code`, with these writes by address, from its start.
    pub fn run(&self, code: &[u8], writes: &[(u64, Vec<u8>)]) -> Trace {
        static ALONE: Mutex<()> = Mutex::new(());
        let _alone = ALONE.lock().unwrap_or_else(PoisonError::into_inner);
        assert!(code.len() <= Self::room());
        // SAFETY: the mapping belongs to `self` and is longer than `STACK_END`.
        unsafe { self.0.write_bytes(0xcc, STACK_END) };
        self.write(0, code);
        self.write(DIRECT, &CALL);
        self.write(END, &CALL);
        let scratch: Vec<u8> = (0..SCRATCH_SIZE).map(|number| number as u8).collect();
        self.write(SCRATCH, &scratch);
        self.write(STACK_END - 8, &(self.code() + END as u64).to_le_bytes());
        for (address, bytes) in writes {
            self.write((address - self.code()) as usize, bytes);
        }
        let mut run = Run { start: self.code() as i64, host: [0; 18], calls: Vec::with_capacity(CALLS + 1), signal: 0 };
        RUN.store(&raw mut run, SeqCst);
        let before = SIGNALS.map(catch);
        self::run();
        for (signal, before) in SIGNALS.iter().zip(&before) {
            // SAFETY: `before` is the action that `catch` returned for this signal.
            unsafe { libc::sigaction(*signal, before, null_mut()) };
        }
        RUN.store(null_mut(), SeqCst);
        let mut left = vec![0; SCRATCH_SIZE];
        // SAFETY: the mapping belongs to `self` and is longer than `SCRATCH`.
        let from = unsafe { self.0.add(SCRATCH) };
        // SAFETY: `SCRATCH_SIZE` bytes lie in the mapping from there, and `left` has as many.
        unsafe { from.copy_to_nonoverlapping(NonNull::from(&mut left[..]).cast(), SCRATCH_SIZE) };
        Trace { calls: run.calls, signal: run.signal, scratch: left }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= SIZE, "{offset:#x}");
        // SAFETY: the assertion above checked that the bytes lie in the mapping, which belongs to `self`.
        let to = unsafe { self.0.add(offset) };
        // SAFETY: the assertion above checked that the bytes lie in the mapping; `bytes` is other memory.
        unsafe { to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // SAFETY: the mapping belongs to `self`, which goes away.
        unsafe { libc::munmap(self.0.as_ptr().cast(), SIZE) };
    }
}

/// Has [`raised`] handle `signal`; returns the previous action.
fn catch(signal: i32) -> libc::sigaction {
    // SAFETY: all zeros is a valid `sigaction`.
    let (mut action, mut before): (libc::sigaction, libc::sigaction) = unsafe { std::mem::zeroed() };
    action.sa_sigaction = raised as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the handler allocates nothing and changes nothing but its context and the run.
    unsafe { libc::sigaction(signal, &action, &mut before) };
    before
}

extern "C" fn raised(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel passes a context that the handler may change until it returns.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let registers = &mut context.uc_mcontext.gregs;
    // SAFETY: the interrupted thread stored the pointer to its run, and does not use the run until the handler returns.
    let Some(current) = (unsafe { RUN.load(SeqCst).as_mut() }) else {
        // SAFETY: _exit(2) takes a number only.
        unsafe { libc::_exit(1) }
    };
    current.step(signal, registers);
}

impl Run {
    /// Handles an instruction that raised a signal.
    fn step(&mut self, signal: i32, registers: &mut [i64; 23]) {
        let rip = registers[libc::REG_RIP as usize];
        if rip == run as *const () as i64 {
            self.host.copy_from_slice(&registers[..18]);
            return self.start(registers);
        }
        let offset = rip.wrapping_sub(self.start) as usize;
        let is_end = offset == END && signal == libc::SIGILL;
        let is_call = signal == libc::SIGILL && (offset < STUBS || offset == DIRECT);
        if is_call && self.calls.len() < CALLS {
            return self.call(registers, offset == DIRECT);
        }
        self.signal = if is_end { 0 } else { signal };
        self.note(registers);
        registers[..18].copy_from_slice(&self.host);
        registers[libc::REG_RIP as usize] += CALL.len() as i64;
    }

    /// Sets the registers to their values at the start of code.
    fn start(&self, registers: &mut [i64; 23]) {
        for (number, register) in registers[..16].iter_mut().enumerate() {
            *register = (number as i64 + 1) * 0x0101_0101_0101;
        }
        registers[libc::REG_R14 as usize] = self.start + SCRATCH as i64;
        registers[libc::REG_R15 as usize] = FUEL;
        registers[libc::REG_RSP as usize] = self.start + STACK_END as i64 - 8;
        registers[libc::REG_RIP as usize] = self.start;
        registers[libc::REG_EFL as usize] &= !FLAGS;
    }

    /// Answers a call.
    fn call(&mut self, registers: &mut [i64; 23], is_direct: bool) {
        let (rip, rcx) = (libc::REG_RIP as usize, libc::REG_RCX as usize);
        let back = if is_direct { registers[rcx] } else { registers[rip] + CALL.len() as i64 };
        (registers[rip], registers[rcx]) = (back, back);
        registers[libc::REG_R11 as usize] = UNDEFINED;
        self.note(registers);
        let count = self.calls.len() as i64;
        registers[libc::REG_RAX as usize] = (count * 5) % 7 - 3;
    }

    fn note(&mut self, registers: &[i64; 23]) {
        let mut noted: Registers = [0; 18];
        noted.copy_from_slice(&registers[..18]);
        noted[libc::REG_EFL as usize] &= FLAGS;
        self.calls.push(noted);
    }
}
