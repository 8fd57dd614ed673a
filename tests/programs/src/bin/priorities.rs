//! Mutexes that inherit priorities: by the functions of pthreads, and by futex(2) itself.

#![expect(unsafe_code, reason = "these mutexes are functions of C")]

use programs::errno;
use std::cell::UnsafeCell;
use std::mem::{MaybeUninit, zeroed};
use std::sync::Barrier;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering::SeqCst};
use std::thread;
use std::time::Duration;

const INHERIT: i32 = 1;
const LOCK: i32 = 6;
const UNLOCK: i32 = 7;
const TRY_LOCK: i32 = 8;
const LOCK_2: i32 = 13;

unsafe extern "C" {
    fn pthread_mutexattr_setprotocol(attributes: *mut libc::pthread_mutexattr_t, protocol: i32) -> i32;
    fn pthread_mutexattr_setrobust(attributes: *mut libc::pthread_mutexattr_t, robust: i32) -> i32;
    fn pthread_mutex_consistent(mutex: *mut libc::pthread_mutex_t) -> i32;
}

struct Mutex(Box<UnsafeCell<libc::pthread_mutex_t>>);

// SAFETY: a mutex is for several threads.
unsafe impl Sync for Mutex {}

impl Mutex {
    fn new(robust: bool) -> Self {
        let mut attributes = MaybeUninit::uninit();
        // SAFETY: the attributes are a variable of ours, which is initialised first.
        let made = unsafe { libc::pthread_mutexattr_init(attributes.as_mut_ptr()) };
        // SAFETY: as above.
        let inherits = unsafe { pthread_mutexattr_setprotocol(attributes.as_mut_ptr(), INHERIT) };
        // SAFETY: as above.
        let is_robust = unsafe { pthread_mutexattr_setrobust(attributes.as_mut_ptr(), robust.into()) };
        println!("attributes: {made} {inherits} {is_robust}");
        // SAFETY: all zeros is memory for a mutex.
        let mutex = Self(Box::new(UnsafeCell::new(unsafe { zeroed() })));
        // SAFETY: mutex and attributes are initialised, and the mutex stays where it is.
        println!("mutex: {}", unsafe { libc::pthread_mutex_init(mutex.0.get(), attributes.as_ptr()) });
        mutex
    }

    fn lock(&self) -> i32 {
        // SAFETY: the mutex is initialised.
        unsafe { libc::pthread_mutex_lock(self.0.get()) }
    }

    fn unlock(&self) -> i32 {
        // SAFETY: the mutex is initialised.
        unsafe { libc::pthread_mutex_unlock(self.0.get()) }
    }

    fn try_lock(&self) -> i32 {
        // SAFETY: the mutex is initialised.
        unsafe { libc::pthread_mutex_trylock(self.0.get()) }
    }

    fn lock_for(&self, milliseconds: i64) -> i32 {
        // SAFETY: all zeros is a valid value.
        let mut until: libc::timespec = unsafe { zeroed() };
        // SAFETY: a variable of ours.
        unsafe { libc::clock_gettime(libc::CLOCK_REALTIME, &mut until) };
        until.tv_nsec += milliseconds * 1_000_000;
        (until.tv_sec, until.tv_nsec) = (until.tv_sec + until.tv_nsec / 1_000_000_000, until.tv_nsec % 1_000_000_000);
        // SAFETY: the mutex is initialised, and the time is a variable of ours.
        unsafe { libc::pthread_mutex_timedlock(self.0.get(), &until) }
    }

    fn make_consistent(&self) -> i32 {
        // SAFETY: the mutex is initialised.
        unsafe { pthread_mutex_consistent(self.0.get()) }
    }
}

/// Several threads count with the mutex held, over calls that let others run.
fn counts(mutex: &Mutex) {
    let count = AtomicU64::new(0);
    let add = || {
        for _ in 0..200 {
            assert_eq!(mutex.lock(), 0);
            let before = count.load(SeqCst);
            thread::yield_now();
            count.store(before + 1, SeqCst);
            assert_eq!(mutex.unlock(), 0);
        }
    };
    thread::scope(|scope| (0..4).for_each(|_| drop(scope.spawn(add))));
    println!("counted {}", count.load(SeqCst));
}

/// One thread has the mutex while another tries.
fn tries(mutex: &Mutex) {
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        scope.spawn(|| {
            println!("lock: {}", mutex.lock());
            barrier.wait();
            barrier.wait();
            println!("unlock: {}", mutex.unlock());
        });
        barrier.wait();
        println!("try: {}, for a while: {}", mutex.try_lock(), mutex.lock_for(20));
        barrier.wait();
    });
    println!("now: {} {}", mutex.try_lock(), mutex.unlock());
}

/// An owner ends, before another asks for the mutex or while it waits.
fn dies(mutex: &Mutex, waits: bool) {
    let barrier = Barrier::new(2);
    thread::scope(|scope| {
        let owner = scope.spawn(|| {
            assert_eq!(mutex.lock(), 0);
            barrier.wait();
            if waits {
                thread::sleep(Duration::from_millis(50));
            }
        });
        barrier.wait();
        if !waits {
            owner.join().expect("it ends");
        }
        println!("after its owner: {}", mutex.lock());
        println!("consistent: {} {}", mutex.make_consistent(), mutex.unlock());
    });
    println!("as before: {} {}", mutex.lock(), mutex.unlock());
}

/// futex(2) on this word, with another `other` bytes after it. Returns the result, or the error as a negative number.
fn call(word: &AtomicU32, operation: i32, other: usize) -> i64 {
    let other = word.as_ptr().cast::<u8>().wrapping_add(other);
    let none = std::ptr::null::<u8>();
    // SAFETY: the word outlives the call; there is no time.
    let result = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, 1, none, other, 0) };
    if result < 0 { -i64::from(errno()) } else { result }
}

fn pause() {
    thread::sleep(Duration::from_millis(100));
}

extern "C" fn count_signal(_: i32) {
    SIGNALS.fetch_add(1, SeqCst);
}

static SIGNALS: AtomicU64 = AtomicU64::new(0);

/// A handler, without SA_RESTART, while a thread waits for a lock; and calls for other futexes on its word.
fn interrupted() {
    let word = AtomicU32::new(0);
    // SAFETY: all zeros is an action, here with a handler.
    let mut action: libc::sigaction = unsafe { zeroed() };
    action.sa_sigaction = count_signal as *const () as usize;
    // SAFETY: the handler only counts.
    unsafe { libc::sigaction(libc::SIGUSR1, &action, std::ptr::null_mut()) };
    println!("realtime: {}", call(&word, LOCK | libc::FUTEX_CLOCK_REALTIME, 0));
    println!("requeue to {} {}", call(&word, libc::FUTEX_REQUEUE, 1), call(&word, libc::FUTEX_REQUEUE, 2));
    for lock in [LOCK, LOCK_2] {
        let id = AtomicU32::new(0);
        println!("first: {}", call(&word, lock, 0));
        thread::scope(|scope| {
            let waiter = scope.spawn(|| {
                // SAFETY: no argument.
                id.store(unsafe { libc::gettid() } as u32, SeqCst);
                (call(&word, lock, 0), call(&word, UNLOCK, 0))
            });
            pause();
            // SAFETY: a signal to a thread of this process.
            unsafe { libc::syscall(libc::SYS_tkill, id.load(SeqCst), libc::SIGUSR1) };
            pause();
            println!("wake: {} {}", call(&word, libc::FUTEX_WAKE, 0), call(&word, libc::FUTEX_REQUEUE, 8));
            println!("unlock: {} after {} signals", call(&word, UNLOCK, 0), SIGNALS.load(SeqCst));
            println!("waiter: {:?}", waiter.join().expect("it ends"));
        });
    }
}

/// Two threads that wait for each other's lock.
fn circle() {
    let words = [AtomicU32::new(0), AtomicU32::new(0)];
    let [own, others] = &words;
    thread::scope(|scope| {
        println!("own: {}", call(own, LOCK, 0));
        let other =
            scope.spawn(|| [(others, LOCK), (own, LOCK), (own, UNLOCK), (others, UNLOCK)].map(|(w, o)| call(w, o, 0)));
        pause();
        println!("circle: {}, unlock: {}", call(others, LOCK, 0), call(own, UNLOCK, 0));
        println!("other: {:?}", other.join().expect("it ends"));
    });
}

/// An owner clears the word before it ends, as C libraries do, while one thread waits and another comes.
fn cleared() {
    let word = AtomicU32::new(0);
    // Linux says that threads wait also for the last that did.
    let shown = |who: &str, result: i64| println!("{who}: {result}, {:x}", word.load(SeqCst) >> 30 & 1);
    thread::scope(|scope| {
        scope.spawn(|| {
            shown("owner", call(&word, LOCK, 0));
            pause();
            pause();
            word.store(1 << 30, SeqCst);
            pause();
            pause();
        });
        pause();
        let first = scope.spawn(|| {
            shown("first", call(&word, LOCK, 0));
            pause();
            (call(&word, UNLOCK, 0), word.load(SeqCst) >> 30 & 1)
        });
        pause();
        pause();
        println!("try: {}", call(&word, TRY_LOCK, 0));
        shown("second", call(&word, LOCK, 0));
        // The order of the two threads after the first one's call is not defined.
        shown("second is done", call(&word, UNLOCK, 0));
        println!("first is done: {:?}", first.join().expect("it ends"));
    });
}

/// futex(2) on a word with this value. Returns the result, and the value after it.
fn futex(operation: i32, value: u32) -> (i64, i32, u32) {
    let word = AtomicU32::new(value);
    let none = std::ptr::null::<u8>();
    // SAFETY: the word is a variable of ours; there is no time.
    let result = unsafe { libc::syscall(libc::SYS_futex, word.as_ptr(), operation, 0, none, none, 0) };
    (result, if result < 0 { errno() } else { 0 }, word.load(SeqCst))
}

fn main() {
    // SAFETY: no argument.
    let own = unsafe { libc::gettid() } as u32;
    const WAITERS: u32 = 1 << 31;
    const DIED: u32 = 1 << 30;
    let shown = |(result, error, word): (i64, i32, u32)| {
        let owner = if word & 0x3fff_ffff == own { "own" } else { "another" };
        format!("{result} {error} {owner} {:x}", word >> 30)
    };
    for value in [0, DIED, WAITERS, own, own | WAITERS, 0x3fff_fffe] {
        let [lock, unlock, attempt] = [LOCK, UNLOCK, TRY_LOCK].map(|operation| shown(futex(operation, value)));
        println!("{:x} {}: lock {lock}, unlock {unlock}, try {attempt}", value >> 30, value & 0x3fff_ffff == own);
    }
    let mutex = Mutex::new(false);
    tries(&mutex);
    counts(&mutex);
    let robust = Mutex::new(true);
    counts(&robust);
    dies(&robust, false);
    dies(&robust, true);
    interrupted();
    circle();
    cleared();
}
