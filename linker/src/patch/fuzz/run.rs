//! Running made-up code for real, in this process: each `syscall`, and the libos that patched sites lead to, is an
//! instruction that does not exist, and the signal that it raises is where the call is noted and answered. So do the way in
//! and the way out.

#![expect(unsafe_code, reason = "machine code is written to memory and run, and a signal handler changes registers")]

use std::ptr::{NonNull, null_mut};
use std::sync::atomic::{AtomicPtr, Ordering::SeqCst};
use std::sync::{Mutex, PoisonError};

/// `ud2`: as long as `syscall`.
pub const CALL: [u8; 2] = [0x0f, 0x0b];
/// Where in the memory everything is, and how much of it there is, in bytes.
const STUBS: usize = 0x8000;
const DIRECT: usize = 0xa000;
const END: usize = 0xa100;
/// See [`Place::scratch`].
const SCRATCH: usize = 0xb000;
const SCRATCH_SIZE: usize = 256;
const STACK_END: usize = 0x3_0000;
const SIZE: usize = 0x3_1000;
/// Most calls that are noted; then it is over.
const CALLS: usize = 1024;
/// How often code may go back or call a function.
const FUEL: i64 = 6;
/// What a call leaves in `r11`, where it is undefined.
const UNDEFINED: i64 = 0x1111;
/// The flags that instructions compute.
const FLAGS: i64 = 0x8d5;
const SIGNALS: [i32; 5] = [libc::SIGILL, libc::SIGSEGV, libc::SIGBUS, libc::SIGTRAP, libc::SIGFPE];

/// General registers, the instruction pointer and flags, in the order of `ucontext_t`.
type Registers = [i64; 18];

/// What code has done.
#[derive(Debug, PartialEq, Eq)]
pub struct Trace {
    /// The registers at each call, without those that a call loses, and where it returns to; at the end all of them.
    pub calls: Vec<Registers>,
    /// The signal that ended it, if it was not its own return.
    pub signal: i32,
    /// What it left in memory.
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

// SAFETY: a mapping is bound to no thread.
unsafe impl Send for Place {}

/// Where a run begins and ends.
#[unsafe(naked)]
extern "sysv64" fn run() {
    core::arch::naked_asm!("ud2", "ret")
}

impl Place {
    /// Memory that can be written and run.
    pub fn new() -> Option<Self> {
        let rights = libc::PROT_READ | libc::PROT_WRITE | libc::PROT_EXEC;
        // SAFETY: a new mapping.
        let start = unsafe { libc::mmap(null_mut(), SIZE, rights, libc::MAP_PRIVATE | libc::MAP_ANONYMOUS, -1, 0) };
        if start == libc::MAP_FAILED { None } else { NonNull::new(start.cast()).map(Self) }
    }

    /// Where code is.
    pub fn code(&self) -> u64 {
        self.0.as_ptr() as u64
    }

    /// Where stubs go, in `room` bytes.
    pub fn stubs(&self, room: usize) -> std::ops::Range<u64> {
        let start = self.code() + STUBS as u64;
        start..start + room.min(DIRECT - STUBS) as u64
    }

    /// Where patched sites lead.
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
        // SAFETY: the mapping is ours, and as long.
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
            // SAFETY: the action is what it was.
            unsafe { libc::sigaction(*signal, before, null_mut()) };
        }
        RUN.store(null_mut(), SeqCst);
        let mut left = vec![0; SCRATCH_SIZE];
        // SAFETY: the mapping is ours, and as long.
        let from = unsafe { self.0.add(SCRATCH) };
        // SAFETY: the same.
        unsafe { from.copy_to_nonoverlapping(NonNull::from(&mut left[..]).cast(), SCRATCH_SIZE) };
        Trace { calls: run.calls, signal: run.signal, scratch: left }
    }

    fn write(&self, offset: usize, bytes: &[u8]) {
        assert!(offset + bytes.len() <= SIZE, "{offset:#x}");
        // SAFETY: so much lies in the mapping, which is ours.
        let to = unsafe { self.0.add(offset) };
        // SAFETY: the same.
        unsafe { to.copy_from_nonoverlapping(NonNull::from(bytes).cast(), bytes.len()) };
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        // SAFETY: the mapping is ours.
        unsafe { libc::munmap(self.0.as_ptr().cast(), SIZE) };
    }
}

/// Has [`raised`] handle `signal`; tells what did before.
fn catch(signal: i32) -> libc::sigaction {
    // SAFETY: all zeros is a valid value.
    let (mut action, mut before): (libc::sigaction, libc::sigaction) = unsafe { std::mem::zeroed() };
    action.sa_sigaction = raised as extern "C" fn(i32, *mut libc::siginfo_t, *mut libc::c_void) as usize;
    action.sa_flags = libc::SA_SIGINFO | libc::SA_ONSTACK;
    // SAFETY: the handler allocates nothing and changes nothing but the context that it is given and the run.
    unsafe { libc::sigaction(signal, &action, &mut before) };
    before
}

extern "C" fn raised(signal: i32, _: *mut libc::siginfo_t, context: *mut libc::c_void) {
    // SAFETY: the kernel gives a context that is ours to change until we return.
    let context = unsafe { &mut *context.cast::<libc::ucontext_t>() };
    let registers = &mut context.uc_mcontext.gregs;
    // SAFETY: the thread that runs code waits for us, and has put it there.
    let Some(current) = (unsafe { RUN.load(SeqCst).as_mut() }) else {
        // SAFETY: only a number.
        unsafe { libc::_exit(1) }
    };
    current.step(signal, registers);
}

impl Run {
    /// What follows an instruction that raised a signal.
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

    /// Everything as at the start of code.
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
