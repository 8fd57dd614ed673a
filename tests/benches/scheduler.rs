//! Cost of threads, locks, channels and runtimes, in a guest and as a process, both on one and the same processor.
//!
//! One program runs in a guest and as a process, in turn, once for each of its own figures; their medians are printed.
//! Where threads wait for each other in turn, as with crossbeam's channel, a figure depends on the thread that the kernel
//! runs first, and Linux's own differs by a factor of two from run to run: so there are many rounds, and the spread of the
//! ratios is printed beside them.
//! `cargo bench -p husk-tests --bench scheduler [-- ROUNDS]`

#![expect(unsafe_code, reason = "keeps to one processor")]

use husk_tests::{figures, measure};

/// Pins this process, and all processes that it starts, to the first processor that it may use.
fn keep_to_one_processor() {
    // SAFETY: all zeros is an empty set.
    let (mut allowed, mut one) = unsafe { std::mem::zeroed::<(libc::cpu_set_t, libc::cpu_set_t)>() };
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: `allowed` is a live variable of `size` bytes.
    assert_eq!(unsafe { libc::sched_getaffinity(0, size, &mut allowed) }, 0);
    // SAFETY: `number` is below CPU_SETSIZE, the size of the set.
    let first = (0..libc::CPU_SETSIZE as usize).find(|number| unsafe { libc::CPU_ISSET(*number, &allowed) });
    // SAFETY: `first` was found below CPU_SETSIZE, the size of the set.
    unsafe { libc::CPU_SET(first.expect("a processor"), &mut one) };
    // SAFETY: `one` is a live variable of `size` bytes.
    assert_eq!(unsafe { libc::sched_setaffinity(0, size, &one) }, 0);
}

fn main() {
    let [image, native] = figures::built("scheduler", "scheduler");
    keep_to_one_processor();
    figures::compare_each([image, native], "ns a step", measure::rounds(21));
}
