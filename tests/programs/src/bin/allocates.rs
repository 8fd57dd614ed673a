//! Allocates from several threads that free and grow each other's blocks, and checks that each block keeps its contents.

use std::sync::mpsc::{Receiver, Sender, channel};
use std::thread;

const THREADS: usize = 4;
const STEPS: usize = 40_000;

/// Block with all bytes equal to the mark of its maker.
struct Block {
    mark: u8,
    bytes: Vec<u8>,
}

impl Block {
    fn new(mark: u8, size: usize) -> Self {
        Self { mark, bytes: vec![mark; size] }
    }

    fn check(&self) {
        assert!(self.bytes.iter().all(|byte| *byte == self.mark), "somebody else wrote to this block");
    }
}

fn work(seed: usize, others: Vec<Sender<Block>>, mine: Receiver<Block>) -> usize {
    let mut random = seed as u64 + 1;
    let mut live: Vec<Block> = Vec::new();
    let mut checked = 0;
    for step in 0..STEPS {
        random = random.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        let number = (random >> 33) as usize;
        let size = match number % 1000 {
            0 => number % 2_000_000,
            1..20 => number % 60_000,
            _ => (16 << (number % 9)) + number % 16,
        };
        match number / 1000 % 4 {
            0 | 1 => live.push(Block::new(step as u8, size)),
            2 if !live.is_empty() => {
                let block = live.swap_remove(number % live.len());
                let _ = others[number % others.len()].send(block);
            }
            _ => {
                if let Some(block) = live.last_mut() {
                    let longer = block.bytes.len() + size / 4;
                    block.bytes.resize(longer, block.mark);
                    block.bytes.shrink_to_fit();
                }
            }
        }
        if vec![0u8; size].iter().any(|byte| *byte != 0) {
            panic!("a zeroed block is not zero");
        }
        for block in mine.try_iter() {
            block.check();
            checked += 1;
        }
        if live.len() > 500 {
            live.drain(..250).for_each(|block| block.check());
        }
    }
    drop(others);
    mine.iter().for_each(|block| block.check());
    checked
}

fn main() {
    for _ in 0..3 {
        let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| channel()).unzip();
        let start = |(seed, mine)| {
            let others = senders.clone();
            thread::spawn(move || work(seed, others, mine))
        };
        let threads: Vec<_> = receivers.into_iter().enumerate().map(start).collect();
        drop(senders);
        let checked: usize = threads.into_iter().map(|thread| thread.join().expect("no thread fails")).sum();
        assert!(checked > 0);
    }
    println!("all blocks kept their contents");
}
