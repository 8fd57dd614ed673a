//! A process beside one with a guest in it: it ends both when the guest takes more processor time than `--cpu-limit`.
//!
//! The tender holds a guest to its share by a signal, which a guest that has taken the tender over can block. So the clock
//! of the tender's processor time is read from outside, once a second, by a process that was forked before the guest was
//! mapped, has nothing but that clock and a pidfd(2), and makes six system calls. Each of the two ends with the other: the
//! kernel sends SIGKILL to the tender when the watchdog ends (the termination signal of clone(2)), and to the watchdog when
//! the tender does (PR_SET_PDEATHSIG).
//!
//! A guest that the tender holds never comes near the limit here, which is `SLACK_NS` more, and one processor more for devices,
//! because their thread is not held, and data from peers must not end a guest.

#![expect(unsafe_code, reason = "a process is made, and lives, by system calls without a wrapper")]

use crate::confine::privileges::{self, User};
use crate::confine::{Descriptors, Error, Program, Role, calls};
use crate::host::signals;
use crate::host::streams;
use crate::limits::cpu_quota::{CpuQuota, left};
use crate::supervise::testimony;
use std::io;
use std::os::fd::RawFd;

/// Processor time that may be used beyond the share before the watchdog acts, in nanoseconds.
const SLACK_NS: i64 = 1_000_000_000;
/// Time between two looks, in milliseconds.
const LOOK_MS: libc::c_int = 1000;

/// Starts the watchdog of this process, which has one thread, for a guest with the limit `share`. The watchdog changes its
/// identity to that of `user`, as the tender will.
pub fn start(share: CpuQuota, has_devices: bool, user: Option<User>) -> io::Result<()> {
    let share = if has_devices { share.and_a_processor() } else { share };
    let tender = std::process::id() as libc::pid_t;
    // SAFETY: the arguments are numbers.
    let file = unsafe { libc::syscall(libc::SYS_pidfd_open, tender, 0) };
    if file < 0 {
        return Err(io::Error::last_os_error());
    }
    // SAFETY: makes a copy of this process, which has no other thread; the kernel sends this one SIGKILL when the copy ends.
    let result = match unsafe { libc::syscall(libc::SYS_clone, libc::SIGKILL, 0, 0, 0, 0) } {
        -1 => Err(io::Error::last_os_error()),
        0 => {
            let _ = confine(tender, file as RawFd, user);
            watch(tender, file as RawFd, share)
        }
        _ => Ok(()),
    };
    // SAFETY: the call above opened the file; the watchdog has its own descriptor.
    unsafe { libc::close(file as RawFd) };
    result
}

/// Gives up everything but the pidfd and standard error. If that fails, ends this process, and so the tender.
fn confine(tender: libc::pid_t, file: RawFd, user: Option<User>) -> Result<(), Error> {
    // Signals that a terminal sends to the process group are for the tender.
    signals::change_mask(libc::SIG_SETMASK, &signals::all());
    // SAFETY: the name is a constant.
    unsafe { libc::prctl(libc::PR_SET_NAME, c"husk-watchdog".as_ptr()) };
    let kept = [libc::STDERR_FILENO, file];
    for (first, last) in [(0, kept[0] - 1), (kept[0] + 1, kept[1] - 1), (kept[1] + 1, RawFd::MAX)] {
        if first <= last {
            // SAFETY: no code in this process uses these descriptors any more.
            unsafe { libc::syscall(libc::SYS_close_range, first, last, 0) };
        }
    }
    let mut descriptors = Descriptors::default();
    descriptors.add(Role::Tender, &file);
    let dropped = privileges::drop(user);
    // After the change of identity, which clears PR_SET_PDEATHSIG.
    if !privileges::end_with(tender) {
        // The tender has ended meanwhile.
        end();
    }
    let confined = dropped.and_then(|()| Program::new(&[&calls::WATCHDOG], &[], &descriptors).enter());
    if let Err(error) = &confined {
        crate::say!("husk: {error}");
        end();
    }
    confined
}

/// Watches until the tender has ended, or must be ended.
fn watch(tender: libc::pid_t, file: RawFd, share: CpuQuota) -> ! {
    const LINE: &[u8] =
        b"husk: the guest took more processor time than --cpu-limit, and could not be held: it has been ended\n";
    let (mut at_ns, mut used_ns, mut left_ns) = (clock_ns(libc::CLOCK_MONOTONIC), used_ns(tender), 0);
    loop {
        let mut ended = libc::pollfd { fd: file, events: libc::POLLIN, revents: 0 };
        // SAFETY: one entry of our own.
        unsafe { libc::syscall(libc::SYS_poll, &raw mut ended, 1, LOOK_MS) };
        if ended.revents != 0 {
            end();
        }
        let (now_ns, used_now_ns) = (clock_ns(libc::CLOCK_MONOTONIC), self::used_ns(tender));
        left_ns = left(left_ns, now_ns.saturating_sub(at_ns), used_now_ns.saturating_sub(used_ns), share);
        (at_ns, used_ns) = (now_ns, used_now_ns);
        if left_ns < -SLACK_NS {
            testimony::exceed();
            // The guest may have filled standard error: the write does not wait for room.
            streams::write_at_once(LINE);
            // SAFETY: the arguments are numbers; the pidfd refers to the tender, and to no process that gets its number later.
            unsafe { libc::syscall(libc::SYS_pidfd_send_signal, file, libc::SIGKILL, 0, 0) };
        }
    }
}

fn end() -> ! {
    // SAFETY: no buffer is left to be flushed and no destructor to be run.
    unsafe { libc::syscall(libc::SYS_exit_group, 0) };
    unreachable!("the process has ended")
}

/// Processor time of a process.
fn used_ns(process: libc::pid_t) -> u64 {
    /// CPUCLOCK_SCHED (linux/posix-timers.h): as clock_getcpuclockid(3) does it.
    const SCHEDULED: libc::clockid_t = 2;
    clock_ns(!process << 3 | SCHEDULED)
}

fn clock_ns(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // Not through the C library, because its way through the vDSO ends in a system call from there.
    // SAFETY: `time` is ours to fill. A process that has ended has no clock, and is not looked at again.
    unsafe { libc::syscall(libc::SYS_clock_gettime, clock, &raw mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}
