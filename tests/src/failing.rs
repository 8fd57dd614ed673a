//! A run of which one system call fails as it does on a host that has not enough of something: found by its number in the
//! order of calls, by a tracer (ptrace(2)).

#![expect(unsafe_code, reason = "tracing has no other interface")]

use crate::Outcome;
use std::io::{self, Read};
use std::mem::{MaybeUninit, zeroed};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::ptr::null_mut;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// How long a run may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long a report of what its guest does may take.
const REPORT: Duration = Duration::from_secs(3);
/// Where guests in processes are: calls from there are theirs, and go to their libos.
const GUESTS: std::ops::Range<u64> = 4 << 30..0x4000_0000_0000;
/// The last call of the C library's own start, which has no words for a failure.
const START: i64 = libc::SYS_set_tid_address;
/// Calls that do not fail, or not in such ways.
const SURE: [i64; 7] = [
    libc::SYS_exit,
    libc::SYS_exit_group,
    libc::SYS_rt_sigreturn,
    libc::SYS_getpid,
    libc::SYS_getrandom,
    libc::SYS_futex,
    libc::SYS_rt_sigprocmask,
];

/// A call that fails.
#[derive(Clone, Copy, Debug)]
pub struct Failure {
    /// Which, counted from 0 after the C library's start; those that cannot fail do not count.
    pub nth: usize,
    /// How.
    pub errno: i32,
}

/// What came of it.
#[derive(Debug)]
pub struct Failed {
    /// The end of the run.
    pub outcome: Outcome,
    /// The number of the call, unless there were fewer.
    pub call: Option<i64>,
}

/// Runs `command` with this failure.
pub fn run(mut command: Command, failure: Failure) -> Failed {
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).env("RUST_BACKTRACE", "0");
    // SAFETY: between fork and exec there is one system call, and nothing else.
    unsafe { command.pre_exec(ask_to_be_traced) };
    #[expect(clippy::zombie_processes, reason = "the tracer waits for it")]
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let streams = [read(child.stdout.take()), read(child.stderr.take())];
    let (ended, watch) = mpsc::channel();
    let id = child.id() as libc::pid_t;
    let watchman = thread::spawn(move || {
        let is_late = |timeout| watch.recv_timeout(timeout) == Err(mpsc::RecvTimeoutError::Timeout);
        let late = is_late(TIMEOUT);
        // It first reports what its guest does.
        for (signal, timeout) in [(libc::SIGQUIT, REPORT), (libc::SIGKILL, Duration::ZERO)] {
            if late && is_late(Duration::ZERO) {
                // SAFETY: it is our child, which nobody has waited for yet.
                unsafe { libc::kill(id, signal) };
                is_late(timeout);
            }
        }
        late
    });
    let mut tracer = Tracer { failure, has_started: false, count: 0, call: None, inside: None };
    let status = tracer.trace(&child);
    let _ = ended.send(());
    let late = watchman.join().expect("it does not panic");
    let [stdout, stderr] = streams.map(|stream| stream.join().expect("it does not panic"));
    let outcome = Outcome::of(Output { status, stdout, stderr });
    assert!(!late, "{failure:?} of call {:?}: no end within {TIMEOUT:?}\n{outcome}", tracer.call);
    Failed { outcome, call: tracer.call }
}

fn ask_to_be_traced() -> io::Result<()> {
    // SAFETY: concerns ourselves only.
    match unsafe { libc::ptrace(libc::PTRACE_TRACEME, 0, 0, 0) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

fn read(stream: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        let _ = stream.expect("piped").read_to_end(&mut bytes);
        bytes
    })
}

/// Who follows the calls of all threads of a process.
struct Tracer {
    failure: Failure,
    has_started: bool,
    count: usize,
    call: Option<i64>,
    /// The thread whose call is about to fail.
    inside: Option<libc::pid_t>,
}

impl Tracer {
    /// Follows the child to its end.
    fn trace(&mut self, child: &Child) -> ExitStatus {
        let id = child.id() as libc::pid_t;
        let mut first = true;
        loop {
            let mut status = 0;
            // SAFETY: a variable of ours; with this flag only children of this thread are waited for.
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
            } else if libc::WSTOPSIG(status) == libc::SIGTRAP | 0x80 {
                self.stopped(thread);
            } else if status >> 16 == 0 && libc::WSTOPSIG(status) != libc::SIGSTOP {
                signal = libc::WSTOPSIG(status);
            }
            request(libc::PTRACE_SYSCALL, thread, signal as usize);
        }
    }

    /// A thread stopped before or after a call.
    fn stopped(&mut self, thread: libc::pid_t) {
        if self.inside == Some(thread) {
            self.inside = None;
            change(thread, |registers| registers.rax = (-i64::from(self.failure.errno)) as u64);
            return;
        }
        let mut information = MaybeUninit::<libc::ptrace_syscall_info>::zeroed();
        let size = size_of_val(&information);
        // SAFETY: the thread is stopped; the kernel writes so many bytes at most.
        let told = unsafe { libc::ptrace(libc::PTRACE_GET_SYSCALL_INFO, thread, size, information.as_mut_ptr()) };
        // SAFETY: zeros are a value of it, and so is what the kernel wrote.
        let information = unsafe { information.assume_init() };
        if told <= 0 || information.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
            return;
        }
        // SAFETY: this is what the kernel fills in at an entry.
        let number = unsafe { information.u.entry.nr } as i64;
        if !self.has_started {
            self.has_started = number == START;
            return;
        }
        if SURE.contains(&number) || GUESTS.contains(&information.instruction_pointer) {
            return;
        }
        if self.count == self.failure.nth {
            self.call = Some(number);
            self.inside = Some(thread);
            // Something that does nothing, and that any filter lets through.
            change(thread, |registers| registers.orig_rax = libc::SYS_getpid as u64);
        }
        self.count += 1;
    }
}

/// Changes the registers of a thread that is stopped.
fn change(thread: libc::pid_t, how: impl FnOnce(&mut libc::user_regs_struct)) {
    // SAFETY: zeros are a value of it.
    let mut registers: libc::user_regs_struct = unsafe { zeroed() };
    // SAFETY: the kernel writes one such structure.
    unsafe { libc::ptrace(libc::PTRACE_GETREGS, thread, 0, &raw mut registers) };
    how(&mut registers);
    // SAFETY: the kernel reads one such structure.
    unsafe { libc::ptrace(libc::PTRACE_SETREGS, thread, 0, &raw mut registers) };
}

/// A request with a number; a thread that is gone meanwhile does not matter.
fn request(what: libc::c_uint, thread: libc::pid_t, number: usize) {
    // SAFETY: these requests take a number.
    unsafe { libc::ptrace(what, thread, null_mut::<libc::c_void>(), number) };
}
