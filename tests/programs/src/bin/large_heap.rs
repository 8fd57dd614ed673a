//! Touches 300 MB of memory, first and last, in pieces and as one.

fn main() {
    let pieces: Vec<Vec<u8>> = (0..150).map(|i| vec![i as u8; 1 << 20]).collect();
    let mut whole = vec![0u8; 150 << 20];
    whole.iter_mut().step_by(4096).for_each(|byte| *byte = 7);
    assert!(pieces.iter().enumerate().all(|(i, piece)| piece.iter().all(|byte| *byte == i as u8)));
    assert_eq!(whole.iter().map(|byte| u64::from(*byte)).sum::<u64>(), 7 * (150 << 20) / 4096);
    println!("300 MB used");
}
