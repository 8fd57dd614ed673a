//! The ring protocol without a device: entries go from a producer to a consumer of the same thread. `cargo bench -p husk-abi`

use criterion::Criterion;
use husk_abi::ring::protocol::{Consumer, Producer, Words};
use std::hint::black_box;
use std::sync::atomic::AtomicU32;

/// Entries of the ring.
const ENTRIES: u32 = 256;

fn ring(criterion: &mut Criterion) {
    let (written, read, wake_at) = (AtomicU32::new(0), AtomicU32::new(0), AtomicU32::new(0));
    let words = || Words { producer: &written, consumer: &read, wake_at: &wake_at };
    let (mut producer, mut consumer) = (Producer::new(words(), ENTRIES), Consumer::new(words(), ENTRIES));
    let mut pass = |count: u32| {
        assert_eq!(producer.has_room(count), Ok(true));
        for _ in 0..count {
            black_box(producer.write());
        }
        black_box(producer.publish());
        assert_eq!(consumer.available(), Ok(count));
        for _ in 0..count {
            black_box(consumer.read());
        }
        consumer.release();
    };
    for count in [1, 64] {
        criterion.bench_function(&format!("ring/{count}"), |bench| bench.iter(|| pass(count)));
    }
}

fn main() {
    let mut criterion = Criterion::default().configure_from_args();
    ring(&mut criterion);
    criterion.final_summary();
}
