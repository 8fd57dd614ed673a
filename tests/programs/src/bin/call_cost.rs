//! Measures the cost of a system call: the same call through musl, which the linker step patches, and through
//! a site of its own that cannot be patched, because a branch leads to the instruction.

use std::arch::asm;
use std::time::Instant;

const CALLS: u32 = 200_000;

fn through_musl() {
    // SAFETY: getppid(2) takes no arguments and touches no memory.
    unsafe { libc::getppid() };
}

#[inline(never)]
fn trapping() {
    // SAFETY: getppid(2) takes no arguments and touches no memory.
    unsafe {
        asm!("jmp 2f", "2: syscall", inout("rax") libc::SYS_getppid => _, out("rcx") _, out("r11") _, options(nostack));
    }
}

fn read_clock() {
    std::hint::black_box(Instant::now());
}

fn cost(call: impl Fn(), calls: u32) -> f64 {
    call();
    let start = Instant::now();
    (0..calls).for_each(|_| call());
    start.elapsed().as_nanos() as f64 / f64::from(calls)
}

fn main() {
    println!("call, patched: {}", cost(through_musl, CALLS));
    println!("call, trapping: {}", cost(trapping, CALLS / 20));
    println!("Instant::now: {}", cost(read_clock, CALLS));
}
