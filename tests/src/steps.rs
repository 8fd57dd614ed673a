//! Single steps through a program (PTRACE_SINGLESTEP): which instructions of a file it runs, in the order of their first runs.

#![expect(unsafe_code, reason = "tracing has no other interface")]

use crate::tracer::{ask_to_be_traced, request};
use std::collections::HashSet;
use std::mem::offset_of;
use std::ops::Range;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Stdio};
use std::{fs, io};

/// Most steps of a run; a start takes less than a million.
const STEPS_MAXIMUM: u32 = 50_000_000;

/// A mapping with code.
struct Code {
    addresses: Range<u64>,
    /// Address of the start of the file, for a mapping of the file that is looked for.
    base: Option<u64>,
}

/// Runs `command` to its end, its first thread step by step, and returns the places in `file` that this thread has run, each
/// once, as distances from where the start of the file is mapped. Fails the test if the run does not succeed.
pub fn visited(mut command: Command, file: &Path) -> Vec<u64> {
    let file = fs::canonicalize(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
    command.stdin(Stdio::null()).stdout(Stdio::null());
    // SAFETY: between fork and exec, `ask_to_be_traced` makes one system call, which is async-signal-safe.
    unsafe { command.pre_exec(ask_to_be_traced) };
    #[expect(clippy::zombie_processes, reason = "the loop waits for it")]
    let child = command.spawn().unwrap_or_else(|error| panic!("{command:?} does not start: {error}"));
    let thread = child.id() as libc::pid_t;
    let (mut code, mut seen, mut visited) = (Vec::new(), HashSet::new(), Vec::new());
    for step in 0..STEPS_MAXIMUM {
        let mut status = 0;
        // SAFETY: writes a local variable.
        let found = unsafe { libc::waitpid(thread, &mut status, 0) };
        assert_eq!(found, thread, "waitpid: {}", io::Error::last_os_error());
        if !libc::WIFSTOPPED(status) {
            assert_eq!(status, 0, "the wait status of {command:?}, after {step} steps");
            return visited;
        }
        let mut signal = libc::WSTOPSIG(status);
        if step == 0 {
            request(libc::PTRACE_SETOPTIONS, thread, libc::PTRACE_O_EXITKILL as usize);
        }
        if signal == libc::SIGTRAP {
            signal = 0;
            let place = place(&mut code, thread, &file);
            visited.extend(place.filter(|place| seen.insert(*place)));
        }
        request(libc::PTRACE_SINGLESTEP, thread, signal as usize);
    }
    panic!("{command:?} takes more than {STEPS_MAXIMUM} steps");
}

/// Returns the place in the file where a stopped thread is, if it is there.
fn place(code: &mut Vec<Code>, thread: libc::pid_t, file: &Path) -> Option<u64> {
    let offset = offset_of!(libc::user, regs) + offset_of!(libc::user_regs_struct, rip);
    // SAFETY: the request takes no memory of this process: the C library returns the word.
    let address = unsafe { libc::ptrace(libc::PTRACE_PEEKUSER, thread, offset, 0) } as u64;
    let holds = |code: &&Code| code.addresses.contains(&address);
    if !code.iter().any(|code| holds(&code)) {
        *code = mapped(thread, file);
    }
    let Code { base, .. } = code.iter().find(holds)?;
    Some(address - (*base)?)
}

/// Returns the mappings of a process that can be executed (proc_pid_maps(5)).
fn mapped(process: libc::pid_t, file: &Path) -> Vec<Code> {
    let path = format!("/proc/{process}/maps");
    let maps =
        fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}; this test may have to be root"));
    let number = |text: &str| u64::from_str_radix(text, 16).expect("a hexadecimal number");
    let mut base = None;
    let code = maps.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next()?.split_once('-')?;
        let (rights, offset) = (words.next()?, words.next()?);
        let is_ours = words.nth(2).is_some_and(|path| Path::new(path) == file);
        if is_ours && number(offset) == 0 {
            base = Some(number(start));
        }
        let code = Code { addresses: number(start)..number(end), base: base.filter(|_| is_ours) };
        rights.contains('x').then_some(code)
    });
    code.collect()
}
