//! Threads that spin for what another one makes, and each take all there is: sooner or later each gets some.

use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::thread;

const TAKERS: usize = 4;

fn main() {
    let made = AtomicUsize::new(0);
    let waiting = AtomicUsize::new(0);
    let lucky = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..TAKERS {
            scope.spawn(|| {
                waiting.fetch_add(1, SeqCst);
                let mut taken = 0;
                while lucky.load(SeqCst) < TAKERS {
                    let new = made.swap(0, SeqCst);
                    if taken == 0 && new > 0 {
                        lucky.fetch_add(1, SeqCst);
                    }
                    taken += new;
                }
            });
        }
        while waiting.load(SeqCst) < TAKERS {
            thread::yield_now();
        }
        while lucky.load(SeqCst) < TAKERS {
            made.fetch_add(1, SeqCst);
        }
    });
    println!("each took some");
}
