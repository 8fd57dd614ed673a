//! Touches 300 MB of memory, first and last, in pieces and as one; with a number as argument, allocates that many MiB one
//! by one and touches next to nothing of them.

use std::hint::black_box;

fn touch() {
    let pieces: Vec<Vec<u8>> = (0..150).map(|i| vec![i as u8; 1 << 20]).collect();
    let mut whole = vec![0u8; 150 << 20];
    whole.iter_mut().step_by(4096).for_each(|byte| *byte = 7);
    assert!(pieces.iter().enumerate().all(|(i, piece)| piece.iter().all(|byte| *byte == i as u8)));
    assert_eq!(whole.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 7 * (150 << 20) / 4096);
    println!("300 MB used");
}

fn take(count: usize) {
    let pieces: Vec<Vec<u8>> = (0..count).map(|_| black_box(Vec::with_capacity(1 << 20))).collect();
    println!("{} MiB taken", pieces.len());
}

fn main() {
    match std::env::args().nth(1) {
        Some(count) => take(count.parse().expect("a number")),
        None => touch(),
    }
}
