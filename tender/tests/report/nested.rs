//! Waits for a byte of input, in a function that was called through others; `deep` does so at the end of a recursion.
//! The lines marked below are the ones that a test looks for.

use std::hint::black_box;
use std::io::Read;

fn main() {
    if std::env::args().nth(1).is_some() {
        println!("{}", deep(black_box(50_000))); // line: main calls deep
    } else {
        println!("{}", outer(black_box(7))); // line: main calls outer
    }
}

#[inline(never)]
fn outer(number: u64) -> u64 {
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
