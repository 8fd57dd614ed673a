//! Threads that fill the vector and floating-point registers, each kind of thread others of them, and let the next thread
//! run; each must find what it left. Then one thread does so alone, and sleeps, for which it leaves the guest.

use std::arch::{asm, is_x86_feature_detected};
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

const SCHED_YIELD: u64 = 24;
const NANOSLEEP: u64 = 35;
const ROUNDS: u64 = 500;
/// Rounds of the last thread: enough that few kinds of registers also make some hundred sleeps.
const ROUNDS_ALONE: u64 = 60;
/// Seconds and nanoseconds of a sleep: enough that it is not over before the first look at the clock.
static MOMENT: [u64; 2] = [0, 100_000];
/// True once there is no other thread.
static ALONE: AtomicBool = AtomicBool::new(false);

/// Returns the number of a system call that stops this thread for a moment.
fn stop() -> u64 {
    if ALONE.load(Relaxed) { NANOSLEEP } else { SCHED_YIELD }
}

/// Fills registers from memory, `$width` bytes each, stops, stores them, and checks that the bytes are the same.
macro_rules! check {
    ($seed:expr, $move:literal, $kind:literal, $width:literal, [$($number:literal)*]) => {{
        let before: Vec<u8> = (0..32 * $width).map(|at: u64| (at * 7 + $seed) as u8).collect();
        let mut after = before.clone();
        $(after[$number * $width..][..$width].fill(0);)*
        // SAFETY: both buffers have room for 32 registers; all of these are given up to us.
        unsafe {
            asm!(
                $(concat!($move, " ", $kind, $number, ", [{before} + ", $number, " * ", $width, "]"),)*
                "syscall",
                $(concat!($move, " [{after} + ", $number, " * ", $width, "], ", $kind, $number),)*
                before = in(reg) before.as_ptr(), after = in(reg) after.as_mut_ptr(), inout("rax") stop() => _,
                inout("rdi") &raw const MOMENT => _, inout("rsi") 0 => _, clobber_abi("sysv64"),
            );
        }
        assert!(before == after, "{}", $kind);
    }};
}

fn sse(seed: u64) {
    check!(seed, "movups", "xmm", 16, [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15]);
}

/// Checks that each thread has its own rounding mode of SSE (MXCSR).
fn rounding(seed: u64) {
    let (mine, mut found, mut usual) = (0x1f80 | (seed as u32 % 4) << 13, 0u32, 0u32);
    // SAFETY: MXCSR is put back.
    unsafe {
        asm!(
            "stmxcsr [{usual}]", "ldmxcsr [{mine}]", "syscall", "stmxcsr [{found}]", "ldmxcsr [{usual}]",
            usual = in(reg) &raw mut usual, mine = in(reg) &raw const mine, found = in(reg) &raw mut found,
            inout("rax") stop() => _, in("rdi") &raw const MOMENT, in("rsi") 0, out("rcx") _, out("r11") _,
        );
    }
    assert_eq!(mine, found, "MXCSR");
}

fn avx(seed: u64) {
    check!(seed, "vmovups", "ymm", 32, [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15]);
    if seed.is_multiple_of(2) {
        // SAFETY: no code depends on the upper halves, which are not in use here.
        unsafe { asm!("vzeroupper", clobber_abi("sysv64")) };
    }
}

fn avx512(seed: u64) {
    check!(seed, "vmovups", "zmm", 64, [0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20 21 22 23 24 25 26 27 28 29 30 31]);
    check!(seed, "kmovq", "k", 8, [1 2 3 4 5 6 7]);
}

fn x87(seed: u64) {
    let (mine, mut found) = (seed as f64, 0.0f64);
    // SAFETY: the x87 register stack is empty before and after.
    unsafe {
        asm!(
            "fninit", "fld qword ptr [{mine}]", "syscall", "fstp qword ptr [{found}]", "fninit",
            mine = in(reg) &raw const mine, found = in(reg) &raw mut found,
            inout("rax") stop() => _, inout("rdi") &raw const MOMENT => _, inout("rsi") 0 => _, clobber_abi("sysv64"),
        );
    }
    assert_eq!(mine.to_bits(), found.to_bits(), "x87");
}

fn main() {
    let mut kinds: Vec<fn(u64)> = vec![sse, rounding, x87, sse];
    if is_x86_feature_detected!("avx") {
        kinds.extend([avx as fn(u64), sse]);
    }
    if is_x86_feature_detected!("avx512bw") {
        kinds.push(avx512);
    }
    thread::scope(|scope| {
        // Each kind of thread runs after each other kind, and some end early.
        for number in 0..kinds.len() * 2 {
            let (kind, other) = (kinds[number % kinds.len()], kinds[number * 3 % kinds.len()]);
            scope.spawn(move || {
                for round in 0..ROUNDS / (1 + number as u64 % 3) {
                    let act = if round % 5 < 3 { kind } else { other };
                    act(round + number as u64 * 11);
                }
            });
        }
    });
    ALONE.store(true, Relaxed);
    (0..ROUNDS_ALONE).for_each(|round| kinds.iter().for_each(|kind| kind(round)));
    println!("all registers kept");
}
