//! Processors of the host that this process may use (sched(7)).

#![expect(unsafe_code, reason = "system calls without a wrapper")]

use std::sync::OnceLock;

/// Those that the process may use; nothing if the kernel has more than fit in the C library's set. To be asked first before the
/// process is confined.
fn allowed() -> Option<&'static libc::cpu_set_t> {
    static ALLOWED: OnceLock<Option<libc::cpu_set_t>> = OnceLock::new();
    let allowed = ALLOWED.get_or_init(|| {
        // SAFETY: all zeros is a valid value: no processor.
        let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
        // SAFETY: the set is a variable of ours, of that size.
        let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
        (result == 0).then_some(set)
    });
    allowed.as_ref()
}

/// Whether there is only one: then nothing happens while a thread polls.
pub fn is_alone() -> bool {
    // SAFETY: the set is not changed any more.
    allowed().is_some_and(|set| unsafe { libc::CPU_COUNT(set) } == 1)
}

/// The one that the calling thread runs on.
pub fn current() -> Option<u32> {
    // SAFETY: has no conditions.
    u32::try_from(unsafe { libc::sched_getcpu() }).ok()
}

/// Has the calling thread run on any but this one, if there is another.
pub fn avoid(processor: u32) {
    let Some(mut set) = allowed().copied() else { return };
    // SAFETY: a variable of ours; the function checks the number.
    unsafe { libc::CPU_CLR(processor as usize, &mut set) };
    // It fails if none is left, or if these were taken from us meanwhile: the thread stays where it may run.
    // SAFETY: the set is a variable of ours, of that size.
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
