//! Uses operations of futex(2) that C libraries rarely use: on two words at once, and those that requeue to a lock with priorities.

#![expect(unsafe_code, reason = "futex(2) is a function of C")]

use libc::*;
use programs::errno;
use std::ptr::null;
use std::sync::atomic::{AtomicU32, Ordering::SeqCst};
use std::thread;

static FIRST: AtomicU32 = AtomicU32::new(0);
static SECOND: AtomicU32 = AtomicU32::new(0);

/// A call with a number where others have a time.
fn futex(
    word: &AtomicU32,
    operation: c_int,
    value: u32,
    number: usize,
    other: &AtomicU32,
    last: u32,
) -> Result<i64, i32> {
    // SAFETY: the words are variables of ours, and operations with a time get none.
    let result = unsafe { syscall(SYS_futex, word.as_ptr(), operation, value, number, other.as_ptr(), last) };
    if result < 0 { Err(errno()) } else { Ok(result) }
}

fn wait(word: &AtomicU32) -> Result<i64, i32> {
    futex(word, FUTEX_WAIT, 0, 0, word, 0)
}

fn thread_number() -> u32 {
    // SAFETY: it takes no memory.
    unsafe { syscall(SYS_gettid) as u32 }
}

/// Code of an operation and a comparison, with their operands.
fn code(operation: u32, operand: u32, comparison: u32, compared: u32) -> u32 {
    operation << 28 | comparison << 24 | (operand & 0xfff) << 12 | compared & 0xfff
}

/// Calls until the results together are `count`: threads that wait come in between.
fn until(count: i64, call: impl Fn() -> Result<i64, i32>) {
    let mut done = 0;
    while done < count {
        done += call().expect("no error");
        thread::yield_now();
    }
    println!("in all {done}");
}

fn changes() {
    for operation in 0..10 {
        for (operand, start) in [(5, 12), (0xffe, 7)] {
            SECOND.store(start, SeqCst);
            let result = futex(&FIRST, FUTEX_WAKE_OP, 1, 1, &SECOND, code(operation, operand, 0, 0));
            println!("operation {operation} by {operand}: {result:?} {:#x}", SECOND.load(SeqCst));
        }
    }
    SECOND.store(3, SeqCst);
    println!("shift {:?} {}", futex(&FIRST, FUTEX_WAKE_OP, 1, 1, &SECOND, code(8, 4, 0, 0)), SECOND.load(SeqCst));
    println!("comparison {:?}", futex(&FIRST, FUTEX_WAKE_OP, 1, 1, &SECOND, code(0, 0, 9, 0)));
    for (comparison, compared) in [(0, 0), (1, 1), (2, 1), (3, 0), (4, 0xfff), (5, 0)] {
        SECOND.store(0, SeqCst);
        let others = [thread::spawn(|| wait(&FIRST)), thread::spawn(|| wait(&SECOND))];
        until(2, || futex(&FIRST, FUTEX_WAKE_OP, 9, 9, &SECOND, code(1, 0, comparison, compared)));
        println!("{comparison}: {:?}", others.map(|other| other.join().expect("no panic")));
    }
}

fn wait_for_lock(lock: &AtomicU32) -> (Result<i64, i32>, bool) {
    let waited = futex(&FIRST, FUTEX_WAIT_REQUEUE_PI, 0, 0, lock, 0);
    let has_it = lock.load(SeqCst) & FUTEX_TID_MASK == thread_number();
    if has_it {
        futex(lock, FUTEX_UNLOCK_PI, 0, 0, lock, 0).expect("it is ours");
    }
    (waited, has_it)
}

fn requeues() {
    static LOCK: AtomicU32 = AtomicU32::new(0);
    let requeue = |wake, last| futex(&FIRST, FUTEX_CMP_REQUEUE_PI, wake, 9, &LOCK, last);
    println!("nobody {:?}, two {:?}, changed {:?}", requeue(1, 0), requeue(2, 0), requeue(1, 7));
    println!("itself {:?}", futex(&FIRST, FUTEX_CMP_REQUEUE_PI, 1, 9, &FIRST, 0));
    println!("changed {:?}", futex(&FIRST, FUTEX_WAIT_REQUEUE_PI, 7, 0, &LOCK, 0));
    let past = timespec { tv_sec: 0, tv_nsec: 1 };
    println!("in time {:?}", futex(&FIRST, FUTEX_WAIT_REQUEUE_PI, 0, (&raw const past) as usize, &LOCK, 0));
    println!("lock {:?}", futex(&LOCK, FUTEX_LOCK_PI, 0, 0, &LOCK, 0));
    let others = [(); 3].map(|()| thread::spawn(|| wait_for_lock(&LOCK)));
    until(3, || requeue(1, 0));
    println!("unlock {:?}", futex(&LOCK, FUTEX_UNLOCK_PI, 0, 0, &LOCK, 0));
    println!("{:?}", others.map(|other| other.join().expect("no panic")));
    let other = thread::spawn(|| wait_for_lock(&LOCK));
    until(1, || requeue(1, 0));
    println!("a free lock {:?}, then {}", other.join().expect("no panic"), LOCK.load(SeqCst));
    let none: *const timespec = null();
    println!("wake {:?}", futex(&FIRST, FUTEX_WAKE, 9, none as usize, &FIRST, 0));
}

fn main() {
    changes();
    requeues();
}
