//! The cost of threads, locks, channels and runtimes, in a guest and as a process, both on one and the same processor.
//!
//! The same program runs in a guest and as a process, in turn, once for each of its own figures, whose medians are printed.
//! Where threads wait for each other in turn, as with crossbeam's channel, a figure depends on whom the kernel lets run
//! first, and Linux's own differs by two from run to run: so there are many rounds, and the spread of the ratios stands
//! beside them.
//! `cargo bench -p husk-tests --bench scheduler [-- ROUNDS]`

#![expect(unsafe_code, reason = "keeps to one processor")]

use husk_tests::{figures, measure};

/// Keeps this process, and all that it starts, to the first processor that it may use.
fn keep_to_one_processor() {
    // SAFETY: all zeros is an empty set.
    let (mut allowed, mut one) = unsafe { std::mem::zeroed::<(libc::cpu_set_t, libc::cpu_set_t)>() };
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: the set is a variable of that size.
    assert_eq!(unsafe { libc::sched_getaffinity(0, size, &mut allowed) }, 0);
    // SAFETY: the numbers are below the set's size.
    let first = (0..libc::CPU_SETSIZE as usize).find(|number| unsafe { libc::CPU_ISSET(*number, &allowed) });
    // SAFETY: as above.
    unsafe { libc::CPU_SET(first.expect("a processor"), &mut one) };
    // SAFETY: as above.
    assert_eq!(unsafe { libc::sched_setaffinity(0, size, &one) }, 0);
}

fn main() {
    let [image, native] = figures::built("scheduler", "scheduler");
    keep_to_one_processor();
    figures::compare_each([image, native], "ns a step", measure::rounds(21));
}
