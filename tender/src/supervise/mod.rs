//! `--status-file`: how a run ended, recorded by a process that its guest cannot reach.
//!
//! The guest chooses its exit status: a status of 124 or 125 looks as if its time had been up, or `husk` had failed. So `husk`
//! forks. The child is the tender, which runs the guest. The parent, called the supervisor, opens the file, waits for the
//! child, writes one [`Record`](record::Record) and exits as the child did. The tender has no descriptor of the file: it leaves
//! its knowledge of the end in a page that both processes share ([`testimony`]).
//!
//! The supervisor has the process number that the operator knows, and therefore passes signals on. A signal to the process
//! group reaches both processes; the tender ignores it, and takes the signals that the supervisor passes on under other numbers
//! ([`signals::forwarded`]). Signals that were ignored at the start stay ignored. A tender that does not end in time is ended
//! by SIGKILL, because a guest of spt may have taken it over and block all other signals. Each process ends with the other: the
//! kernel sends SIGKILL to the tender when the supervisor ends (PR_SET_PDEATHSIG).

#![expect(unsafe_code, reason = "a process is made, watched and signalled by system calls without a wrapper")]

mod file;
pub mod record;
pub mod testimony;

pub use file::open;

use crate::confine::privileges::{self, User};
use crate::confine::{Descriptors, Program, Role, calls, files};
use crate::error::Error;
use crate::host::signals;
use crate::host::time::{monotonic_ns, time_until};
use crate::say;
use husk_abi::fault::TENDER_ERROR;
use husk_abi::signals::{QUIT, STOP, bit};
use record::{Ended, Facts};
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsRawFd, RawFd};
use std::ptr::{self, null};

/// Longest delay of the tender's end after its deadline, in nanoseconds.
const MARGIN_NS: u64 = 1_000_000_000;

/// Runs `act` in a child process, and records in `file` how that ended, as `user` if there is one. The child
/// has `grace_s` seconds to end after the first signal of [`STOP`]. Returns, in the child, the result of `act`;
/// the calling process exits with the same status.
pub fn run(file: File, user: Option<User>, grace_s: u64, act: impl FnOnce() -> u8) -> Result<u8, Error> {
    privileges::check(user)?;
    testimony::prepare().map_err(Error::NoSupervisor)?;
    // Signals that arrive from now on wait for the supervisor to pass them on.
    let set = awaited();
    let before = signals::change_mask(libc::SIG_BLOCK, &set);
    // A parent that ignores SIGCHLD gets no signal at its children's ends.
    // SAFETY: SIG_DFL is no handler.
    unsafe { libc::signal(libc::SIGCHLD, libc::SIG_DFL) };
    let supervisor = std::process::id() as libc::pid_t;
    // SAFETY: this process has one thread.
    match unsafe { libc::fork() } {
        -1 => Err(Error::NoSupervisor(io::Error::last_os_error())),
        0 => {
            drop(file);
            let mask = signals::take_from(supervisor, before);
            privileges::let_kill(user)?;
            tie()?;
            signals::change_mask(libc::SIG_SETMASK, &mask);
            Ok(act())
        }
        tender => supervise(tender, file, user, &set, grace_s),
    }
}

/// Has the kernel end this process with its supervisor, if there is one. A change of
/// identity clears that: then this is called again.
pub fn tie() -> Result<(), Error> {
    let Some(supervisor) = signals::sender() else { return Ok(()) };
    match privileges::end_with(supervisor) {
        true => Ok(()),
        false => Err(Error::NoSupervisor(io::ErrorKind::NotFound.into())),
    }
}

/// Waits for the end of the tender, and passes on the signals of `set`; records how the tender has ended, and exits.
fn supervise(tender: libc::pid_t, mut file: File, user: Option<User>, set: &libc::sigset_t, grace_s: u64) -> ! {
    // The child has not been waited for, so that no other process has its number.
    // SAFETY: the arguments are numbers.
    let handle = unsafe { libc::syscall(libc::SYS_pidfd_open, tender, 0) } as RawFd;
    let ready = match handle {
        -1 => Err(Error::NoSupervisor(io::Error::last_os_error())),
        _ => confine(&file, handle, user),
    };
    if let Err(error) = ready {
        say!("husk: {error}");
        // Ends the tender, too (PR_SET_PDEATHSIG).
        exit(TENDER_ERROR);
    }
    let (ended, asked) = wait(tender, handle, set, grace_s.saturating_mul(1_000_000_000));
    let record = Facts { ended, asked, ended_ns: monotonic_ns(), testimony: testimony::read() }.record();
    let status = record.status;
    match file.write_all(format!("{record}\n").as_bytes()) {
        Ok(()) => exit(status),
        Err(error) => {
            say!("husk: the status file cannot be written: {error}");
            exit(TENDER_ERROR)
        }
    }
}

/// Gives up everything but the file, the tender's pidfd and standard error.
fn confine(file: &File, handle: RawFd, user: Option<User>) -> Result<(), Error> {
    // Readers of the guest's output see its end when the tender ends.
    for stream in [libc::STDIN_FILENO, libc::STDOUT_FILENO] {
        // SAFETY: nothing in this process uses them any more.
        unsafe { libc::close(stream) };
    }
    files::close_inherited(vec![file.as_raw_fd(), handle]);
    privileges::drop(user)?;
    let mut descriptors = Descriptors::default();
    descriptors.add(Role::Tender, &handle);
    descriptors.add(Role::Status, file);
    Program::new(&[&calls::MEMORY, &calls::SUPERVISOR], &[], &descriptors).enter()?;
    Ok(())
}

/// Waits for the end of the tender, and passes on the signals of `set` that arrive. Returns these signals, too. Ends a tender
/// that has not ended within `grace_ns` of the first signal of [`STOP`], or at the second.
fn wait(tender: libc::pid_t, handle: RawFd, set: &libc::sigset_t, grace_ns: u64) -> (Ended, u64) {
    let mut asked = 0;
    // Deadline of the tender, the signal that set it, and true after the tender was killed for missing it.
    let (mut until_ns, mut stopped_by, mut is_killed) = (u64::MAX, 0, false);
    loop {
        let left = time_until(until_ns);
        let left = left.as_ref().map_or(null(), ptr::from_ref);
        // The kernel's set has a bit for each of 64 signals.
        const SET_SIZE: usize = 8;
        // SAFETY: the set is a variable, longer than the kernel reads; siginfo_t is not asked for.
        let signal =
            unsafe { libc::syscall(libc::SYS_rt_sigtimedwait, ptr::from_ref(set), null::<u8>(), left, SET_SIZE) }
                as libc::c_int;
        match signal {
            libc::SIGCHLD => {
                let mut status = 0;
                // SAFETY: the status is a variable of ours.
                let ended = unsafe { libc::syscall(libc::SYS_wait4, tender, &raw mut status, libc::WNOHANG, 0) };
                if ended as libc::pid_t == tender {
                    // Status of a tender that has ended its guest itself.
                    let ended = if is_killed { Ended::Exit(128 + stopped_by) } else { Ended::of(status) };
                    return (ended, asked);
                }
            }
            1.. => {
                asked |= bit(signal as u32);
                // SAFETY: the arguments are numbers; the pidfd refers to the tender.
                unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle, signals::forwarded(signal), 0, 0) };
                if STOP.contains(&(signal as u32)) {
                    let grace_ns = if stopped_by == 0 { grace_ns } else { 0 };
                    until_ns = until_ns.min(monotonic_ns().saturating_add(grace_ns).saturating_add(MARGIN_NS));
                    stopped_by = signal as u8;
                }
            }
            _ if monotonic_ns() >= until_ns => {
                // SAFETY: the arguments are numbers; the pidfd refers to the tender.
                let sent = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, handle, libc::SIGKILL, 0, 0) };
                is_killed |= sent == 0;
                // Once more, if the tender still exists.
                until_ns = monotonic_ns().saturating_add(MARGIN_NS);
            }
            _ => {}
        }
    }
}

/// Signals that the supervisor waits for: all but those by which a terminal or the kernel stops it, or reports a fault of its
/// own, and those that are ignored, because a signal that is blocked and ignored would arrive here all the same. SIGCHLD, the
/// end of the tender, always counts; so does SIGQUIT, which a shell has background jobs ignore, but which ends nothing here.
fn awaited() -> libc::sigset_t {
    const KEPT: [libc::c_int; 10] = [
        libc::SIGTSTP,
        libc::SIGTTIN,
        libc::SIGTTOU,
        libc::SIGCONT,
        libc::SIGSEGV,
        libc::SIGBUS,
        libc::SIGILL,
        libc::SIGFPE,
        libc::SIGTRAP,
        libc::SIGSYS,
    ];
    let mut set = signals::all();
    for signal in KEPT {
        // SAFETY: a variable of ours, and a signal that exists.
        unsafe { libc::sigdelset(&mut set, signal) };
    }
    const SIGNALS: libc::c_int = 64;
    for signal in (1..=SIGNALS).filter(|signal| ![libc::SIGCHLD, QUIT as libc::c_int].contains(signal)) {
        // SAFETY: all zeros is a valid value.
        let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
        // SAFETY: a variable of ours; for a signal that the C library keeps, it stays as it is.
        unsafe { libc::sigaction(signal, null(), &mut action) };
        if action.sa_sigaction == libc::SIG_IGN {
            // SAFETY: a variable of ours, and a signal that exists.
            unsafe { libc::sigdelset(&mut set, signal) };
        }
    }
    set
}

fn exit(status: u8) -> ! {
    // SAFETY: no buffer is left to be flushed and no destructor to be run.
    unsafe { libc::_exit(status.into()) }
}
