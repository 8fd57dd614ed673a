//! A thread that ends the process at SIGINT or SIGTERM, whatever a guest has done to the tender.
//!
//! A guest that owns the process can block signals in its own thread, and change the memory that handlers use. The
//! sentinel uses no writable memory: its state is in registers, which a signal frame alone would expose, and it blocks
//! every signal. Its code and constants are in executable pages, and nothing in this process can bring other code to
//! that place: no call makes memory executable or moves it (`confine::calls`); removing the page causes a fault, which ends
//! the process too.
//!
//! The code is in `arch::sentinel`.
//!
//! The two signals have their default disposition, no call changes that, and the processor's thread blocks them. So the kernel
//! leaves them to the sentinel, which waits for them (rt_sigtimedwait(2)) and passes them on to the processor's thread under
//! other names ([`signals::STAND_INS`]). If the process has not ended a second after the time of grace, or after a second
//! signal, the sentinel ends it. A guest that unblocks them ends at once, by the default, unless husk is process 1 of a PID
//! namespace, where the kernel drops a signal that is neither handled nor blocked.
//!
//! All threads share a filter, which they enter at once (SECCOMP_FILTER_FLAG_TSYNC): so the sentinel need not run before the
//! guest does, and costs a start little. A thread of the guest's must not take its signals, though. The filter lets
//! rt_sigtimedwait(2) through with 64 random bits in the two registers that it does not use; they are in the sentinel's
//! registers alone, and a wrong guess ends the process.
//!
//! The thread of the devices cannot do this, because it reads memory of the guest's, and has a stack.

#![expect(unsafe_code, reason = "a thread without a stack is made by assembler")]

use super::error::Error;
use super::filter::Program;
use crate::arch::sentinel::{Start, husk_sentinel_sets, husk_sentinel_start};
use crate::host::entropy::NoEntropy;
use crate::host::signals::{self, Duty};
use std::io;
use std::ptr::null_mut;

/// Most seconds by which the process may miss its deadline.
const MARGIN_S: u64 = 1;

/// Steps of a start: a random number, the thread, the filter.
const STEPS: [fn(io::Error) -> Error; 3] =
    [|error| Error::NoEntropy(NoEntropy(error)), Error::NoThread, Error::NotConfined];

/// Starts the sentinel, and confines all threads to `program`. The calling thread is the one that is to run the guest.
pub fn start(mut program: Program, duty: Duty) -> Result<(), Error> {
    let [Some(low), Some(high)] = [4, 5].map(|argument| program.secret(argument).map(|word| &raw mut *word)) else {
        return Err(Error::NotConfined(io::ErrorKind::InvalidInput.into()));
    };
    if !can_wait() {
        return Err(Error::NoSignals(io::Error::last_os_error()));
    }
    let header = program.header();
    let mut start = Start {
        program: &raw const header,
        secret: [low, high],
        set: (&raw const husk_sentinel_sets).cast::<u64>().wrapping_add(duty.signals),
        seconds: duty.grace_s.saturating_add(MARGIN_S),
        process: std::process::id().into(),
        // SAFETY: gettid(2) has no preconditions.
        processor: unsafe { libc::gettid() } as u64,
        stopped_by: duty.stopped_by as u64,
        step: 0,
    };
    // The sentinel inherits this mask, and in this thread a handler's frame would expose the secret.
    let before = signals::change_mask(libc::SIG_SETMASK, &signals::all());
    // SAFETY: the thread reads nothing of `start` once it runs; the program is as long as its header says.
    let result = unsafe { husk_sentinel_start(&mut start) };
    signals::change_mask(libc::SIG_SETMASK, &before);
    match result {
        0 => Ok(()),
        // The id of a thread that is in another filter.
        1.. => Err(Error::NotConfined(io::ErrorKind::ResourceBusy.into())),
        error => Err(STEPS[start.step as usize % STEPS.len()](io::Error::from_raw_os_error(-error as i32))),
    }
}

/// Returns true if this host lets a thread wait for signals.
fn can_wait() -> bool {
    let (none, now) = (0_u64, libc::timespec { tv_sec: 0, tv_nsec: 0 });
    // SAFETY: both are local variables, and the set has the eight bytes that the last argument states.
    let answer =
        unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, &raw const none, null_mut::<u8>(), &raw const now, 8) };
    answer == -1 && io::Error::last_os_error().raw_os_error() == Some(libc::EAGAIN)
}
