//! `husk run`: one image, from file to exit status.

use crate::boot::{self, Entropy, Program};
use crate::clock::{Counter, Moment};
use crate::confine::{self, Descriptors, Lacks, Plan, Role, User, calls, files, privileges};
use crate::devices::attach::{self, Attachment, What};
use crate::devices::console;
use crate::devices::{Open, table};
use crate::error::Error;
use crate::fault::Fault;
use crate::grant::Grant;
use crate::hvt::{self, Cpu, Hvt};
use crate::image::Image;
use crate::layout::{Addresses, Layout, Unfit};
use crate::machine::{End, Machine};
use crate::memory::{self, Memory};
use crate::processors;
use crate::registers::Registers;
use crate::report::{self, DebugFiles, Report, place};
use crate::say;
use crate::share::Share;
use crate::signals;
use crate::size::Size;
use crate::spt::{Spt, watchdog};
use crate::statistics::Statistics;
use crate::streams::write_error;
use crate::supervise;
use crate::supervise::testimony::{self, Sandbox, Verdict};
use crate::target::{Choice, Target};
use crate::threads::Thread;
use crate::time::monotonic_ns;
use crate::timeout;
use husk_abi::boot::Flags;
use husk_abi::fault;
use husk_abi::note::kind;
use kvm_ioctls::Kvm;
use std::io::IsTerminal;
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::time::{Duration, Instant};

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The image file.
    pub image: PathBuf,
    /// How much memory the guest gets.
    pub memory: Grant,
    /// Arguments and environment.
    pub program: Program,
    /// Whether the base of a relocatable image is drawn at random.
    pub randomize: bool,
    /// What it is to run in.
    pub target: Choice,
    /// Refuse hosts that protect less than Husk can use.
    pub strict: bool,
    /// The devices that are attached.
    pub devices: Vec<Attachment>,
    /// How long a guest may take to end when it has been told to, in seconds.
    pub grace_s: u64,
    /// Whether to tell what the guest does.
    pub verbose: bool,
    /// How the guest's output is treated.
    pub console: console::Options,
    /// Which share of a processor the guest may use.
    pub share: Option<Share>,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// Which processor a std program is shown.
    pub cpu: Cpu,
    /// Whom to go on as, once everything is open.
    pub user: Option<User>,
    /// When the tender began.
    pub started: Instant,
}

/// Runs an image to its end and returns the exit status. A fault is reported on standard error.
pub fn run(options: &Options) -> Result<u8, Error> {
    files::close_inherited(options.devices.iter().filter_map(Attachment::descriptor).collect());
    privileges::check(options.user)?;
    signals::receive(options.grace_s);
    // Not closed: once the guest has run, no call is allowed that needless.
    let image = ManuallyDrop::new(Image::open(&options.image).map_err(Error::image(&options.image))?);
    let memory = options.memory.to(&image).map_err(Error::over_maximum(&image.path))?;
    let matched = matched(&image, &options.devices)?;
    let began = Moment::now(0);
    let kvm = kvm(options.target, options.strict)?;
    if let Some(share) = options.share.filter(|_| kvm.is_none()) {
        watchdog::start(share, !matched.is_empty(), options.user).map_err(Error::NoWatchdog)?;
    }
    let (feature, sandbox) = if kvm.is_some() { (&calls::KVM, Sandbox::Hvt) } else { (&calls::SPT, Sandbox::Spt) };
    let plan = Plan::new(feature, matched.iter().map(|(_, what)| what.feature()));
    let devices: Vec<Open> =
        matched.iter().map(|(name, what)| Open::new(name.clone(), what)).collect::<Result<_, _>>()?;
    let (draw, entropy) = random()?;
    let rings = table::rings_size(devices.len());
    let addresses = if kvm.is_some() { Addresses::Translated } else { Addresses::Direct };
    let draw = if options.randomize { draw } else { 0 };
    let memory = placed(&image, draw, |draw| Layout::plan(&image, memory, draw, rings, addresses))?;
    let mut flags = Flags::empty();
    flags.set(Flags::VERBOSE, options.verbose);
    flags.set(Flags::NEAR, kvm.is_none());
    flags.set(Flags::ALONE, !devices.is_empty() && processors::is_alone());
    let boot = boot::write(&image, memory.layout(), &options.program, flags, entropy, &devices)?;
    let mut statistics = Statistics::new(options.verbose, options.started);
    // Not dropped: the process ends, and what the kernel does then anyway it does faster all at once.
    let (target, memory, counter): (Box<dyn Target>, _, _) = match kvm {
        Some(kvm) => {
            let (target, memory, counter) =
                Hvt::new(&kvm, &image, memory, &boot, !devices.is_empty(), options.cpu, began)?;
            (Box::new(target), memory, counter)
        }
        None if options.cpu == Cpu::Baseline => return Err(Error::NoOtherProcessor),
        None => {
            let (target, memory) = Spt::new(&image, memory, &boot)?;
            (Box::new(target), memory, Counter::of_host(began))
        }
    };
    let reporter = ManuallyDrop::new(Reporter::new(&image));
    let confining = Instant::now();
    let (mut crew, lack) = confine::confine_process(plan, options.user)?;
    supervise::tie()?;
    let lacks = Lacks::from_iter(target.lack().into_iter().chain(lack));
    statistics.confine(confining.elapsed());
    if lacks.is_any() && options.strict {
        return Err(Error::TooWeak(lacks));
    }
    if lacks.is_any() {
        say!("husk: {lacks}");
    }
    reporter.list(&mut crew.descriptors);
    // From here on, nothing can be opened.
    #[cfg(feature = "attack")]
    crate::confine::attack::attempt("process");
    let machine = Machine::new(target, &image, memory, counter, statistics, devices, &mut crew)?;
    let machine = machine.with_console(options.console);
    let mut machine = ManuallyDrop::new(machine);
    options.share.map_or(Ok(()), |share| machine.hold_to(share)).map_err(Error::NoTimer)?;
    let deadline_ns = options.timeout.map(|after| monotonic_ns().saturating_add(after.as_nanos() as u64));
    options.timeout.map_or(Ok(()), |after| timeout::start(after, options.grace_s)).map_err(Error::NoTimer)?;
    let first = machine.prepare(&mut crew)?;
    let confining = Instant::now();
    let confined = crew.confine_processor(&first)?;
    machine.statistics().confine(confining.elapsed());
    #[cfg(feature = "attack")]
    crate::confine::attack::attempt("processor");
    matched.iter().flat_map(|(_, what)| what.published()).for_each(|publish| say!("husk: {publish}"));
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
                write_error(&reporter.stopped(&machine, &fault, *registers).to_string());
                let is_limit = fault == Fault::OutOfMemory;
                let verdict = if is_limit { Verdict::OutOfMemory } else { Verdict::Fault };
                testimony::end(verdict, &fault.to_string());
                return Ok(fault.status());
            }
            End::Asked => write_error(&reporter.report(&machine, None, None, &machine.threads()?).to_string()),
        }
    }
}

/// Ends a run whose guest has ended with this status, and says so. Returns the exit status.
fn finish(machine: &mut Machine, verdict: Verdict, status: u8) -> u8 {
    machine.finish();
    let is_late = signals::time_is_up();
    let (verdict, status) = if is_late { (Verdict::TimeIsUp, fault::TIME_IS_UP) } else { (verdict, status) };
    testimony::end(verdict, "");
    status
}

/// The image in its memory, where a `plan` for this random number has it; where that is taken, for another number.
fn placed(image: &Image, draw: u64, plan: impl Fn(u64) -> Result<Layout, Unfit>) -> Result<Memory, Error> {
    /// Next to nothing is taken: one in a thousand tries finds something.
    const TRIES: u64 = 8;
    /// The golden ratio, which scatters what follows each other.
    const SCATTER: u64 = 0x9e37_79b9_7f4a_7c15;
    let tries = if image.relocatable { TRIES } else { 1 };
    let place = |attempt: u64| {
        let layout = plan(draw.wrapping_add(attempt.wrapping_mul(SCATTER))).map_err(Error::unfit(&image.path))?;
        Memory::map(layout, image).map_err(Error::memory(&image.path))
    };
    let taken = |result: &Result<_, Error>| {
        matches!(result, Err(Error::Memory { error: memory::Error::AddressesTaken(_), .. }))
    };
    (0..tries - 1).map(place).find(|result| !taken(result)).unwrap_or_else(|| place(tries - 1))
}

/// Opens KVM, if the guest is to have a virtual machine. Where the user names no target, only a host without any KVM changes
/// that, and not if the user is `strict`: a KVM that is there and cannot be used is an error to be mended.
pub fn kvm(target: Choice, strict: bool) -> Result<Option<Kvm>, Error> {
    if target == Choice::Spt {
        return Ok(None);
    }
    match hvt::open::open() {
        Err(why) if target == Choice::Automatic && why.is_absent() && strict => Err(Error::StrictWithoutKvm(why)),
        Err(why) if target == Choice::Automatic && why.is_absent() => {
            say!("husk: runs as a process: {why}");
            Ok(None)
        }
        opened => opened.map(Some).map_err(Error::KvmNotOpened),
    }
}

/// Which of the user's devices is which of the image's.
pub(crate) fn matched(image: &Image, given: &[Attachment]) -> Result<Vec<(String, What)>, Error> {
    let is_std = image.notes.manifest.kind == kind::STD;
    attach::matched(is_std, &image.notes.devices, given).map_err(Error::Mismatch)
}

/// Makes reports, with what had to be opened for that before.
struct Reporter<'i> {
    image: &'i Image,
    debug_files: DebugFiles,
    colour: bool,
}

impl<'i> Reporter<'i> {
    fn new(image: &'i Image) -> Self {
        let debug_files = DebugFiles::open(&image.path, &image.notes.build_id, None);
        Self { image, debug_files, colour: std::io::stderr().is_terminal() }
    }

    /// Notes which files it reads.
    fn list(&self, descriptors: &mut Descriptors) {
        descriptors.add(Role::Image, &self.image.file);
        self.debug_files.list(descriptors);
    }

    /// The report on a guest that broke the contract.
    fn stopped(&self, machine: &Machine, fault: &Fault, registers: Registers) -> Report {
        let threads = machine.threads_at(registers);
        let (what, past) = (Some(fault.to_string()), fault.is_past());
        if *fault == Fault::Deadlock {
            return self.report(machine, what, None, &threads);
        }
        let current = threads.first().filter(|thread| thread.has_processor());
        // What the program did, not how the libos told of it.
        let registers = match (fault, current) {
            (Fault::Signal(_), Some(thread)) => thread.registers,
            _ => registers,
        };
        // One thread needs no name.
        let thread = current.filter(|_| threads.len() > 1).map(Thread::called);
        let stop = report::Stop { access: fault.access(), registers, past, thread };
        let mut report = self.report(machine, what, Some(stop), &[]);
        if fault.gave_up()
            && let Some(asked) = machine.guest().statistics.refused()
        {
            let memory = Size(machine.guest().memory.layout().window.length);
            report.note(format!(
                "it was refused memory before: it asked for {asked} bytes more, and --memory is {memory}"
            ));
        }
        report
    }

    /// A report on `what` stopped the guest, if anything did, and where, and on these threads.
    fn report(
        &self,
        machine: &Machine,
        what: Option<String>,
        stop: Option<report::Stop>,
        threads: &[Thread],
    ) -> Report {
        let memory = &machine.guest().memory;
        let inquiry = report::Inquiry {
            what,
            stop,
            threads,
            image: &self.image.path,
            file: &self.image.file,
            load_bias: memory.layout().load_bias,
            map: &place::map(self.image, memory.layout()),
            read_guest: &mut |address| memory.peek(address),
            debug_files: Some(&self.debug_files),
        };
        inquiry.report().with_colour(self.colour)
    }
}

/// A number for the layout and what the guest gets, never used twice.
fn random() -> Result<(u64, Entropy), Error> {
    let mut bytes = [0; 56];
    getrandom::fill(&mut bytes).map_err(|error| Error::NoEntropy(error.into()))?;
    let (mut draw, mut entropy) = ([0; 8], Entropy::default());
    draw.copy_from_slice(&bytes[..8]);
    entropy.guest.copy_from_slice(&bytes[8..40]);
    entropy.program.copy_from_slice(&bytes[40..]);
    Ok((u64::from_le_bytes(draw), entropy))
}
