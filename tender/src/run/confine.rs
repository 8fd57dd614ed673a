//! Third phase of a run: the process gives up what it does not need any more, and its threads enter their filters.

use super::Options;
use super::open::Inputs;
use super::populate::Populated;
use crate::confine::{self, Confined, Lacks, Plan, calls};
use crate::devices::Open;
use crate::devices::folder::Tree;
use crate::error::Error;
use crate::host::time::monotonic_ns;
use crate::limits::timeout;
use crate::say;
use crate::supervise;
use crate::supervise::testimony::Sandbox;
use crate::vm::machine::Machine;
use crate::vm::statistics::Statistics;
use std::mem::ManuallyDrop;
use std::time::Instant;

/// A guest that is ready to run, in a process that can do nothing but serve it.
pub struct Ready {
    /// The guest and its processor. Never dropped, because the process ends, and the kernel frees everything at once faster.
    pub machine: ManuallyDrop<Machine>,
    /// Sandbox that the guest runs in.
    pub sandbox: Sandbox,
    /// Proof that no thread is left unconfined.
    pub confined: Confined,
    /// Deadline of the guest, as monotonic time in nanoseconds, if it has one.
    pub deadline_ns: Option<u64>,
}

/// Confines the process, makes the machine with the threads that serve it, and confines
/// these. Starts the guest's time (`--timeout`).
pub fn confine(options: &Options, started: Instant, inputs: &Inputs, populated: Populated) -> Result<Ready, Error> {
    let Inputs { image, attached, reporter } = inputs;
    let Populated { vm, vcpu, sandbox, devices, host_files, streams, began } = populated;
    let mut statistics = Statistics::new(options.verbose, started);
    let confining = Instant::now();
    let feature = match sandbox {
        Sandbox::Hvt => &calls::KVM,
        Sandbox::Spt => &calls::SPT,
    };
    let answers = host_files.feature().into_iter().chain(streams.features());
    let plan = Plan::new(feature, answers, attached.iter().flat_map(|(_, what)| what.features()));
    let folders = devices.iter().filter_map(Open::folder).map(Tree::beneath);
    let beneath: Vec<_> = folders.chain(host_files.beneath()).collect();
    let (mut crew, lack) = confine::confine_process(plan, options.user, &beneath)?;
    supervise::tie()?;
    statistics.confine(confining.elapsed());
    accept(Lacks::from_iter(vm.lack().into_iter().chain(lack)), options.strict)?;
    reporter.list(image, &mut crew.descriptors);
    host_files.list(&mut crew.descriptors);
    streams.list(&mut crew.descriptors);
    // From here on, nothing can be opened.
    #[cfg(feature = "attack")]
    crate::confine::attack::attempt("process");
    let machine = Machine::new(vm, vcpu, image, began, statistics, devices, &mut crew)?;
    let mut machine = ManuallyDrop::new(machine.with_console(options.console, streams).with_host_files(host_files));
    #[cfg(feature = "pauses")]
    if !attached.is_empty() {
        machine.pauser().pause_often(&mut crew)?;
    }
    options.share.map_or(Ok(()), |share| machine.throttle(share)).map_err(Error::NoTimer)?;
    let deadline_ns = options.timeout.map(|after| monotonic_ns().saturating_add(after.as_nanos() as u64));
    options.timeout.map_or(Ok(()), |after| timeout::start(after, options.grace_s)).map_err(Error::NoTimer)?;
    let first = machine.prepare(&mut crew)?;
    let confining = Instant::now();
    let confined = crew.confine_processor(&first)?;
    machine.statistics().confine(confining.elapsed());
    #[cfg(feature = "attack")]
    crate::confine::attack::attempt("processor");
    Ok(Ready { machine, sandbox, confined, deadline_ns })
}

/// Continues with less protection, after one line about it, or returns an error if the user is `strict`.
fn accept(lacks: Lacks, strict: bool) -> Result<(), Error> {
    match (lacks.is_any(), strict) {
        (false, _) => Ok(()),
        (true, true) => Err(Error::TooWeak(lacks)),
        (true, false) => {
            say!("husk: {lacks}");
            Ok(())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::confine::Lack;

    #[test]
    fn only_the_strict_refuse_a_host_that_protects_less() {
        assert!(accept(Lacks::default(), true).is_ok());
        assert!(accept(Lacks::from_iter([Lack::Landlock]), true).is_err());
    }
}
