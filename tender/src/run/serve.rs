//! Fourth phase of a run: the guest runs, and is served, until it ends.

use super::Options;
use super::confine::Ready;
use super::open::Inputs;
use crate::error::Error;
use crate::host::signals;
use crate::host::streams::write_error;
use crate::say;
use crate::supervise::testimony::{self, Verdict};
use crate::vm::fault::Fault;
use crate::vm::machine::{End, Machine};
use husk_abi::fault;

/// Runs the guest to its end. Returns the exit status.
pub fn serve(options: &Options, inputs: &Inputs, ready: Ready) -> Result<u8, Error> {
    let Inputs { image, attached, reporter } = inputs;
    let Ready { mut machine, sandbox, confined, deadline_ns } = ready;
    attached.iter().flat_map(|(_, what)| what.published()).for_each(|publish| say!("husk: {publish}"));
    testimony::begin(sandbox, deadline_ns);
    loop {
        let end = machine.run(&confined)?;
        if options.verbose && !matches!(end, End::Asked) {
            say!("{}", machine.guest().statistics);
        }
        match end {
            End::Exit(status) => return Ok(finish(&mut machine, Verdict::Exit, status)),
            End::Signal(signal) => return Ok(finish(&mut machine, Verdict::Signal, 128 + signal)),
            End::Fault { fault, registers } => {
                write_error(&reporter.stopped(image, &machine, &fault, *registers).to_string());
                let is_limit = fault == Fault::OutOfMemory;
                let verdict = if is_limit { Verdict::OutOfMemory } else { Verdict::Fault };
                testimony::end(verdict, &fault.to_string());
                return Ok(fault.status());
            }
            End::Asked => write_error(&reporter.report(image, &machine, None, None, &machine.threads()?).to_string()),
        }
    }
}

/// Finishes a run after the guest has ended with this status, and records the verdict. Returns the exit status.
fn finish(machine: &mut Machine, verdict: Verdict, status: u8) -> u8 {
    machine.finish();
    let is_late = signals::time_is_up();
    let (verdict, status) = if is_late { (Verdict::TimeIsUp, fault::TIME_IS_UP) } else { (verdict, status) };
    testimony::end(verdict, "");
    status
}
