//! First phase of a run: everything that has a name is opened.

use super::Options;
use super::reporter::Reporter;
use crate::clock::Moment;
use crate::confine::{files, privileges};
use crate::devices::Open;
use crate::devices::attach::{self, Attachment, What};
use crate::error::Error;
use crate::hvt;
use crate::image::Image;
use crate::say;
use crate::signals;
use crate::spt::watchdog;
use crate::target::Choice;
use husk_abi::note::kind;
use kvm_ioctls::Kvm;
use std::mem::ManuallyDrop;

/// What a run has open.
pub struct Opened {
    /// The image. It is not closed: once the guest has run, no call is allowed that is not needed.
    pub image: ManuallyDrop<Image>,
    /// Bytes of memory that the guest gets.
    pub memory: u64,
    /// KVM, if the guest gets a virtual machine. It is closed when that is made.
    pub kvm: Option<Kvm>,
    /// Each device that is attached: its name in the image, and what it is.
    pub attached: Vec<(String, What)>,
    /// The same, open.
    pub devices: Vec<Open>,
    /// Debug files, for reports.
    pub reporter: ManuallyDrop<Reporter>,
    /// When that began, by the host's clocks.
    pub began: Moment,
}

/// Opens what `options` name, and receives signals from then on. A watchdog that is needed is forked, before there is a guest.
pub fn open(options: &Options) -> Result<Opened, Error> {
    files::close_inherited(options.devices.iter().filter_map(Attachment::descriptor).collect());
    privileges::check(options.user)?;
    signals::receive(options.grace_s);
    let image = ManuallyDrop::new(Image::open(&options.image).map_err(Error::image(&options.image))?);
    let memory = options.memory.to(&image).map_err(Error::over_maximum(&image.path))?;
    let attached = matched(&image, &options.devices)?;
    let began = Moment::now(0);
    let kvm = kvm(options.target, options.strict)?;
    if let Some(share) = options.share.filter(|_| kvm.is_none()) {
        watchdog::start(share, !attached.is_empty(), options.user).map_err(Error::NoWatchdog)?;
    }
    let opened = attached.iter().map(|(name, what)| Open::new(name.clone(), what));
    let devices = opened.collect::<Result<_, _>>()?;
    let reporter = ManuallyDrop::new(Reporter::new(&image));
    Ok(Opened { image, memory, kvm, attached, devices, reporter, began })
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
