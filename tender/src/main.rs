//! `husk`: runs images. Parses the command line, executes it, turns errors into one line and a status.

#![cfg_attr(not(test), no_main, deny(clippy::print_stderr, clippy::print_stdout))]
#![expect(unsafe_code, reason = "it is called by the C library's start code")]

mod cli;

use cli::Command;
use husk_abi::fault::TENDER_ERROR;
use husk_tender::Error;
use husk_tender::check::Check;
use husk_tender::confine::calls;
use husk_tender::devices::attach::Attachment;
use husk_tender::explain::Explanation;
use husk_tender::host::heap::Heap;
use husk_tender::host::{streams, terminal};
use husk_tender::inspect::Inspection;
use husk_tender::run;
use husk_tender::supervise;
use husk_tender::supervise::testimony::{self, Verdict};
use husk_tender::vm::target::Choice;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io::{self, IsTerminal, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::time::Instant;

#[global_allocator]
static HEAP: Heap = Heap;

/// Entry from the C library's start code: the work of std before its own `main` (a stack guard for a thread that does not
/// recurse, a poll of the standard streams) takes longer than everything else that `husk run` does before it creates a machine.
/// The parts of it that are needed are done here.
#[cfg_attr(not(test), unsafe(no_mangle))]
extern "C" fn main(count: libc::c_int, words: *const *const libc::c_char) -> libc::c_int {
    let started = Instant::now();
    // As std does: writing to a pipe without a reader is an error (EPIPE), not the end. So is a file that `ulimit -f` forbids (EFBIG).
    for signal in [libc::SIGPIPE, libc::SIGXFSZ] {
        // SAFETY: SIG_IGN is no handler.
        unsafe { libc::signal(signal, libc::SIG_IGN) };
    }
    // SAFETY: the start code passes `count` strings.
    let words = unsafe { std::slice::from_raw_parts(words, count as usize) };
    let words = words.iter().map(|word| {
        // SAFETY: each entry is a C string that is never moved.
        let word = unsafe { CStr::from_ptr(*word) };
        OsStr::from_bytes(word.to_bytes()).to_owned()
    });
    // Before any file is opened.
    let status = match streams::open_closed() {
        Ok(()) => husk(words, started),
        Err(error) => fail(&Error::NoStreams(error).to_string()),
    };
    terminal::restore();
    // SAFETY: no buffer is left to be flushed and no destructor to be run.
    unsafe { libc::_exit(status.into()) }
}

/// Executes the command line and returns the exit status.
fn husk(words: impl Iterator<Item = OsString>, started: Instant) -> u8 {
    let result = match cli::parse(words) {
        Ok(Command::Run(run)) if run.explain => self::explain(&run),
        Ok(Command::Run(run)) => match run.status_file.clone() {
            Some(path) => supervised(*run, &path, started).map_err(|error| error.to_string()),
            None => self::run(*run, started),
        },
        Ok(Command::Inspect(inspect)) => show(&inspect).map_err(|error| error.to_string()),
        Ok(Command::Check(check)) => self::check(&check).map_err(|error| error.to_string()),
        Ok(Command::Disk(words)) => Err(disk(words)),
        Ok(Command::Print(text)) => print(&text).map_err(|error| error.to_string()),
        Err(error) => Err(error.to_string()),
    };
    result.unwrap_or_else(|error| fail(&error))
}

/// Runs an image. Returns the exit status.
fn run(mut run: cli::Run, started: Instant) -> Result<u8, String> {
    run.options.program.environment = cli::gather(&run).map_err(|error| error.to_string())?;
    run.options.target = target(run.options.target)?;
    run::run(&run.options, started).map_err(|error| error.to_string())
}

/// Runs an image in a child process, and records at this path how that ends.
fn supervised(run: cli::Run, path: &Path, started: Instant) -> Result<u8, Error> {
    let options = &run.options;
    let devices = options.devices.iter().filter_map(Attachment::path);
    let read = run.environment_files.iter().map(PathBuf::as_path).chain(devices);
    let file = supervise::open(path, std::iter::once(options.image.as_path()).chain(read))?;
    supervise::run(file, options.user, options.grace_s, || {
        self::run(run, started).unwrap_or_else(|error| {
            testimony::end(Verdict::Error, &error);
            fail(&error)
        })
    })
}

/// Prints why `husk` could not do what it was asked for. Returns the exit status.
fn fail(error: &str) -> u8 {
    husk_tender::say!("husk: {error}");
    TENDER_ERROR
}

fn show(inspect: &cli::Inspect) -> Result<u8, Error> {
    let inspection = Inspection::of(&inspect.image, None)?;
    match inspect.json {
        true => print(&format!("{}\n", inspection.json())),
        false => print(&inspection.with_colour(std::io::stdout().is_terminal()).to_string()),
    }
}

/// Exit status of a check on a host where guests do not run well in virtual machines.
const NOT_WELL: u8 = 1;

fn check(check: &cli::Check) -> Result<u8, Error> {
    // Progress line that the table replaces: a slow host takes a moment.
    let shows_progress = std::io::stderr().is_terminal();
    if shows_progress {
        streams::write_error("measuring ...\r");
    }
    let found = Check::here();
    let is_well = found.is_well();
    if shows_progress {
        streams::write_error("             \r");
    }
    match check.json {
        true => print(&format!("{}\n", found.json()))?,
        false => {
            let colour = std::io::stdout().is_terminal();
            print(&found.with_colour(colour).to_string())?
        }
    };
    Ok(if is_well { 0 } else { NOT_WELL })
}

/// Becomes the program `husk-disk`, which lies beside this one. Returns why that is not possible. By the system call's own function:
/// std's `Command` would add 40 KiB to `husk`.
fn disk(words: Vec<OsString>) -> String {
    let path = match std::env::current_exe() {
        Ok(own) => own.with_file_name("husk-disk"),
        Err(error) => return format!("cannot find the folder of husk, in which husk-disk lies: {error}"),
    };
    let text = |word: OsString| CString::new(word.into_encoded_bytes()).unwrap_or_default();
    let words: Vec<_> = std::iter::once(path.clone().into()).chain(words).map(text).collect();
    let mut arguments: Vec<_> = words.iter().map(|word| word.as_ptr()).collect();
    arguments.push(std::ptr::null());
    // SAFETY: strings, and a list of them that ends with a null pointer.
    unsafe { libc::execv(arguments[0], arguments.as_ptr()) };
    let error = io::Error::last_os_error();
    match error.kind() {
        io::ErrorKind::NotFound => format!("{}: there is no such program; install it beside husk", path.display()),
        _ => format!("{}: {error}", path.display()),
    }
}

fn explain(run: &cli::Run) -> Result<u8, String> {
    let target = target(run.options.target)?;
    explain_on(target, run).map_err(|error| error.to_string())
}

fn explain_on(target: Choice, run: &cli::Run) -> Result<u8, Error> {
    let cli::Run { options, json, .. } = run;
    let feature = match target {
        Choice::Hvt => &calls::KVM,
        Choice::Automatic if run::kvm(target, options.strict)?.is_some() => &calls::KVM,
        Choice::Automatic | Choice::Spt => &calls::SPT,
    };
    let explanation = Explanation::of(options, feature)?;
    match json {
        true => print(&format!("{}\n", explanation.json())),
        false => print(&explanation.with_colour(std::io::stdout().is_terminal()).to_string()),
    }
}

fn print(text: &str) -> Result<u8, Error> {
    let mut output = std::io::stdout();
    output.write_all(text.as_bytes()).and_then(|()| output.flush()).map(|()| 0).map_err(Error::Output)
}

/// Returns the target of a guest: if the command line chose none, the one of the environment.
fn target(chosen: Choice) -> Result<Choice, String> {
    const VARIABLE: &str = "HUSK_TARGET";
    match std::env::var_os(VARIABLE).filter(|value| chosen == Choice::Automatic && !value.is_empty()) {
        Some(value) => Choice::parse(&value.to_string_lossy()).map_err(|error| format!("{VARIABLE}: {error}")),
        None => Ok(chosen),
    }
}
