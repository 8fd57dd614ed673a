//! First phase of a run: everything that has a name is opened.

use super::Options;
use super::reporter::Reporter;
use crate::confine::{files, privileges};
use crate::devices::Open;
use crate::devices::attach::{self, Attachment, Mismatch, What};
use crate::devices::mounts;
use crate::error::Error;
use crate::host::signals;
use crate::host_files::{self, HostFiles};
use crate::hvt;
use crate::image::Image;
use crate::say;
use crate::spt::watchdog;
use crate::vm::clock::Moment;
use crate::vm::target::Choice;
use husk_abi::note::kind;
use kvm_ioctls::Kvm;
use std::mem::ManuallyDrop;

/// Image, devices and debug files, which a run uses to its end.
pub struct Inputs {
    /// The image.
    pub image: Image,
    /// Attached devices: name in the image, and what is attached.
    pub attached: Vec<(String, What)>,
    /// Debug files, for reports.
    pub reporter: Reporter,
}

/// Result of the first phase, for the second.
pub struct Opened {
    /// Bytes of memory that the guest gets.
    pub memory: u64,
    /// KVM, if the guest gets a virtual machine. Closed after the virtual machine is made.
    pub kvm: Option<Kvm>,
    /// Attached devices, open.
    pub devices: Vec<Open>,
    /// Files of the host that the guest may read, open.
    pub host_files: HostFiles,
    /// Time right before KVM was opened, by the host's clocks.
    pub began: Moment,
}

/// Opens everything that `options` name, and receives signals from then on. Forks the
/// watchdog, if one is needed, before there is a guest. The inputs are never closed, because after the guest has run, the filters
/// allow only the system calls that are needed.
pub fn open(options: &Options) -> Result<(ManuallyDrop<Inputs>, Opened), Error> {
    files::close_inherited(options.devices.iter().filter_map(Attachment::descriptor).collect());
    privileges::check(options.user)?;
    signals::receive(options.grace_s);
    let image = Image::open(&options.image).map_err(Error::image(&options.image))?;
    let memory = options.memory.to(&image).map_err(Error::over_maximum(&image.path))?;
    let attached = matched(&image, options)?;
    let began = Moment::now(0);
    let kvm = kvm(options.target, options.strict)?;
    if let Some(share) = options.share.filter(|_| kvm.is_none()) {
        watchdog::start(share, !attached.is_empty(), options.user).map_err(Error::NoWatchdog)?;
    }
    let opened = attached.iter().map(|(name, what)| Open::new(name.clone(), what));
    let devices = opened.collect::<Result<_, _>>()?;
    let host_files = host_files(&image, &options.host_files, &attached)?;
    let reporter = Reporter::new(&image);
    let inputs = ManuallyDrop::new(Inputs { image, attached, reporter });
    Ok((inputs, Opened { memory, kvm, devices, host_files, began }))
}

/// Opens KVM, unless the user chose spt. Without a chosen target, a host without KVM runs the guest as a process, which is an
/// error if the user is `strict`. A KVM that exists but cannot be used is always an error, because the user can fix it.
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

/// Matches the user's devices to the image's.
pub(crate) fn matched(image: &Image, options: &Options) -> Result<Vec<(String, What)>, Error> {
    let (notes, given) = (&image.notes, &options.devices);
    let is_std = notes.manifest.kind == kind::STD;
    attach::check_folders(is_std, notes.takes_folders, given).map_err(Error::Mismatch)?;
    let mounts = mounts::all(&options.mounts, &notes.mounts);
    attach::check_mounts(is_std, notes.takes_mounts, &mounts).map_err(Error::Mismatch)?;
    attach::matched(is_std, &notes.devices, given, &mounts).map_err(Error::Mismatch)
}

/// Opens what the guest may read of the host's files. A native program has no files, so options that only change them are an error.
pub(crate) fn host_files(
    image: &Image,
    options: &host_files::Options,
    attached: &[(String, What)],
) -> Result<HostFiles, Error> {
    if image.notes.manifest.kind == kind::STD {
        return Ok(HostFiles::open(options, attached));
    }
    match options.names_flag() {
        Some(flag) => Err(Error::Mismatch(Mismatch::NoNames { flag })),
        None => Ok(HostFiles::default()),
    }
}
