//! Uses memory in each way that a program has: the heap from below, memory that was freed before, its stacks from above. With
//! `all` as argument, takes all memory that there is. Waits for a line of input before it ends.

use std::hint::black_box;
use std::thread;

/// Fills `bytes` of the stack and returns their sum.
fn descend(bytes: usize) -> usize {
    let frame = black_box([1u8; 4096]);
    let below = if bytes > frame.len() { descend(bytes - frame.len()) } else { 0 };
    black_box(&frame).iter().map(|byte| usize::from(*byte)).sum::<usize>() + below
}

/// Fills a vector that grows to `words` words.
fn grow(words: u64) {
    let mut vector = vec![];
    (0..words).for_each(|word| vector.push(word));
    assert_eq!(black_box(vector).iter().sum::<u64>(), words * (words - 1) / 2);
}

fn use_each() {
    let blocks: Vec<Box<[u64; 16]>> = (0..4 << 13).map(|number| Box::new([number; 16])).collect();
    (0..2).for_each(|_| grow(2 << 20));
    assert!(black_box(vec![0u8; 8 << 20]).iter().all(|byte| *byte == 0), "memory that is there again holds zeros");
    assert!(blocks.iter().enumerate().all(|(number, block)| **block == [number as u64; 16]));
    assert_eq!(descend(4 << 20), 4 << 20);
    let thread = thread::spawn(|| descend(1 << 20));
    assert_eq!(thread.join().expect("it does not fail"), 1 << 20);
    println!("used");
}

/// Allocates and fills all memory, and returns all but the last piece, which leaves memory for standard input.
fn take_all() -> Vec<Vec<u8>> {
    const PIECE: usize = 64 << 10;
    let mut pieces = vec![];
    let mut piece = Vec::new();
    while piece.try_reserve_exact(PIECE).is_ok() {
        piece.resize(PIECE, 1u8);
        pieces.push(std::mem::take(&mut piece));
    }
    pieces.pop();
    println!("all used");
    pieces
}

fn main() {
    let held = match std::env::args().nth(1).as_deref() {
        Some("all") => take_all(),
        _ => {
            use_each();
            vec![]
        }
    };
    std::io::stdin().read_line(&mut String::new()).expect("a line");
    drop(black_box(held));
}
