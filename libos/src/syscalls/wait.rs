//! Calls that make pipes and event counters, and that wait until files are ready.

use super::Arguments;
use super::files::{descriptor, done, now};
use crate::answer::{Answer, On, Sleep, Stop, Then};
use crate::clock;
use crate::errno::Errno;
use crate::fs::layout::PollEntry;
use crate::fs::poll::Ready;
use crate::libos::Libos;
use crate::user::{self, Slice};
use linux_raw_sys::general::*;

/// pipe2(2).
pub fn pipe2(libos: &mut Libos, Arguments([into, flags, ..]): Arguments) -> Answer {
    Slice::new(into, 8).check()?;
    let (reader, writer) = libos.files.pipe(flags as u32, now())?;
    done(user::write(into, &[reader, writer]))
}

/// pipe(2).
pub fn pipe(libos: &mut Libos, Arguments([into, ..]): Arguments) -> Answer {
    pipe2(libos, Arguments([into, 0, 0, 0, 0, 0]))
}

/// eventfd2(2).
pub fn eventfd2(libos: &mut Libos, Arguments([count, flags, ..]): Arguments) -> Answer {
    descriptor(libos.files.event(count as u32, flags as u32, now()))
}

/// eventfd(2).
pub fn eventfd(libos: &mut Libos, Arguments([count, ..]): Arguments) -> Answer {
    eventfd2(libos, Arguments([count, 0, 0, 0, 0, 0]))
}

/// What a descriptor is ready for, of what is asked and of what is told in any case.
fn readiness(libos: &Libos, file: i32, asked: Ready) -> Result<Ready, Errno> {
    let always = Ready::ERROR | Ready::HANG_UP;
    let ready = libos.files.readiness(file)?.unwrap_or(Ready::empty());
    Ok(ready & (asked | always))
}

/// Most entries of one poll(2).
const ENTRIES_MAXIMUM: u64 = 1 << 20;

/// poll(2).
pub fn poll(libos: &mut Libos, Arguments([entries, count, timeout_ms, ..]): Arguments) -> Answer {
    let timeout_ns = u64::try_from(timeout_ms as i32).ok().map(|ms| ms * 1_000_000);
    poll_for(libos, entries, count, timeout_ns)
}

/// ppoll(2). The signal mask that it brings is not used: the thread's own stays.
pub fn ppoll(libos: &mut Libos, Arguments([entries, count, timeout, ..]): Arguments) -> Answer {
    let timeout_ns = timeout_at(timeout)?;
    poll_for(libos, entries, count, timeout_ns)
}

/// The `struct timespec` at `address`, if there is one, in nanoseconds.
fn timeout_at(address: u64) -> Result<Option<u64>, Errno> {
    if address == 0 { Ok(None) } else { clock::from_timespec(user::read(address)?).map(Some) }
}

fn poll_for(libos: &mut Libos, entries: u64, count: u64, timeout_ns: Option<u64>) -> Answer {
    if count > ENTRIES_MAXIMUM {
        return Err(Errno::EINVAL.into());
    }
    let mut found = 0;
    for address in (entries..).step_by(size_of::<PollEntry>()).take(count as usize) {
        let entry: PollEntry = user::read(address)?;
        let returned = match readiness(libos, entry.descriptor, Ready::from_bits_retain(entry.events.into())) {
            _ if entry.descriptor < 0 => 0,
            Ok(ready) => ready.bits() as u16,
            Err(_) => POLLNVAL as u16,
        };
        found += u64::from(returned != 0);
        user::write(address, &PollEntry { returned, ..entry })?;
    }
    if found > 0 || timeout_ns == Some(0) {
        return Ok(found);
    }
    let deadline = timeout_ns.map(|ns| libos.threads.deadline_in(ns));
    Err(Stop::Sleep(Sleep { on: On::Files, deadline, woken: Then::Again, expired: Then::Return(0) }))
}

/// Descriptors that select(2) can tell of.
const SET_BITS: u64 = 1024;
/// Bits in a word of a set.
const WORD_BITS: u64 = 64;

/// select(2).
pub fn select(libos: &mut Libos, Arguments([count, read, write, except, timeout, _]): Arguments) -> Answer {
    let timeout_ns = match timeout {
        0 => None,
        address => {
            let [seconds, microseconds]: [u64; 2] = user::read(address)?;
            Some(seconds.saturating_mul(clock::SECOND).saturating_add(microseconds.saturating_mul(1000)))
        }
    };
    select_for(libos, count, [read, write, except], timeout_ns)
}

/// pselect6(2).
pub fn pselect6(libos: &mut Libos, Arguments([count, read, write, except, timeout, _]): Arguments) -> Answer {
    let timeout_ns = timeout_at(timeout)?;
    select_for(libos, count, [read, write, except], timeout_ns)
}

fn select_for(libos: &mut Libos, count: u64, sets: [u64; 3], timeout_ns: Option<u64>) -> Answer {
    if count as i32 > SET_BITS as i32 || (count as i32) < 0 {
        return Err(Errno::EINVAL.into());
    }
    // A set's file is ready for one of these.
    let kinds = [Ready::IN | Ready::HANG_UP | Ready::ERROR, Ready::OUT | Ready::ERROR, Ready::empty()];
    let words = count.div_ceil(WORD_BITS);
    let mut found = 0;
    let mut told = [[0u64; (SET_BITS / WORD_BITS) as usize]; 3];
    for ((set, kind), told) in sets.into_iter().zip(kinds).zip(&mut told) {
        for (word, told) in (0..words).zip(told).filter(|_| set != 0) {
            let asked: u64 = user::read(set.wrapping_add(word * 8))?;
            for bit in (0..WORD_BITS).filter(|bit| asked >> bit & 1 != 0 && word * WORD_BITS + bit < count) {
                let ready = readiness(libos, (word * WORD_BITS + bit) as i32, kind)?;
                if ready.intersects(kind) {
                    *told |= 1 << bit;
                    found += 1;
                }
            }
        }
    }
    // The sets are written only at the end, so the call is made again when its time is over, too.
    let deadline = timeout_ns.map(|ns| libos.threads.deadline_in(ns));
    if found == 0 && deadline.is_none_or(|deadline| husk::clock::monotonic_ns() < deadline) {
        return Err(Stop::Sleep(Sleep { on: On::Files, deadline, woken: Then::Again, expired: Then::Again }));
    }
    for (set, told) in sets.into_iter().zip(told).filter(|(set, _)| *set != 0) {
        for (word, told) in (0..words).zip(told) {
            user::write(set.wrapping_add(word * 8), &told)?;
        }
    }
    Ok(found)
}
