//! `husk run`: one image, from file to exit status.

use crate::boot::{self, Entropy, Program};
use crate::clock::{Rate, Sample};
use crate::devices::attach::{self, Attachment};
use crate::devices::{Open, table};
use crate::error::{Error, Size};
use crate::fault::Fault;
use crate::hvt::{self, Hvt};
use crate::image::Image;
use crate::layout::{Addresses, Layout};
use crate::machine::{End, Machine};
use crate::memory::Memory;
use crate::registers::Registers;
use crate::report::{self, Report, place};
use crate::signals;
use crate::spt::Spt;
use crate::statistics::Statistics;
use crate::target::{Choice, Target};
use crate::threads::Thread;
use husk_abi::boot::Flags;
use husk_abi::note::kind;
use kvm_ioctls::Kvm;
use std::io::{IsTerminal, Write};
use std::mem::ManuallyDrop;
use std::path::PathBuf;
use std::time::Instant;

/// What to run, and how.
#[derive(Clone, Debug)]
pub struct Options {
    /// The image file.
    pub image: PathBuf,
    /// Guest memory in bytes; what the image asks for if absent.
    pub memory: Option<u64>,
    /// Arguments and environment.
    pub program: Program,
    /// Whether the base of a relocatable image is drawn at random.
    pub randomize: bool,
    /// What it is to run in.
    pub target: Choice,
    /// The devices that are attached.
    pub devices: Vec<Attachment>,
    /// How long a guest may take to end when it has been told to, in seconds.
    pub grace_s: u64,
    /// Whether to tell what the guest does.
    pub verbose: bool,
    /// When the tender began.
    pub started: Instant,
}

/// Runs an image to its end and returns the exit status. A fault is reported on standard error.
pub fn run(options: &Options) -> Result<u8, Error> {
    signals::receive(options.grace_s);
    let image = Image::open(&options.image)?;
    let devices = open_devices(&image, &options.devices)?;
    let start = Sample::take();
    let kvm = kvm(options)?;
    let (draw, entropy) = random()?;
    let memory = options.memory.unwrap_or(image.notes.manifest.memory);
    let rings = table::rings_size(devices.len());
    let addresses = if kvm.is_some() { Addresses::Translated } else { Addresses::Direct };
    let draw = if options.randomize { draw } else { 0 };
    let layout = Layout::plan(&image, memory, draw, rings, addresses)?;
    let mut flags = Flags::empty();
    flags.set(Flags::VERBOSE, options.verbose);
    let boot = boot::write(&image, &layout, &options.program, flags, entropy, &devices)?;
    let memory = Memory::map(layout, &image)?;
    let statistics = Statistics::new(options.verbose, options.started);
    // Not dropped: the process ends, and what the kernel does then anyway it does faster all at once.
    let (target, memory, rate): (Box<dyn Target>, _, _) = match kvm {
        Some(kvm) => {
            let (target, memory, khz) = Hvt::new(&kvm, &image, memory, &boot, !devices.is_empty())?;
            (Box::new(target), memory, Rate::Known(khz))
        }
        None => {
            let (target, memory) = Spt::new(&image, memory, &boot)?;
            (Box::new(target), memory, Rate::Seen(start))
        }
    };
    let machine = Machine::new(target, &image, memory, rate, statistics, devices)?;
    let mut machine = ManuallyDrop::new(machine);
    loop {
        let end = machine.run()?;
        if options.verbose && !matches!(end, End::Asked) {
            eprintln!("{}", machine.guest().statistics);
        }
        match end {
            End::Exit(status) => {
                machine.finish();
                return Ok(status);
            }
            End::Fault { fault, registers } => {
                tell(&stopped(&image, &machine, &fault, *registers));
                return Ok(fault.status());
            }
            End::Asked => tell(&report(&image, &machine, None, None, &machine.threads()?)),
        }
    }
}

/// Opens KVM, if the guest is to have a virtual machine.
fn kvm(options: &Options) -> Result<Option<Kvm>, Error> {
    match options.target {
        Choice::Spt => Ok(None),
        Choice::Hvt => hvt::open().map(Some),
        Choice::Automatic => Ok(hvt::open().map_err(|why| eprintln!("husk: runs as a process: {why}")).ok()),
    }
}

/// Opens the devices that the image wants and the user attaches.
fn open_devices(image: &Image, given: &[Attachment]) -> Result<Vec<Open>, Error> {
    let is_std = image.notes.manifest.kind == kind::STD;
    let matched = attach::matched(is_std, &image.notes.devices, given).map_err(Error::Mismatch)?;
    matched.into_iter().map(|(name, what)| Open::new(name, &what)).collect()
}

/// Writes a report to standard error, if anybody reads it.
fn tell(report: &Report) {
    let _ = std::io::stderr().write_all(report.to_string().as_bytes());
}

/// The report on a guest that broke the contract.
fn stopped(image: &Image, machine: &Machine, fault: &Fault, registers: Registers) -> Report {
    let threads = machine.threads_at(registers);
    let (what, past) = (Some(fault.to_string()), fault.is_past());
    if *fault == Fault::Deadlock {
        return report(image, machine, what, None, &threads);
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
    let mut report = report(image, machine, what, Some(stop), &[]);
    if fault.gave_up()
        && let Some(asked) = machine.guest().statistics.refused()
    {
        let memory = Size(machine.guest().memory.layout().window.length);
        report.note(format!("it was refused memory before: it asked for {asked} bytes more, and --memory is {memory}"));
    }
    report
}

/// A report on `what` stopped the guest, if anything did, and where, and on these threads.
fn report(
    image: &Image,
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
        image: &image.path,
        file: &image.file,
        load_bias: memory.layout().load_bias,
        map: &place::map(image, memory.layout()),
        read_guest: &mut |address| memory.peek(address),
        debug_directory: None,
    };
    inquiry.report().with_colour(std::io::stderr().is_terminal())
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
