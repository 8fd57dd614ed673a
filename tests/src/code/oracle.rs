//! Outside view of a correct tender, for any guest: the guest has begun, and then ended itself, was ended at its time limit, or
//! was stopped with a report that fits its status and its own code. No process or file remains.

use crate::{End, Target};
use husk_abi::fault;
use husk_abi::memory::PAGE;
use std::fmt;
use std::ops::Range;

/// Observations of a run.
#[derive(Clone, Debug)]
pub struct Seen {
    /// End of the tender, unless it hung.
    pub end: Option<End>,
    /// True if the run ended before the guest's time limit.
    pub time_left: bool,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
    /// Remaining processes and files.
    pub left: Vec<String>,
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { end, time_left, stdout, stderr, left } = self;
        write!(f, "{end:?}, time left: {time_left}, left behind: {left:?}\n--- stdout\n{stdout}--- stderr\n{stderr}")
    }
}

/// Addresses of a guest's code.
#[derive(Clone, Debug)]
pub struct Places {
    /// Addresses of the image's code.
    pub text: Range<u64>,
    /// Address of the gate, in a virtual machine and in a process.
    pub gate: [u64; 2],
}

/// End of a guest under a correct tender.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Verdict {
    /// The guest exited, with this status.
    Exited(i32),
    /// The guest reached its time limit.
    TimeIsUp,
    /// The guest was stopped, for this kind of fault.
    Stopped(&'static str),
}

/// Kinds of faults: first words of the report, and the status that belongs to them. Kinds that are not listed must not be
/// reachable by any guest: a triple fault, an unknown exit of KVM, a machine check.
const FAULTS: &[(&str, u8)] = &[
    ("invalid instruction", fault::ILLEGAL_INSTRUCTION),
    ("floating-point unit not available", fault::ILLEGAL_INSTRUCTION),
    ("debug trap", fault::TRAP),
    ("breakpoint", fault::TRAP),
    ("alignment check", fault::BUS),
    ("stack segment fault", fault::BUS),
    ("segment not present", fault::BUS),
    ("division error", fault::ARITHMETIC),
    ("x87 floating-point error", fault::ARITHMETIC),
    ("SIMD floating-point error", fault::ARITHMETIC),
    ("page fault: ", fault::MEMORY),
    ("general protection fault", fault::MEMORY),
    ("overflow trap", fault::MEMORY),
    ("bound range exceeded", fault::MEMORY),
    ("access to ", fault::MEMORY),
    ("out of memory", fault::OUT_OF_MEMORY),
    ("panic: ", fault::PANIC),
    ("deadlock", fault::PANIC),
    ("a call names ", fault::CALL),
    ("call number ", fault::CALL),
    ("Linux system call ", fault::CALL),
    ("port 0x", fault::CALL),
];

/// Signals that a report names (signal(7)); others are `signal` and the number.
const SIGNALS: [(&str, i32); 10] = [
    ("SIGQUIT", 3),
    ("SIGILL", 4),
    ("SIGTRAP", 5),
    ("SIGABRT", 6),
    ("SIGBUS", 7),
    ("SIGFPE", 8),
    ("SIGSEGV", 11),
    ("SIGXCPU", 24),
    ("SIGXFSZ", 25),
    ("SIGSYS", 31),
];

const STOPPED: &str = "husk: the guest stopped: ";

/// Judges a run: returns the end of the guest, or the violation.
pub fn judge(seen: &Seen, target: Target, places: &Places) -> Result<Verdict, String> {
    if !seen.left.is_empty() {
        return Err(format!("it has left {}", seen.left.join(", ")));
    }
    let status = match seen.end {
        Some(End::Exit(status)) => status,
        Some(End::Signal(signal)) => return Err(format!("signal {signal} ended the tender")),
        None => return Err("it has not ended".to_owned()),
    };
    if seen.stderr.contains("panicked at") || seen.stderr.contains("memory allocation of") {
        return Err("the tender panicked".to_owned());
    }
    if !seen.stdout.starts_with("ready\n") {
        return Err("the guest has not begun".to_owned());
    }
    // The text behind the last such line is the tender's report.
    match seen.stderr.rfind(STOPPED).map(|at| &seen.stderr[at + STOPPED.len()..]) {
        Some(report) => stopped(report, status, target, places),
        None if status == fault::TIME_IS_UP.into() && !seen.time_left => Ok(Verdict::TimeIsUp),
        None if has_exited(&seen.stderr) => Ok(Verdict::Exited(status)),
        None => Err(format!("status {status} without a reason")),
    }
}

/// Returns true if the statistics contain the guest's Exit call.
fn has_exited(stderr: &str) -> bool {
    let calls = stderr.lines().rev().find_map(|line| line.strip_prefix("husk: exits: "));
    calls.is_some_and(|calls| calls.contains("Exit 1 "))
}

/// Checks that a report fits the status, and that its instruction pointer lies in the guest's code.
fn stopped(report: &str, status: i32, target: Target, places: &Places) -> Result<Verdict, String> {
    if let Some(signal) = report.strip_prefix("it died of ") {
        let named = SIGNALS.iter().find(|(name, _)| signal.starts_with(name)).map(|(_, number)| *number);
        let number = signal.strip_prefix("signal ").and_then(|rest| rest.lines().next()?.parse().ok());
        let fits = named.or(number).is_some_and(|signal: i32| signal < 64 && status == 128 + signal);
        return if fits { Ok(Verdict::Stopped("it died of ")) } else { Err(format!("status {status} for a signal")) };
    }
    let known = FAULTS.iter().find(|(what, _)| report.starts_with(what));
    let Some((what, expected)) = known else {
        return Err("a guest was stopped in a way that it must not be".to_owned());
    };
    if status != i32::from(*expected) {
        return Err(format!("status {status} does not fit the report"));
    }
    if *what == "deadlock" {
        // A report of a deadlock lists threads and has no registers.
        return Ok(Verdict::Stopped(what));
    }
    let rip = number_after(report, "registers:\n       rip ").ok_or("the report has no registers")?;
    let gate = places.gate[usize::from(target == Target::Spt)];
    let wanted =
        report.strip_prefix("page fault: execution at address 0x").map(|rest| number_after(rest, "").unwrap_or(0));
    let is_own = places.text.contains(&rip) || (gate..gate + PAGE).contains(&rip);
    match wanted {
        Some(address) if address != rip => Err(format!("rip {rip:#x} is not what could not be executed")),
        // The guest jumped to that address; a fault at any other address outside the guest's code is not the guest's.
        None if !is_own => Err(format!("rip {rip:#x} is not in the guest's code")),
        _ => Ok(Verdict::Stopped(what)),
    }
}

/// Returns the hexadecimal number right behind `mark`.
fn number_after(text: &str, mark: &str) -> Option<u64> {
    let rest = &text[text.find(mark)? + mark.len()..];
    let end = rest.find(|c: char| !c.is_ascii_hexdigit()).unwrap_or(rest.len());
    u64::from_str_radix(&rest[..end], 16).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACES: Places = Places { text: 0x10_0000..0x10_2000, gate: [0x1_0000, 0x9_0000] };

    fn seen(end: End, stderr: &str) -> Seen {
        let stderr = stderr.to_owned();
        Seen { end: Some(end), time_left: true, stdout: "ready\n".to_owned(), stderr, left: vec![] }
    }

    fn report(what: &str, rip: u64) -> String {
        format!(
            "husk: exits: ConsoleWrite 1 interrupted 0\nhusk: the guest stopped: {what}\n  registers:\n       rip {rip:016x}     rsp 0\n"
        )
    }

    fn verdict(seen: &Seen) -> Result<Verdict, String> {
        judge(seen, Target::Hvt, &PLACES)
    }

    #[test]
    fn a_tender_that_keeps_its_promises_passes() {
        let undefined = seen(End::Exit(132), &report("invalid instruction", 0x10_1234));
        assert_eq!(verdict(&undefined), Ok(Verdict::Stopped("invalid instruction")));
        let jump =
            seen(End::Exit(139), &report("page fault: execution at address 0x77: nothing is mapped there", 0x77));
        assert!(verdict(&jump).is_ok());
        let call = seen(End::Exit(159), &report("call number 99 does not exist", 0x1_0002));
        assert!(verdict(&call).is_ok());
        let exit = seen(End::Exit(125), "husk: exits: ConsoleWrite 1 Exit 1 interrupted 0\n");
        assert_eq!(verdict(&exit), Ok(Verdict::Exited(125)), "a guest may choose any");
        let late = Seen { time_left: false, ..seen(End::Exit(124), "") };
        assert_eq!(verdict(&late), Ok(Verdict::TimeIsUp));
        assert!(verdict(&seen(End::Exit(139), &report("it died of SIGSEGV (memory access)", 0))).is_ok());
        assert!(verdict(&seen(End::Exit(170), &report("it died of signal 42", 0))).is_ok());
    }

    #[test]
    fn no_other_passes() {
        let good = seen(End::Exit(132), &report("invalid instruction", 0x10_1234));
        let wrong = [
            Seen { end: None, ..good.clone() },
            Seen { end: Some(End::Signal(11)), ..good.clone() },
            Seen { end: Some(End::Exit(125)), ..good.clone() },
            Seen { end: Some(End::Exit(139)), ..good.clone() },
            Seen { stdout: String::new(), ..good.clone() },
            Seen { left: vec!["a process".to_owned()], ..good.clone() },
            Seen { stderr: format!("thread 'main' panicked at x\n{}", good.stderr), ..good.clone() },
            seen(End::Exit(132), &report("invalid instruction", 0x20_0000)),
            seen(End::Exit(132), &report("invalid instruction", 0x9_0000)),
            seen(End::Exit(132), "husk: the guest stopped: invalid instruction\n"),
            seen(End::Exit(139), &report("page fault: execution at address 0x77: nothing is mapped there", 0x78)),
            seen(End::Exit(139), &report("triple fault", 0x10_0000)),
            seen(End::Exit(159), &report("the VM stopped in an unexpected way: x", 0x10_0000)),
            seen(End::Exit(170), &report("it died of signal 41", 0)),
            seen(End::Exit(139), &report("it died of SIGABRT (abort)", 0)),
            // Without a report, or with one of the tender's failures.
            seen(End::Exit(139), "husk: exits: ConsoleWrite 1 interrupted 0\n"),
            seen(End::Exit(0), ""),
            seen(End::Exit(125), "husk: KVM failed to run the guest: x\n"),
            // Before the time limit.
            seen(End::Exit(124), ""),
        ];
        for seen in wrong {
            assert!(verdict(&seen).is_err(), "{seen}");
        }
    }
}
