//! `husk run`: one image, from file to exit status.

use crate::boot::{self, Program};
use crate::error::Error;
use crate::fault::Fault;
use crate::guest::Guest;
use crate::hvt::{self, End, Machine};
use crate::image::Image;
use crate::layout::Layout;
use crate::memory::Memory;
use crate::registers::Registers;
use crate::report::{self, Report, place};
use crate::signals;
use crate::statistics::Statistics;
use husk_abi::boot::Flags;
use std::fs::File;
use std::io::{IsTerminal, Read};
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
    if let Some(device) = image.notes.devices.first() {
        let name = device.name.get(..device.name_length as usize).unwrap_or(&device.name);
        return Err(Error::DeviceUnattached { name: String::from_utf8_lossy(name).into_owned() });
    }
    let kvm = hvt::open()?;
    let (draw, entropy) = random()?;
    let memory = options.memory.unwrap_or(image.notes.manifest.memory);
    let layout = Layout::plan(&image, memory, if options.randomize { draw } else { 0 })?;
    let mut flags = Flags::empty();
    flags.set(Flags::VERBOSE, options.verbose);
    let boot = boot::write(&image, &layout, &options.program, flags, entropy)?;
    let memory = Memory::map(layout, &image)?;
    layout.touched_at_start(image.notes.manifest.kind).into_iter().for_each(|region| memory.warm(region));
    let statistics = Statistics::new(options.verbose, options.started);
    // Not dropped: the process ends, and what the kernel does then anyway it does faster all at once.
    let mut machine = ManuallyDrop::new(Machine::new(&kvm, &image, memory, &boot, statistics)?);
    let end = machine.run()?;
    if options.verbose {
        eprintln!("{}", machine.guest().statistics);
    }
    match end {
        End::Exit(status) => Ok(status),
        End::Fault { fault, registers } => {
            eprint!("{}", stopped(&image, machine.guest(), &fault, *registers));
            Ok(fault.status())
        }
    }
}

/// The report on a guest that broke the contract.
fn stopped(image: &Image, guest: &Guest, fault: &Fault, registers: Registers) -> Report {
    let layout = guest.memory.layout();
    let stop = report::Stop {
        what: fault.to_string(),
        access: fault.access(),
        registers,
        image: &image.path,
        file: &image.file,
        load_bias: layout.load_bias,
        map: &place::map(image, layout),
        read_guest: &mut |address| guest.memory.peek(address),
        debug_directory: None,
    };
    stop.report().with_colour(std::io::stderr().is_terminal())
}

/// A number for the layout and 32 bytes for the guest, never used twice.
fn random() -> Result<(u64, [u8; 32]), Error> {
    let mut bytes = [0; 40];
    File::open("/dev/urandom").and_then(|mut file| file.read_exact(&mut bytes)).map_err(Error::NoEntropy)?;
    let (mut draw, mut entropy) = ([0; 8], [0; 32]);
    draw.copy_from_slice(&bytes[..8]);
    entropy.copy_from_slice(&bytes[8..]);
    Ok((u64::from_le_bytes(draw), entropy))
}
