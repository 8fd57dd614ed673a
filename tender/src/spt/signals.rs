//! Signals of a process with a guest in it: those that the guest's own instructions raise, and those for the tender, with
//! handlers that need the tender's stack and thread pointer.

#![expect(unsafe_code, reason = "signal handlers and their stack")]

use crate::arch::AUDIT_ARCHITECTURE;
use crate::arch::spt::switch::{SIGNAL_STACK, SIGNALS, husk_spt_signal};
use crate::confine::Crew;
use crate::host::signals::{Duty, all, change_mask};
use crate::host::terminal;
use std::io;
use std::ptr::null_mut;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Signals raised by instructions, and SIGSYS for a system call that must not reach the kernel.
pub const RAISED: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS];

/// See sigaltstack(2).
const SS_AUTODISARM: libc::c_int = 1 << 31;
const SIGNALS_MAXIMUM: usize = 65;

/// Handlers of the tender, by signal; 0 for signals without one.
static HANDLERS: [AtomicUsize; SIGNALS_MAXIMUM] = [const { AtomicUsize::new(0) }; SIGNALS_MAXIMUM];

/// Usual signal mask of the thread that runs the guest, which is in force outside of handlers.
///
/// A handler is entered with all signals blocked: if several arrive at once, the guest stops for one of them, at its own
/// instruction and not in the handler of another. The tender unblocks signals when it is at work again, and blocks them before
/// it returns into a handler, so that the handler has ended when the next signal arrives.
#[derive(Debug)]
pub struct Mask(libc::sigset_t);

impl Mask {
    /// Blocks all signals, or restores the usual mask.
    pub fn set(&self, blocked: bool) {
        let (how, set) = if blocked { (libc::SIG_BLOCK, &all()) } else { (libc::SIG_SETMASK, &self.0) };
        // SAFETY: the set is a variable of ours.
        unsafe { libc::pthread_sigmask(how, set, null_mut()) };
    }
}

/// Installs handlers that stop a guest in this thread, for every signal that the tender handles or a guest can raise; the
/// signals that end a guest are left to a sentinel, which joins `crew`.
pub fn take(crew: &mut Crew) -> io::Result<Mask> {
    let (mut usual, duty) = take_all()?;
    for signal in RAISED {
        // A signal that is raised while it is blocked ends the process, and husk may have been started with it blocked.
        // SAFETY: a variable of ours, and a signal that exists.
        unsafe { libc::sigdelset(&mut usual, signal) };
    }
    crew.post_sentinel(duty);
    let mask = Mask(usual);
    mask.set(false);
    Ok(mask)
}

/// Installs all handlers, and returns with all signals blocked: the mask before, with the
/// sentinel's signals added, and the duty of the sentinel.
fn take_all() -> io::Result<(libc::sigset_t, Duty)> {
    let stack = libc::stack_t { ss_sp: SIGNALS.get().cast(), ss_flags: SS_AUTODISARM, ss_size: SIGNAL_STACK };
    // SAFETY: the stack is a static of that size, which nothing else uses.
    if unsafe { libc::sigaltstack(&stack, null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // No signal may arrive before its handler is known.
    let mut usual = change_mask(libc::SIG_BLOCK, &all());
    let duty = crate::host::signals::leave_to_sentinel(&mut usual)?;
    crate::host::signals::handled().chain(RAISED).try_for_each(take_one)?;
    Ok((usual, duty))
}

fn take_one(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: all zeros is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = &raw const husk_spt_signal as usize;
    action.sa_flags = libc::SA_ONSTACK | libc::SA_SIGINFO;
    action.sa_mask = all();
    // SAFETY: all zeros is a valid value.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the handler uses the signal stack and the tender's stack only as the head of `switch` describes.
    if unsafe { libc::sigaction(signal, &action, &mut before) } != 0 {
        return Err(io::Error::last_os_error());
    }
    match before.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN if RAISED.contains(&signal) => {}
        // The tender does not handle this signal.
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: restores the action that the call before returned.
            unsafe { libc::sigaction(signal, &before, null_mut()) };
        }
        handler => HANDLERS[signal as usize].store(handler, Relaxed),
    }
    Ok(())
}

/// Returns true if the system call that raised SIGSYS was made by the 64-bit ABI.
pub fn is_native(information: &libc::siginfo_t) -> bool {
    /// Offset of si_arch: behind signal, error and code, and the address and number of the call (sigaction(2)).
    const ARCHITECTURE: usize = 28;
    let start = std::ptr::from_ref(information).cast::<u8>();
    // SAFETY: the field lies inside the structure, and is aligned.
    let architecture = unsafe { start.wrapping_add(ARCHITECTURE).cast::<u32>().read() };
    architecture == AUDIT_ARCHITECTURE
}

/// Type of the tender's own handlers; those that take the signal alone ignore the rest.
type Handler = extern "C" fn(libc::c_int, *const libc::siginfo_t, *const libc::ucontext_t);

/// Handles a signal that did not stop the guest: calls the tender's own handler, or
/// applies the default for signals that end a process.
pub extern "C" fn forward(signal: libc::c_int, information: *const libc::siginfo_t, context: *const libc::ucontext_t) {
    match HANDLERS.get(signal as usize).map_or(0, |handler| handler.load(Relaxed)) {
        // SAFETY: the kernel passes a valid siginfo_t to every handler.
        0 => default(signal, unsafe { &*information }),
        // SAFETY: `take_one` found this handler installed.
        handler => unsafe { std::mem::transmute::<usize, Handler>(handler)(signal, information, context) },
    }
}

/// Applies the default of the signal, which is the end.
pub fn default(signal: libc::c_int, information: &libc::siginfo_t) {
    // An instruction that has raised a signal raises it again; a signal that was sent (sigaction(2), si_code) is not repeated.
    terminal::restore();
    if information.si_code <= 0 || signal == libc::SIGSYS {
        // SAFETY: no buffer is left to be flushed and no destructor to be run.
        unsafe { libc::_exit(128 + signal) };
    }
    // SAFETY: SIG_DFL is no handler.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}
