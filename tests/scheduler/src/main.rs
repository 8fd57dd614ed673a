//! Measures the cost of a change of threads, in nanoseconds for each step: directly, and through what is built upon it.

use std::hint::black_box;
use std::sync::atomic::AtomicBool;
use std::sync::atomic::Ordering::{Acquire, Release};
use std::sync::{Arc, Barrier, Condvar, Mutex, mpsc};
use std::thread::{self, Thread};
use std::time::Instant;

/// Runs `work` once to warm up and once to measure it; prints the time for each of its `steps`. With an argument, runs
/// only the `work` with that `name`; with the argument `names`, prints the name alone.
fn measure(name: &str, steps: u64, work: impl Fn()) {
    match std::env::args().nth(1).as_deref() {
        Some("names") => return println!("{name}"),
        Some(wanted) if wanted != name => return,
        _ => {}
    }
    work();
    let start = Instant::now();
    work();
    println!("{name}: {}", start.elapsed().as_nanos() as f64 / steps as f64);
}

fn condvar(rounds: u64) {
    let turn = (Mutex::new(false), Condvar::new());
    let play = |own: bool| {
        for _ in 0..rounds {
            let mut now = turn.0.lock().expect("nobody panics");
            while *now != own {
                now = turn.1.wait(now).expect("nobody panics");
            }
            *now = !own;
            turn.1.notify_one();
        }
    };
    thread::scope(|scope| {
        scope.spawn(|| play(true));
        play(false);
    });
}

fn park(rounds: u64) {
    let turn = AtomicBool::new(false);
    let play = |own: bool, other: &Thread| {
        for _ in 0..rounds {
            // An earlier unpark may have left a token.
            while turn.load(Acquire) != own {
                thread::park();
            }
            turn.store(!own, Release);
            other.unpark();
        }
    };
    let main = thread::current();
    thread::scope(|scope| {
        let other = scope.spawn(|| play(true, &main));
        play(false, other.thread());
    });
}

fn spawn(threads: u64) {
    for number in 0..threads {
        assert_eq!(thread::spawn(move || number).join().expect("it does not panic"), number);
    }
}

fn barrier(rounds: u64) {
    let barrier = Barrier::new(4);
    thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                for _ in 0..rounds {
                    barrier.wait();
                }
            });
        }
    });
}

fn clock(times: u64) {
    for _ in 0..times {
        black_box(Instant::now());
    }
}

fn lock(times: u64) {
    let mutex = Mutex::new(0);
    for number in 0..times {
        *black_box(&mutex).lock().expect("nobody panics") += number;
    }
}

fn channel(messages: u64) {
    let (send, receive) = mpsc::channel();
    let sender = thread::spawn(move || (0..messages).for_each(|number| send.send(number).expect("it listens")));
    assert_eq!(receive.iter().sum::<u64>(), messages * (messages - 1) / 2);
    sender.join().expect("it does not panic");
}

fn rendezvous(messages: u64) {
    let (send, receive) = mpsc::sync_channel(0);
    let sender = thread::spawn(move || (0..messages).for_each(|number| send.send(number).expect("it listens")));
    assert_eq!(receive.iter().sum::<u64>(), messages * (messages - 1) / 2);
    sender.join().expect("it does not panic");
}

/// Four senders and four receivers, and a bound that makes them wait for each other.
fn crossbeam(messages: u64) {
    let (send, receive) = crossbeam_channel::bounded(64);
    let sum: u64 = thread::scope(|scope| {
        for part in 0..4 {
            let send = send.clone();
            scope.spawn(move || (0..messages / 4).for_each(|number| send.send(number * 4 + part).expect("it listens")));
        }
        drop(send);
        let receivers: Vec<_> = (0..4).map(|_| scope.spawn(|| receive.iter().sum::<u64>())).collect();
        receivers.into_iter().map(|receiver| receiver.join().expect("it does not panic")).sum()
    });
    assert_eq!(sum, messages * (messages - 1) / 2);
}

fn fibonacci(number: u64) -> u64 {
    if number < 2 {
        return number;
    }
    let (left, right) = rayon::join(|| fibonacci(number - 1), || fibonacci(number - 2));
    left + right
}

fn sort(length: u64) {
    use rayon::slice::ParallelSliceMut;
    let mut numbers: Vec<u64> = (0..length).map(|number| number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).collect();
    numbers.par_sort_unstable();
    assert!(numbers.is_sorted());
}

fn runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime")
}

fn yields(tasks: u64, times: u64) {
    runtime().block_on(async {
        let yielding = || async move {
            for _ in 0..times {
                tokio::task::yield_now().await;
            }
        };
        let tasks: Vec<_> = (0..tasks).map(|_| tokio::spawn(yielding())).collect();
        for task in tasks {
            task.await.expect("it does not panic");
        }
    });
}

fn tokio_channel(messages: u64) {
    runtime().block_on(async {
        let (send, mut receive) = tokio::sync::mpsc::channel(16);
        let sender = tokio::spawn(async move {
            for number in 0..messages {
                send.send(number).await.expect("it listens");
            }
        });
        let mut sum = 0;
        while let Some(number) = receive.recv().await {
            sum += number;
        }
        sender.await.expect("it does not panic");
        assert_eq!(sum, messages * (messages - 1) / 2);
    });
}

fn main() {
    measure("Instant::now", 1_000_000, || clock(1_000_000));
    measure("uncontended lock", 5_000_000, || lock(5_000_000));
    measure("condvar ping-pong", 20_000, || condvar(20_000));
    measure("park and unpark", 20_000, || park(20_000));
    measure("barrier of four", 5_000, || barrier(5_000));
    measure("spawn and join", 2_000, || spawn(2_000));
    measure("mpsc channel", 300_000, || channel(300_000));
    measure("mpsc rendezvous", 20_000, || rendezvous(20_000));
    measure("crossbeam channel", 200_000, || crossbeam(200_000));
    measure("tokio spawn and yield", 500_000, || yields(500, 1_000));
    measure("tokio spawn", 100_000, || yields(100_000, 0));
    measure("tokio channel", 200_000, || tokio_channel(200_000));
    measure("rayon join", 832_039, || assert_eq!(fibonacci(29), 514_229));
    measure("rayon sort", 1_000_000, || sort(1_000_000));
    let shared = Arc::new(Mutex::new(0u64));
    measure("contended lock", 400_000, || {
        let threads = [(); 4].map(|()| {
            let shared = Arc::clone(&shared);
            thread::spawn(move || (0..100_000).for_each(|_| *shared.lock().expect("nobody panics") += 1))
        });
        threads.into_iter().for_each(|thread| thread.join().expect("it does not panic"));
    });
}
