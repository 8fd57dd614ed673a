//! Measures the cost of allocation: nanoseconds for each allocation with its release, by what is allocated and how long
//! it lives.

use std::collections::VecDeque;
use std::hint::black_box;
use std::sync::mpsc;
use std::thread;
use std::time::Instant;

/// Cheap generator of random numbers.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0
    }

    /// Returns a size from 16 to 4096, as often between 16 and 32 as between 2048 and 4096.
    fn size(&mut self) -> usize {
        let octave = 4 + self.next() % 8;
        (1 << octave) + (self.next() % (1 << octave)) as usize
    }
}

fn boxes(count: usize) {
    for _ in 0..count {
        black_box(Box::new([0u64; 8]));
    }
}

fn many_boxes(count: usize) {
    for _ in 0..count / 10_000 {
        let all: Vec<_> = (0..10_000).map(|i| Box::new([i; 8])).collect();
        black_box(all);
    }
}

/// Pushes to vectors that grow to 256 KiB.
fn vectors(count: usize) {
    for _ in 0..count / 32768 {
        let mut vector = Vec::new();
        for i in 0..32768u64 {
            vector.push(i);
        }
        black_box(vector);
    }
}

fn long_vectors(count: usize) {
    for _ in 0..count / (1 << 19) {
        let mut vector = Vec::new();
        for i in 0..1u64 << 19 {
            vector.push(i);
        }
        black_box(vector);
    }
}

fn strings(count: usize) {
    for i in 0..count {
        black_box(format!("number {i} of {count}"));
    }
}

fn zeroed(count: usize) {
    for _ in 0..count {
        black_box(vec![0u8; 256]);
    }
}

/// Allocates blocks of all sizes; the last one made is freed first.
fn last_in_first_out(count: usize) {
    let (mut random, mut live) = (Random(1), Vec::new());
    for _ in 0..count {
        if random.next() % 512 < 256 || live.is_empty() {
            live.push(Vec::<u8>::with_capacity(random.size()));
        } else {
            live.pop();
        }
    }
    black_box(live);
}

/// Allocates blocks of all sizes; the first one made is freed first, a thousand later.
fn first_in_first_out(count: usize) {
    let (mut random, mut live) = (Random(2), VecDeque::new());
    for _ in 0..count {
        live.push_back(Vec::<u8>::with_capacity(random.size()));
        if live.len() > 1000 {
            live.pop_front();
        }
    }
    black_box(live);
}

/// Allocates blocks of all sizes in random order; some grow, and there is a large one now and then.
fn mixed(count: usize) {
    let mut random = Random(3);
    let mut live: Vec<Vec<u8>> = (0..2000).map(|_| Vec::new()).collect();
    for i in 0..count {
        let place = (random.next() % 2000) as usize;
        let entry = &mut live[place];
        match random.next() % 8 {
            0 => entry.reserve(entry.capacity() + 16),
            _ => *entry = Vec::with_capacity(random.size()),
        }
        if entry.capacity() > 65536 {
            *entry = Vec::new();
        }
        if i % 1000 == 0 {
            live[place] = vec![1; 300_000];
        }
    }
    black_box(live);
}

/// Makes blocks in threads, which other threads free.
fn threads(count: usize) {
    thread::scope(|scope| {
        for seed in 0..2 {
            let (sender, receiver) = mpsc::sync_channel::<Vec<Vec<u8>>>(4);
            scope.spawn(move || {
                let mut random = Random(seed + 4);
                for _ in 0..count / 256 {
                    let blocks = (0..128).map(|_| Vec::with_capacity(random.size())).collect();
                    if sender.send(blocks).is_err() {
                        return;
                    }
                }
            });
            scope.spawn(move || receiver.iter().for_each(|blocks| drop(black_box(blocks))));
        }
    });
}

fn measure(name: &str, count: usize, act: impl Fn(usize)) {
    act(count / 8);
    let start = Instant::now();
    act(count);
    println!("{name}: {}", start.elapsed().as_nanos() as f64 / count as f64);
}

fn main() {
    measure("Box of 64 bytes", 4_000_000, boxes);
    measure("10,000 boxes at a time", 1_000_000, many_boxes);
    measure("String by format!", 1_000_000, strings);
    measure("256 zeroed bytes", 1_000_000, zeroed);
    measure("push, to 256 KiB", 8_000_000, vectors);
    measure("push, to 4 MiB", 1 << 23, long_vectors);
    measure("16..4096, LIFO", 2_000_000, last_in_first_out);
    measure("16..4096, FIFO", 2_000_000, first_in_first_out);
    measure("16..4096, mixed, growing", 1_000_000, mixed);
    measure("16..4096, four threads", 1_000_000, threads);
}
