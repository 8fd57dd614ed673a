//! Calls that wait until files are ready: poll(2) and select(2); see [`super::epoll`] for the third.
//!
//! Such a call checks its files, and if none is ready, sleeps until a file has changed, its timeout is over, or a timer of the
//! program expires; then it is restarted and checks again.

use super::Arguments;
use crate::clock;
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::device::Devices;
use crate::fs::layout::PollEntry;
use crate::fs::ready::Ready;
use crate::signals::UNSTOPPABLE;
use crate::state::Libos;
use crate::syscall_result::{Stop, SyscallResult, WaitFor};
use crate::user;
use linux_raw_sys::general::*;

/// Result of a check: number of ready files, and the event to sleep for if there is none.
pub type Looked = Result<(u64, WaitFor), Errno>;

/// Returns the number of files that `look` finds ready; waits for the first up to `timeout_ns`, or without limit if that is
/// `None`.
pub fn wait_until(
    libos: &mut Libos,
    timeout_ns: Option<u64>,
    look: impl FnOnce(&mut Files, &mut dyn Devices) -> Looked,
) -> SyscallResult {
    if libos.net.has_device() {
        libos.poll_network();
    }
    let (found, on) = libos.change(|files, outside| {
        if files.next_alarm().is_some() {
            files.ring(outside.services.monotonic_ns());
        }
        look(files, &mut outside.services)
    })?;
    if found > 0 || timeout_ns == Some(0) {
        return Ok(found);
    }
    let deadline = timeout_ns.map(|ns| libos.threads.deadline_in(ns));
    if deadline.is_some_and(|deadline| husk::clock::monotonic_ns() >= deadline) {
        return Ok(0);
    }
    let deadline = deadline.into_iter().chain(libos.files.next_alarm()).min();
    Err(Stop::until(on, deadline))
}

/// Makes `call` with the signal mask of `size` bytes at the address `mask`, if there is one, until it returns a result.
pub fn with_mask(
    libos: &mut Libos,
    mask: u64,
    size: u64,
    call: impl FnOnce(&mut Libos) -> SyscallResult,
) -> SyscallResult {
    if mask == 0 {
        return call(libos);
    }
    if size != size_of::<u64>() as u64 {
        return Err(Errno::EINVAL.into());
    }
    let mask = user::read::<u64>(mask)? & !UNSTOPPABLE;
    if libos.threads.current().blocked_after.is_none() {
        libos.signals.suspend(&mut libos.threads, mask);
    }
    let answer = call(libos);
    let thread = libos.threads.current();
    match answer {
        // The mask stays until the signal's handler has been called.
        Err(Stop::Block(_)) if thread.next_signal().is_some() => Err(Errno::EINTR.into()),
        Err(Stop::Block(_)) => answer,
        _ => {
            thread.blocked = thread.blocked_after.take().unwrap_or(thread.blocked);
            answer
        }
    }
}

/// Converts a timeout from milliseconds to nanoseconds; `None` if it is negative.
pub fn timeout_ms(timeout_ms: u64) -> Option<u64> {
    u64::try_from(timeout_ms as i32).ok().map(|ms| ms * 1_000_000)
}

/// Reads the `struct timespec` at `address`, in nanoseconds; `None` if the address is null.
pub fn timeout_at(address: u64) -> Result<Option<u64>, Errno> {
    if address == 0 { Ok(None) } else { clock::from_timespec(user::read(address)?).map(Some) }
}

/// poll(2).
pub fn poll(libos: &mut Libos, Arguments([entries, count, timeout, ..]): Arguments) -> SyscallResult {
    wait_until(libos, timeout_ms(timeout), |files, devices| look_at_entries(files, devices, entries, count))
}

/// ppoll(2).
pub fn ppoll(libos: &mut Libos, Arguments([entries, count, timeout, mask, size, _]): Arguments) -> SyscallResult {
    let timeout_ns = timeout_at(timeout)?;
    with_mask(libos, mask, size, |libos| {
        wait_until(libos, timeout_ns, |files, devices| look_at_entries(files, devices, entries, count))
    })
}

fn look_at_entries(files: &mut Files, devices: &mut dyn Devices, entries: u64, count: u64) -> Looked {
    if count > files.descriptors.limit {
        return Err(Errno::EINVAL);
    }
    let (mut found, mut on) = (0, WaitFor::Time);
    for address in user::entries(entries, size_of::<PollEntry>() as u64, count) {
        let entry: PollEntry = user::read(address)?;
        let mut returned = Ready::empty();
        if entry.descriptor >= 0 {
            let asked = Ready::from_bits_retain(entry.events.into()) | Ready::ALWAYS;
            let ready = files.readiness(devices, entry.descriptor, asked);
            returned = ready.unwrap_or(Ready::from_bits_retain(POLLNVAL));
            on = match (on, files.node(entry.descriptor)) {
                (WaitFor::Time, Ok(node)) => WaitFor::File(node.index()),
                _ => WaitFor::Files,
            };
        }
        found += u64::from(!returned.is_empty());
        user::write(address, &PollEntry { returned: returned.bits() as u16, ..entry })?;
    }
    Ok((found, on))
}

/// Descriptors that a set of select(2) can hold.
const SET_BITS: u64 = 1024;
/// Bits in a word of a set.
const WORD_BITS: u64 = 64;

/// Set of descriptors, in words.
type Set = [u64; (SET_BITS / WORD_BITS) as usize];

/// select(2).
pub fn select(libos: &mut Libos, Arguments([count, read, write, except, timeout, _]): Arguments) -> SyscallResult {
    let timeout_ns = match timeout {
        0 => None,
        address => {
            let [seconds, microseconds]: [u64; 2] = user::read(address)?;
            Some(seconds.saturating_mul(clock::SECOND).saturating_add(microseconds.saturating_mul(1000)))
        }
    };
    select_for(libos, count, [read, write, except], timeout_ns)
}

/// pselect6(2). The last argument is the address of two words: the mask's address and its size.
pub fn pselect6(libos: &mut Libos, Arguments([count, read, write, except, timeout, mask]): Arguments) -> SyscallResult {
    let timeout_ns = timeout_at(timeout)?;
    let [mask, size]: [u64; 2] = if mask == 0 { [0; 2] } else { user::read(mask)? };
    with_mask(libos, mask, size, |libos| select_for(libos, count, [read, write, except], timeout_ns))
}

fn select_for(libos: &mut Libos, count: u64, sets: [u64; 3], timeout_ns: Option<u64>) -> SyscallResult {
    if count as i32 > SET_BITS as i32 || (count as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    let words = count.div_ceil(WORD_BITS);
    let mut told = [Set::default(); 3];
    let found = wait_until(libos, timeout_ns, |files, devices| look_at_sets(files, devices, count, sets, &mut told))?;
    for (set, told) in sets.into_iter().zip(told).filter(|(set, _)| *set != 0) {
        for (word, told) in (0..words).zip(told) {
            user::write(set.wrapping_add(word * 8), &told)?;
        }
    }
    Ok(found)
}

fn look_at_sets(
    files: &mut Files,
    devices: &mut dyn Devices,
    count: u64,
    sets: [u64; 3],
    told: &mut [Set; 3],
) -> Looked {
    // Events that select(2) reports in each of its sets.
    let kinds = [Ready::IN | Ready::HANG_UP | Ready::ERROR, Ready::OUT | Ready::ERROR, Ready::empty()];
    let mut found = 0;
    for ((set, kind), told) in sets.into_iter().zip(kinds).zip(told) {
        for (word, told) in (0..count.div_ceil(WORD_BITS)).zip(told).filter(|_| set != 0) {
            let asked: u64 = user::read(set.wrapping_add(word * 8))?;
            for bit in (0..WORD_BITS).filter(|bit| asked >> bit & 1 != 0 && word * WORD_BITS + bit < count) {
                let ready = files.readiness(devices, (word * WORD_BITS + bit) as i32, kind)?;
                if !ready.is_empty() {
                    *told |= 1 << bit;
                    found += 1;
                }
            }
        }
    }
    Ok((found, WaitFor::Files))
}
