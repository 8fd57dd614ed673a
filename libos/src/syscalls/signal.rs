//! Calls about signals.

use super::Arguments;
use super::arguments::descriptor;
use super::wait::timeout_at;
use crate::arch::signal_frame;
use crate::errno::Errno;
use crate::process::PROCESS;
use crate::signals::{self, Action, HIGHEST, Origin, UNSTOPPABLE, bit};
use crate::state::{Libos, now};
use crate::syscall_result::{Resume, Sleep, Stop, SyscallResult, WaitFor};
use crate::threads::signal_stack::{NO_STACK, SignalStack};
use crate::user;
use linux_raw_sys::general::*;

/// Bytes in a signal set.
const SET: u64 = 8;

/// rt_sigaction(2).
pub fn rt_sigaction(libos: &mut Libos, Arguments([signal, from, into, size, ..]): Arguments) -> SyscallResult {
    let signal = number(signal)?;
    let action = libos.signals.action(signal)?;
    if size != SET || (from != 0 && bit(signal) & UNSTOPPABLE != 0) {
        return Err(Errno::EINVAL.into());
    }
    let new = if from != 0 { Some(user::read::<Action>(from)?) } else { None };
    if into != 0 {
        user::write(into, action)?;
    }
    if let Some(new) = new {
        *action = new;
        libos.signals.forget_ignored(&mut libos.threads, signal);
    }
    Ok(0)
}

/// rt_sigprocmask(2).
pub fn rt_sigprocmask(libos: &mut Libos, Arguments([how, from, into, size, ..]): Arguments) -> SyscallResult {
    if size != SET {
        return Err(Errno::EINVAL.into());
    }
    let thread = libos.threads.current();
    let old = thread.blocked;
    if from != 0 {
        let set: u64 = user::read(from)?;
        let new = match how as u32 {
            SIG_BLOCK => old | set,
            SIG_UNBLOCK => old & !set,
            SIG_SETMASK => set,
            _ => return Err(Errno::EINVAL.into()),
        };
        thread.blocked = new & !UNSTOPPABLE;
    }
    if into != 0 {
        user::write(into, &old)?;
    }
    Ok(0)
}

/// rt_sigreturn(2): a handler has returned. The "result" is the register's value in the frame.
pub fn rt_sigreturn(libos: &mut Libos, _: Arguments) -> SyscallResult {
    let shape = libos.threads.vectors();
    let thread = libos.threads.current();
    // The handler's call has made the area.
    let popped = match &mut thread.vectors {
        Some(vectors) => signal_frame::pop(&mut thread.registers, &shape, vectors),
        None => Err(Errno::EFAULT),
    };
    // Without the frame the thread cannot continue, nor could it on Linux.
    let Ok(frame) = popped else { signals::end(SIGSEGV) };
    thread.blocked = frame.mask & !UNSTOPPABLE;
    if let Ok(stack) = checked(frame.stack) {
        thread.signal_stack = stack;
    }
    Ok(thread.registers.number())
}

/// rt_sigsuspend(2): waits for a signal with another mask, which the handler's return restores.
pub fn rt_sigsuspend(libos: &mut Libos, Arguments([set, size, ..]): Arguments) -> SyscallResult {
    if size != SET {
        return Err(Errno::EINVAL.into());
    }
    let set = user::read::<u64>(set)? & !UNSTOPPABLE;
    libos.signals.suspend(&mut libos.threads, set);
    pause(libos, Arguments([0; 6]))
}

/// pause(2).
pub fn pause(libos: &mut Libos, _: Arguments) -> SyscallResult {
    let interrupted = Resume::Return(Errno::EINTR.to_result());
    if libos.threads.current().next_signal().is_some() {
        return Err(Errno::EINTR.into());
    }
    Err(Stop::Block(Sleep { on: WaitFor::Time, deadline: None, woken: interrupted, expired: interrupted }))
}

/// rt_sigtimedwait(2).
pub fn rt_sigtimedwait(libos: &mut Libos, Arguments([set, into, timeout, size, ..]): Arguments) -> SyscallResult {
    if size != SET {
        return Err(Errno::EINVAL.into());
    }
    let set = user::read::<u64>(set)? & !UNSTOPPABLE;
    let timeout_ns = timeout_at(timeout)?;
    let thread = libos.threads.current();
    // The thread's own signals come before those of the program.
    let pending = if thread.pending & set != 0 { &mut thread.pending } else { &mut libos.signals.pending };
    let due = *pending & set;
    if due != 0 {
        let signal = due.trailing_zeros() + 1;
        *pending &= !bit(signal);
        let origin = libos.signals.take_origin(signal);
        if into != 0 {
            user::write(into, &origin.information(signal))?;
        }
        return Ok(signal.into());
    }
    if thread.next_signal().is_some() {
        return Err(Errno::EINTR.into());
    }
    let deadline = timeout_ns.map(|ns| libos.threads.deadline_in(ns));
    let expired = Resume::Return(Errno::EAGAIN.to_result());
    Err(Stop::Block(Sleep { on: WaitFor::Time, deadline, woken: Resume::Restart, expired }))
}

/// signalfd4(2).
pub fn signalfd4(libos: &mut Libos, Arguments([file, set, size, flags, ..]): Arguments) -> SyscallResult {
    let flags = flags as u32;
    // The values of `SFD_NONBLOCK` and `SFD_CLOEXEC` are these.
    if size != SET || flags & !(O_NONBLOCK | O_CLOEXEC) != 0 {
        return Err(Errno::EINVAL.into());
    }
    let set = user::read::<u64>(set)? & !UNSTOPPABLE;
    descriptor(libos.change(|files, _| files.signal_file(file as i32, set, flags, now())))
}

/// signalfd(2).
pub fn signalfd(libos: &mut Libos, Arguments([file, set, size, ..]): Arguments) -> SyscallResult {
    signalfd4(libos, Arguments([file, set, size, 0, 0, 0]))
}

/// rt_sigpending(2).
pub fn rt_sigpending(libos: &mut Libos, Arguments([into, size, ..]): Arguments) -> SyscallResult {
    if size > SET {
        return Err(Errno::EINVAL.into());
    }
    let program = libos.signals.pending;
    let thread = libos.threads.current();
    user::write(into, &((thread.pending | program) & thread.blocked))?;
    Ok(0)
}

/// Checks an alternate stack of the program.
fn checked(stack: SignalStack) -> Result<SignalStack, Errno> {
    match stack.flags & !SS_AUTODISARM {
        SS_DISABLE => Ok(NO_STACK),
        0 | SS_ONSTACK if stack.length < u64::from(MINSIGSTKSZ) => Err(Errno::ENOMEM),
        0 | SS_ONSTACK => Ok(SignalStack { flags: stack.flags & SS_AUTODISARM, ..stack }),
        _ => Err(Errno::EINVAL),
    }
}

/// sigaltstack(2). A `stack_t` is three words, with 32 bits in the middle one.
pub fn sigaltstack(libos: &mut Libos, Arguments([from, into, ..]): Arguments) -> SyscallResult {
    let thread = libos.threads.current();
    let old = thread.signal_stack;
    let is_on = old.contains(thread.registers.stack());
    if from == 0 && old.flags & SS_DISABLE != 0 {
        libos.sigaltstack_guard.expect_signal_stack();
    }
    let thread = libos.threads.current();
    if from != 0 {
        let [start, flags, length]: [u64; 3] = user::read(from)?;
        if is_on {
            return Err(Errno::EPERM.into());
        }
        thread.signal_stack = checked(SignalStack { start, flags: flags as u32, length })?;
    }
    if into != 0 {
        let flags = old.flags | if is_on { SS_ONSTACK } else { 0 };
        user::write(into, &[old.start, u64::from(flags), old.length])?;
    }
    Ok(0)
}

/// kill(2).
pub fn kill(libos: &mut Libos, Arguments([process, signal, ..]): Arguments) -> SyscallResult {
    match process as i32 {
        // The program, its group, or all processes.
        0 | -1 => {}
        id if id.unsigned_abs() == PROCESS => {}
        _ => return Err(Errno::ESRCH.into()),
    }
    if signal != 0 {
        let origin = sent(libos, Origin::USER);
        send_to_any(libos, number(signal)?, origin);
    }
    Ok(0)
}

/// rt_sigqueueinfo(2).
pub fn rt_sigqueueinfo(libos: &mut Libos, Arguments([process, signal, from, ..]): Arguments) -> SyscallResult {
    let origin = Origin::from_information(user::read(from)?);
    if process as u32 != PROCESS {
        return Err(Errno::ESRCH.into());
    }
    if signal != 0 {
        send_to_any(libos, number(signal)?, origin);
    }
    Ok(0)
}

/// rt_tgsigqueueinfo(2).
pub fn rt_tgsigqueueinfo(
    libos: &mut Libos,
    Arguments([process, thread, signal, from, ..]): Arguments,
) -> SyscallResult {
    let origin = Origin::from_information(user::read(from)?);
    if process as u32 != PROCESS {
        return Err(Errno::ESRCH.into());
    }
    send(libos, thread as u32, signal, origin)
}

/// Origin of a signal that the current thread sends.
fn sent(libos: &mut Libos, origin: Origin) -> Origin {
    Origin { user_or_overrun: libos.identity().users.real, ..origin }
}

pub(super) fn send_to_any(libos: &mut Libos, signal: u32, origin: Origin) {
    note(libos, signal, origin);
    libos.signals.send_to_any(&mut libos.threads, signal);
}

/// Notes the origin of a signal, unless the signal is pending already: then the first one counts.
fn note(libos: &mut Libos, signal: u32, origin: Origin) {
    let pending = libos.signals.pending | libos.threads.all_pending();
    if pending & bit(signal) == 0 {
        libos.signals.note_origin(signal, origin);
    }
}

/// tkill(2).
pub fn tkill(libos: &mut Libos, Arguments([thread, signal, ..]): Arguments) -> SyscallResult {
    let origin = sent(libos, Origin::THREAD);
    send(libos, thread as u32, signal, origin)
}

/// tgkill(2).
pub fn tgkill(libos: &mut Libos, Arguments([process, thread, signal, ..]): Arguments) -> SyscallResult {
    if process as u32 != PROCESS {
        return Err(Errno::ESRCH.into());
    }
    let origin = sent(libos, Origin::THREAD);
    send(libos, thread as u32, signal, origin)
}

/// Sends a signal to a thread; signal 0 only checks that the thread exists.
fn send(libos: &mut Libos, thread: u32, signal: u64, origin: Origin) -> SyscallResult {
    let _ = libos.threads.find(thread).ok_or(Errno::ESRCH)?;
    if signal == 0 {
        return Ok(0);
    }
    let signal = number(signal)?;
    note(libos, signal, origin);
    libos.signals.send(&mut libos.threads, thread, signal)?;
    Ok(0)
}

/// Checks a signal number.
pub fn number(signal: u64) -> Result<u32, Errno> {
    if (1..=HIGHEST).contains(&signal) { Ok(signal as u32) } else { Err(Errno::EINVAL) }
}
