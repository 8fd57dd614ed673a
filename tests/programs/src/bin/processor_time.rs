//! Sleeps, and works in this thread and in another: the clocks of processor time count work, and each thread's only its own.

use libc::{CLOCK_PROCESS_CPUTIME_ID, CLOCK_THREAD_CPUTIME_ID};
use std::hint::spin_loop;
use std::thread;
use std::time::{Duration, Instant};

/// Duration of the work: long enough that a slow machine's overhead is little beside it.
const LONG: Duration = Duration::from_millis(400);

fn read(clock: libc::clockid_t) -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: clock_gettime(2) writes to a local variable.
    assert_eq!(unsafe { libc::clock_gettime(clock, &mut time) }, 0);
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn used() -> Duration {
    // SAFETY: all zeros is a usage.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: getrusage(2) writes to a local variable.
    assert_eq!(unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) }, 0);
    Duration::new(usage.ru_utime.tv_sec as u64, usage.ru_utime.tv_usec as u32 * 1000)
}

/// Works for `LONG`, and until three quarters of that are used as processor time, which others may want as well; but not for
/// ever, in case the time is not counted.
fn work() {
    let (start, used) = (Instant::now(), read(CLOCK_THREAD_CPUTIME_ID));
    let is_enough = || start.elapsed() > LONG && read(CLOCK_THREAD_CPUTIME_ID) - used > LONG * 3 / 4;
    while !is_enough() && start.elapsed() < 50 * LONG {
        spin_loop();
    }
}

/// Returns which clocks have advanced during `act`: the program's, this thread's, and the program's by getrusage(2).
fn during(act: impl FnOnce()) -> [bool; 3] {
    let clocks = || [read(CLOCK_PROCESS_CPUTIME_ID), read(CLOCK_THREAD_CPUTIME_ID), used()];
    let before = clocks();
    act();
    let after = clocks();
    [0, 1, 2].map(|clock| after[clock] - before[clock] > LONG / 2)
}

fn main() {
    println!("asleep: {:?}", during(|| thread::sleep(LONG)));
    println!("at work: {:?}", during(work));
    println!("another at work: {:?}", during(|| thread::spawn(work).join().expect("it only works")));
    let of_another = thread::spawn(|| during(work)).join().expect("it only works");
    println!("in another: {of_another:?}");
    let ticks = std::fs::read_to_string("/proc/self/stat").expect("it is there");
    let ticks: u64 = ticks.split(' ').nth(13).and_then(|field| field.parse().ok()).expect("a number");
    println!("in /proc: {}", ticks > 0);
}
