//! Signals of a process that has a guest in it: those that the guest's own instructions raise, and those for the tender,
//! whose handlers must find the tender's stack and thread pointer.

#![expect(unsafe_code, reason = "signal handlers and their stack")]

use super::switch::{SIGNAL_STACK, SIGNALS, husk_spt_signal};
use crate::confine::Crew;
use crate::signals::{Duty, all, change_mask};
use std::io;
use std::ptr::null_mut;
use std::sync::atomic::AtomicUsize;
use std::sync::atomic::Ordering::Relaxed;

/// Raised by instructions, and SIGSYS for a system call that is not to reach the kernel.
pub const RAISED: [libc::c_int; 6] =
    [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE, libc::SIGTRAP, libc::SIGSYS];

/// See sigaltstack(2).
const SS_AUTODISARM: libc::c_int = 1 << 31;
const SIGNALS_MAXIMUM: usize = 65;

/// The tender's own handlers, by signal; 0 for those that have none.
static HANDLERS: [AtomicUsize; SIGNALS_MAXIMUM] = [const { AtomicUsize::new(0) }; SIGNALS_MAXIMUM];

/// The signals of the thread that runs the guest, which a handler's end lets through again.
///
/// A handler is entered with all of them blocked: of several that arrive at once, the guest stops for one, where it is, and
/// not in the handler of another. The tender opens them when it is at work again, and blocks them before it goes back into
/// a handler, so that this is over when the next one arrives.
#[derive(Debug)]
pub struct Mask(libc::sigset_t);

impl Mask {
    /// Blocks all, or lets through what is usual.
    pub fn set(&self, blocked: bool) {
        let (how, set) = if blocked { (libc::SIG_BLOCK, &all()) } else { (libc::SIG_SETMASK, &self.0) };
        // SAFETY: the set is a variable.
        unsafe { libc::pthread_sigmask(how, set, null_mut()) };
    }
}

/// Has every signal that the tender handles, and every one that a guest can raise, stop a guest that runs in this thread; those
/// that end a guest are left to a sentinel, which joins `crew`.
pub fn take(crew: &mut Crew) -> io::Result<Mask> {
    let (mut usual, duty) = take_all()?;
    for signal in RAISED {
        // One that is raised while it is blocked ends the process, and who started us may have blocked it.
        // SAFETY: a variable of ours, and a signal that exists.
        unsafe { libc::sigdelset(&mut usual, signal) };
    }
    crew.post_sentinel(duty);
    let mask = Mask(usual);
    mask.set(false);
    Ok(mask)
}

/// Has all signals handled as they must be, and returns with all of them blocked: the mask before, and what is left to a
/// sentinel, whose signals are in that mask.
fn take_all() -> io::Result<(libc::sigset_t, Duty)> {
    let stack = libc::stack_t { ss_sp: SIGNALS.get().cast(), ss_flags: SS_AUTODISARM, ss_size: SIGNAL_STACK };
    // SAFETY: the stack is a static of that size, which nothing else uses.
    if unsafe { libc::sigaltstack(&stack, null_mut()) } != 0 {
        return Err(io::Error::last_os_error());
    }
    // None may arrive while its handler is not known.
    let mut usual = change_mask(libc::SIG_BLOCK, &all());
    let duty = crate::signals::leave_to_sentinel(&mut usual)?;
    crate::signals::handled().chain(RAISED).try_for_each(take_one)?;
    Ok((usual, duty))
}

fn take_one(signal: libc::c_int) -> io::Result<()> {
    // SAFETY: all zeros is a valid value.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    action.sa_sigaction = &raw const husk_spt_signal as usize;
    action.sa_flags = libc::SA_ONSTACK | libc::SA_SIGINFO;
    action.sa_mask = all();
    // SAFETY: as above.
    let mut before: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: the handler keeps to the stacks that are told apart in `switch`.
    if unsafe { libc::sigaction(signal, &action, &mut before) } != 0 {
        return Err(io::Error::last_os_error());
    }
    match before.sa_sigaction {
        libc::SIG_DFL | libc::SIG_IGN if RAISED.contains(&signal) => {}
        // Nobody in here wants it.
        libc::SIG_DFL | libc::SIG_IGN => {
            // SAFETY: what it was.
            unsafe { libc::sigaction(signal, &before, null_mut()) };
        }
        handler => HANDLERS[signal as usize].store(handler, Relaxed),
    }
    Ok(())
}

/// Whether the system call that SIGSYS tells of was made in the way of 64-bit programs.
pub fn is_native(information: &libc::siginfo_t) -> bool {
    const AUDIT_ARCH_X86_64: u32 = 0xc000_003e;
    /// Behind signal, error and code, and the address and number of the call (sigaction(2)).
    const ARCHITECTURE: usize = 28;
    let start = std::ptr::from_ref(information).cast::<u8>();
    // SAFETY: inside the structure, aligned.
    let architecture = unsafe { start.wrapping_add(ARCHITECTURE).cast::<u32>().read() };
    architecture == AUDIT_ARCH_X86_64
}

/// How the tender's own handlers are called; those that take the signal alone leave the rest.
type Handler = extern "C" fn(libc::c_int, *const libc::siginfo_t, *const libc::ucontext_t);

/// A signal that did not stop the guest: the tender's own handler, or the default for those that end a process.
pub extern "C" fn forward(signal: libc::c_int, information: *const libc::siginfo_t, context: *const libc::ucontext_t) {
    match HANDLERS.get(signal as usize).map_or(0, |handler| handler.load(Relaxed)) {
        // SAFETY: the kernel passes one to every handler.
        0 => default(signal, unsafe { &*information }),
        // SAFETY: `take_one` found this handler installed.
        handler => unsafe { std::mem::transmute::<usize, Handler>(handler)(signal, information, context) },
    }
}

/// Leaves the signal to its default, which is the end.
pub fn default(signal: libc::c_int, information: &libc::siginfo_t) {
    // An instruction that has raised one does so again; what was sent (sigaction(2), si_code) is gone.
    if information.si_code <= 0 || signal == libc::SIGSYS {
        // SAFETY: nothing is left to be written or put away.
        unsafe { libc::_exit(128 + signal) };
    }
    // SAFETY: no handler is involved.
    unsafe { libc::signal(signal, libc::SIG_DFL) };
}
