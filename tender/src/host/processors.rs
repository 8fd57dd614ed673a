//! Processors of the host that this process may use (sched(7)).

#![expect(unsafe_code, reason = "system calls without a wrapper")]

use std::sync::OnceLock;

/// Processors that the process may use; `None` if the kernel has more than fit in the C library's set. Must be called first
/// before the process is confined.
fn allowed() -> Option<&'static libc::cpu_set_t> {
    static ALLOWED: OnceLock<Option<libc::cpu_set_t>> = OnceLock::new();
    let allowed = ALLOWED.get_or_init(|| {
        // SAFETY: all zeros is a valid value: no processor.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the set is a local variable of that size.
        let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
        (result == 0).then_some(set)
    });
    allowed.as_ref()
}

/// Returns true if there is only one processor: then nothing else happens while a thread polls.
pub fn is_alone() -> bool {
    // SAFETY: the set does not change after it was initialised.
    allowed().is_some_and(|set| unsafe { libc::CPU_COUNT(set) } == 1)
}

/// Processor that the calling thread runs on.
pub fn current() -> Option<u32> {
    // SAFETY: sched_getcpu(3) takes no arguments and always returns.
    u32::try_from(unsafe { libc::sched_getcpu() }).ok()
}

/// Moves the calling thread to any processor but this one, if there is another.
pub fn avoid(processor: u32) {
    let Some(mut set) = allowed().copied() else { return };
    // SAFETY: the set is a local variable; CPU_CLR checks the number.
    unsafe { libc::CPU_CLR(processor as usize, &mut set) };
    // Fails if no processor is left, or if these were taken from the process since: then the thread stays where it may run.
    // SAFETY: the set is a local variable of that size.
    unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_thread_leaves_a_processor_if_there_is_another() {
        // The thread is this test's own.
        let before = current().expect("it runs somewhere");
        avoid(before);
        let after = current().expect("it runs somewhere");
        assert_eq!(before == after, is_alone());
    }
}
