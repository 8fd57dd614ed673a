//! Waits for a byte of input, in a function that was called through others; `deep` does so at the end of a recursion.
//! The lines marked below are the ones that a test looks for.

use std::arch::{asm, global_asm};
use std::hint::black_box;
use std::io::Read;

// A stub as the linker step makes them, for a site in `outer`.
global_asm!(
    ".balign 32",
    ".globl husk_system_call_stubs",
    ".type husk_system_call_stubs, @object",
    "husk_system_call_stubs:",
    ".fill 20, 1, 0xcc",
    "lea rcx, [rip + site_end]",
    ".balign 32, 0xcc",
    ".size husk_system_call_stubs, . - husk_system_call_stubs",
);

unsafe extern "C" {
    static husk_system_call_stubs: u8;
}

fn main() {
    black_box(&raw const husk_system_call_stubs);
    if std::env::args().nth(1).is_some() {
        println!("{}", deep(black_box(50_000))); // line: main calls deep
    } else {
        println!("{}", outer(black_box(7))); // line: main calls outer
    }
}

#[inline(never)]
fn outer(number: u64) -> u64 {
    #[expect(named_asm_labels, reason = "the stub refers to it, and `outer` is not copied")]
    // SAFETY: the instructions do nothing.
    unsafe {
        asm!("nop", "nop", "nop", "nop", ".globl site_end", "site_end:")
    };
    middle(number) + 1 // line: outer calls middle
}

#[inline(always)]
fn middle(number: u64) -> u64 {
    inner(number) * 3 // line: middle calls inner
}

#[inline(never)]
fn inner(number: u64) -> u64 {
    wait();
    black_box(number) ^ 5
}

#[inline(never)]
fn deep(number: u64) -> u64 {
    if number == 0 {
        wait();
        return 0;
    }
    deep(black_box(number - 1)) + black_box(1) // line: deep calls deep
}

#[inline(never)]
fn wait() {
    println!("ready");
    let _ = std::io::stdin().read(&mut [0]); // line: wait reads
}
