//! Second phase of a run: the guest's memory, with its image and its boot information, and its processor.

use super::Options;
use super::open::Opened;
use crate::arch::hvt::Cpu;
use crate::devices::{Open, table};
use crate::error::Error;
use crate::host::entropy;
use crate::host::processors;
use crate::host_files::HostFiles;
use crate::hvt::Hvt;
use crate::image::Image;
use crate::memory::layout::{Addresses, Layout, Unfit};
use crate::memory::{self, Memory};
use crate::spt::Spt;
use crate::supervise::testimony::Sandbox;
use crate::vm::boot::{self, Entropy, Names};
use crate::vm::clock::Moment;
use crate::vm::guest_streams::Streams;
use crate::vm::target::{Vcpu, Vm};
use husk_abi::boot::Flags;
use std::ffi::OsString;

/// A guest that is ready to run, in a process that is not confined yet.
pub struct Populated {
    /// Machine of the guest.
    pub vm: Box<dyn Vm>,
    /// Processor of the guest.
    pub vcpu: Box<dyn Vcpu>,
    /// Sandbox that the guest runs in.
    pub sandbox: Sandbox,
    /// Attached devices, open.
    pub devices: Vec<Open>,
    /// Files of the host that the guest may read, open.
    pub host_files: HostFiles,
    /// Standard streams.
    pub streams: Streams,
    /// Start of the tender, by the host's clocks.
    pub began: Moment,
}

/// Maps the image and writes the boot information. Opens nothing that the user or the guest names.
pub fn populate(options: &Options, image: &Image, opened: Opened) -> Result<Populated, Error> {
    let Opened { memory, kvm, devices, host_files, began } = opened;
    let (aslr_seed, entropy) = random()?;
    let rings = table::rings_size(devices.len());
    let addresses = if kvm.is_some() { Addresses::Translated } else { Addresses::Direct };
    let aslr_seed = if options.randomize { aslr_seed } else { 0 };
    let memory = placed(image, aslr_seed, |aslr_seed| Layout::plan(image, memory, aslr_seed, rings, addresses))?;
    let mut flags = Flags::empty();
    flags.set(Flags::VERBOSE, options.verbose);
    flags.set(Flags::NEAR, kvm.is_none());
    flags.set(Flags::ALONE, !devices.is_empty() && processors::is_alone());
    let hostname = options.host_files.hostname.as_ref().map(OsString::from);
    let streams = Streams::of_process(options.console);
    let names = Names { hostname, host_files: host_files.paths(), streams: streams.0 };
    let boot = boot::write(image, memory.layout(), &options.program, &names, flags, entropy, &devices)?;
    let (mut vm, sandbox): (Box<dyn Vm>, _) = match kvm {
        Some(kvm) => (Box::new(Hvt::new(&kvm, image, memory, &boot, !devices.is_empty(), options.cpu)?), Sandbox::Hvt),
        None if options.cpu == Cpu::Baseline => return Err(Error::NoOtherProcessor),
        None => (Box::new(Spt::new(image, memory, &boot)?), Sandbox::Spt),
    };
    let vcpu = vm.create_vcpu()?;
    Ok(Populated { vm, vcpu, sandbox, devices, host_files, streams, began })
}

/// Maps the image at the addresses that `plan` derives from this random number; if these are taken, tries another number.
fn placed(image: &Image, aslr_seed: u64, plan: impl Fn(u64) -> Result<Layout, Unfit>) -> Result<Memory, Error> {
    /// Attempts: few addresses are taken, one try in a thousand fails.
    const TRIES: u64 = 8;
    /// The golden ratio, which scatters consecutive attempts.
    const SCATTER: u64 = 0x9e37_79b9_7f4a_7c15;
    let tries = if image.relocatable { TRIES } else { 1 };
    let place = |attempt: u64| {
        let layout = plan(aslr_seed.wrapping_add(attempt.wrapping_mul(SCATTER))).map_err(Error::unfit(&image.path))?;
        Memory::map(layout, image).map_err(Error::memory(&image.path))
    };
    let taken = |result: &Result<_, Error>| {
        matches!(result, Err(Error::Memory { error: memory::Error::AddressesTaken(_), .. }))
    };
    (0..tries - 1).map(place).find(|result| !taken(result)).unwrap_or_else(|| place(tries - 1))
}

/// Random number for the layout, and entropy for the guest, never used twice.
fn random() -> Result<(u64, Entropy), Error> {
    let mut bytes = [0; 56];
    entropy::fill(&mut bytes)?;
    let (mut aslr_seed, mut entropy) = ([0; 8], Entropy::default());
    aslr_seed.copy_from_slice(&bytes[..8]);
    entropy.guest.copy_from_slice(&bytes[8..40]);
    entropy.program.copy_from_slice(&bytes[40..]);
    Ok((u64::from_le_bytes(aslr_seed), entropy))
}
