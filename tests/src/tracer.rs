//! Traces all system calls of a run (ptrace(2)), and suppresses some of them with a result, as a [`Judge`] decides.

#![expect(unsafe_code, reason = "tracing has no other interface")]

use crate::process::Handle;
use crate::running::Stream;
use crate::{Outcome, patience};
use std::io;
use std::mem::{MaybeUninit, zeroed};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::ptr::null_mut;
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Time limit of a run.
const TIMEOUT: Duration = Duration::from_secs(60);
/// Time limit of a report on the guest's threads.
const REPORT: Duration = Duration::from_secs(3);
/// Addresses of guests in processes: system calls from there are the guest's, and go to its libos.
const GUESTS: std::ops::Range<u64> = 4 << 30..0x4000_0000_0000;
/// Last call of the C library's start code, which reports no failures.
const START: i64 = libc::SYS_set_tid_address;

/// A system call that is about to be made.
#[derive(Clone, Copy, Debug)]
pub struct Call {
    /// Number of the call.
    pub number: i64,
    /// Arguments of the call.
    pub arguments: [u64; 6],
    thread: libc::pid_t,
}

impl Call {
    /// Reads the text that an argument points to, up to a page's length; empty if there is none.
    pub fn text(&self, argument: usize) -> Vec<u8> {
        let mut bytes = vec![0; 256];
        let local = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: bytes.len() };
        let remote = libc::iovec { iov_base: self.arguments[argument] as *mut libc::c_void, iov_len: bytes.len() };
        // SAFETY: the local vector describes a local buffer; the kernel checks the remote address.
        let count = unsafe { libc::process_vm_readv(self.thread, &local, 1, &remote, 1, 0) };
        bytes.truncate(usize::try_from(count).unwrap_or(0));
        bytes.split(|byte| *byte == 0).next().unwrap_or_default().to_vec()
    }
}

/// A decision about calls.
pub trait Judge {
    /// Returns the result of a call that is to be suppressed.
    fn judge(&mut self, call: &Call) -> Option<i64>;

    /// Returns an entry of the auxiliary vector (getauxval(3)) that is to have another value.
    fn auxiliary(&self) -> Option<(u64, u64)> {
        None
    }
}

/// Runs `command` to its end; a run that takes longer than a minute fails the test.
pub fn run(mut command: Command, judge: &mut (impl Judge + std::fmt::Debug)) -> Outcome {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("RUST_BACKTRACE", "0");
    // SAFETY: between fork and exec, `ask_to_be_traced` makes one system call, which is async-signal-safe.
    unsafe { command.pre_exec(ask_to_be_traced) };
    #[expect(clippy::zombie_processes, reason = "the tracer waits for it")]
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let streams = [Stream::of(child.stdout.take()), Stream::of(child.stderr.take())];
    let (ended, watch) = mpsc::channel();
    let handle = Handle::open(child.id()).expect("a child that has not been waited for");
    let watchman = thread::spawn(move || {
        let is_late = |timeout| watch.recv_timeout(timeout) == Err(mpsc::RecvTimeoutError::Timeout);
        let late = is_late(patience(TIMEOUT));
        // SIGQUIT makes the tender report its guest's threads before it is killed.
        for (signal, timeout) in [(libc::SIGQUIT, REPORT), (libc::SIGKILL, Duration::ZERO)] {
            if late && is_late(Duration::ZERO) {
                handle.signal(signal);
                is_late(timeout);
            }
        }
        late
    });
    let status = Tracer { judge: &mut *judge, has_started: false, inside: vec![] }.trace(&child);
    let _ = ended.send(());
    let late = watchman.join().expect("it does not panic");
    let [stdout, stderr] = streams.map(|mut stream| stream.whole("the run"));
    let outcome = Outcome::of(Output { status, stdout, stderr });
    assert!(!late, "{judge:?}: no end within {TIMEOUT:?}\n{outcome}");
    outcome
}

/// Has the parent trace this process from its exec on.
pub(crate) fn ask_to_be_traced() -> io::Result<()> {
    // SAFETY: PTRACE_TRACEME takes no memory and concerns the calling process only.
    match unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Tracer of all threads of a process.
struct Tracer<'j, J> {
    judge: &'j mut J,
    has_started: bool,
    /// Threads in suppressed calls, and the results of these.
    inside: Vec<(libc::pid_t, i64)>,
}

impl<J: Judge> Tracer<'_, J> {
    /// Traces the child to its end.
    fn trace(&mut self, child: &Child) -> ExitStatus {
        let id = child.id() as libc::pid_t;
        let mut first = true;
        loop {
            let mut status = 0;
            // SAFETY: writes a local variable; __WNOTHREAD restricts the wait to children of this thread.
            let thread = unsafe { libc::waitpid(-1, &mut status, libc::__WALL | libc::__WNOTHREAD) };
            assert!(thread > 0, "waitpid: {}", io::Error::last_os_error());
            if !libc::WIFSTOPPED(status) {
                if thread == id {
                    return ExitStatus::from_raw(status);
                }
                continue;
            }
            let mut signal = 0;
            if first {
                first = false;
                let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
                request(libc::PTRACE_SETOPTIONS, thread, options as usize);
                if let Some((kind, value)) = self.judge.auxiliary() {
                    set_auxiliary(thread, kind, value);
                }
            } else if libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80 {
                self.stopped(thread);
            } else if status >> 16 == 0 && libc::WSTOPSIG(status) != libc::SIGSTOP {
                signal = libc::WSTOPSIG(status);
            }
            request(libc::PTRACE_SYSCALL, thread, signal as usize);
        }
    }

    /// Handles a thread that stopped before or after a call.
    fn stopped(&mut self, thread: libc::pid_t) {
        if let Some(at) = self.inside.iter().position(|(inside, _)| *inside == thread) {
            let (_, result) = self.inside.swap_remove(at);
            change(thread, |registers| registers.rax = result as u64);
            return;
        }
        let mut information = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
        let size = size_of_val(&information);
        // SAFETY: the thread is stopped; the kernel writes at most `size` bytes.
        let told = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, information.as_mut_ptr()) };
        // SAFETY: zeros are a valid value, and so is what the kernel wrote over them.
        let information = unsafe { information.assume_init() };
        if told <= 0 || information.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
            return;
        }
        // SAFETY: the kernel fills in this field of the union at an entry, which was checked above.
        let entry = unsafe { information.u.entry };
        let call = Call { number: entry.nr as i64, arguments: entry.args, thread };
        if !self.has_started {
            self.has_started = call.number == START;
            return;
        }
        if GUESTS.contains(&information.instruction_pointer) {
            return;
        }
        if let Some(result) = self.judge.judge(&call) {
            self.inside.push((thread, result));
            // getpid has no effect, and every filter allows it.
            change(thread, |registers| registers.orig_rax = libc::SYS_getpid as u64);
        }
    }
}

/// Changes the registers of a stopped thread.
fn change(thread: libc::pid_t, how: impl FnOnce(&mut libc::user_regs_struct)) {
    // SAFETY: zeros are a valid `user_regs_struct`.
    let mut registers: libc::user_regs_struct = unsafe { zeroed() };
    // SAFETY: the kernel writes one such structure, a local variable.
    unsafe { libc::ptrace(libc::PTRACE_GETREGS, thread, 0, &raw mut registers) };
    how(&mut registers);
    // SAFETY: the kernel reads one such structure, a local variable.
    unsafe { libc::ptrace(libc::PTRACE_SETREGS, thread, 0, &raw mut registers) };
}

/// Changes an entry of the auxiliary vector of a program that is about to start. The vector lies behind the arguments and the
/// environment on the stack, each of which ends with a null word.
fn set_auxiliary(thread: libc::pid_t, kind: u64, value: u64) {
    // SAFETY: the request takes no memory of this process: the C library returns the word.
    let word = |address: u64| unsafe { libc::ptrace(libc::PTRACE_PEEKDATA, thread, address, 0) } as u64;
    let mut stack = 0;
    change(thread, |registers| stack = registers.rsp);
    let mut at = stack + 8 * (word(stack) + 2);
    while word(at) != 0 {
        at += 8;
    }
    at += 8;
    while ![0, kind].contains(&word(at)) {
        at += 16;
    }
    assert_eq!(word(at), kind, "the kernel gives every program this entry");
    // SAFETY: the request takes no memory of this process, and the traced program is stopped.
    unsafe { libc::ptrace(libc::PTRACE_POKEDATA, thread, at + 8, value) };
}

/// Makes a request with a number; a thread that has ended in between does not matter.
pub(crate) fn request(what: libc::c_uint, thread: libc::pid_t, number: usize) {
    // SAFETY: these requests take a number, no memory.
    unsafe { libc::ptrace(what, thread, null_mut::<libc::c_void>(), number) };
}
