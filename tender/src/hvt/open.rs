//! Opens KVM; each way in which that fails has a message with a remedy.
//!
//! A host without KVM is an ordinary one, where guests can run as processes ([`NotOpened::is_absent`]). A KVM that is there
//! and cannot be used is a mistake of its configuration: the user decides between mending that and the weaker sandbox.

use kvm_ioctls::Kvm;
use std::fmt;
use std::fs;
use std::io;
use std::os::unix::fs::MetadataExt;

const PATH: &str = "/dev/kvm";

/// The only version of the interface that was ever in use (KVM's api.rst, 4.1).
const API_VERSION: i32 = 12;

/// Reasons why KVM cannot be used.
#[derive(Debug)]
#[expect(missing_docs, reason = "each variant is explained by its message below")]
pub enum NotOpened {
    Absent,
    NoDevice,
    NotPermitted(Owner),
    Forbidden,
    Busy,
    NoDescriptors,
    NoFiles,
    NotKvm,
    Other(io::Error),
}

impl NotOpened {
    /// Returns true if this host has no KVM.
    pub fn is_absent(&self) -> bool {
        matches!(self, Self::Absent | Self::NoDevice)
    }

    /// Classifies an error of /dev/kvm.
    pub fn from_errno(errno: i32) -> Self {
        match errno {
            libc::ENOENT | libc::ENOTDIR => Self::Absent,
            libc::ENODEV | libc::ENXIO => Self::NoDevice,
            libc::EACCES => Self::NotPermitted(Owner::of(PATH)),
            // From the device controller of the control group that a container is in.
            libc::EPERM => Self::Forbidden,
            libc::EBUSY => Self::Busy,
            libc::EMFILE => Self::NoDescriptors,
            libc::ENFILE => Self::NoFiles,
            _ => Self::Other(io::Error::from_raw_os_error(errno)),
        }
    }
}

/// Users that have access by the rights of the device.
#[derive(Debug, PartialEq, Eq)]
pub enum Owner {
    /// Members of the group with this number.
    Group(u32),
    /// Root alone.
    Root,
    /// Every user, as far as its rights go, or unknown.
    Unknown,
}

impl Owner {
    fn of(path: &str) -> Self {
        const READ_WRITE: u32 = 0o6;
        let Ok(metadata) = fs::metadata(path) else { return Self::Unknown };
        let may = |shift: u32| metadata.mode() >> shift & READ_WRITE == READ_WRITE;
        match (may(0), may(3), metadata.gid()) {
            (true, ..) => Self::Unknown,
            (_, true, group) if group != 0 => Self::Group(group),
            _ => Self::Root,
        }
    }
}

/// Opens /dev/kvm.
pub fn open() -> Result<Kvm, NotOpened> {
    let kvm = Kvm::new().map_err(|error| NotOpened::from_errno(error.errno()))?;
    // The path may be something else, such as a file that a build made by mistake.
    match kvm.get_api_version() {
        API_VERSION => Ok(kvm),
        _ => Err(NotOpened::NotKvm),
    }
}

impl fmt::Display for NotOpened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Absent => write!(
                f,
                "{PATH} does not exist; load the kvm module, or enable virtualisation in this machine's firmware or its own hypervisor"
            ),
            Self::NoDevice => write!(
                f,
                "{PATH} has no device behind it; load the module kvm_intel or kvm_amd, or enable virtualisation in this machine's firmware or its own hypervisor"
            ),
            Self::NotPermitted(Owner::Group(group)) => write!(
                f,
                "no permission to use {PATH}; add yourself to its group (`sudo usermod -aG {} $USER`, then log in again){OR_SPT}",
                Group(*group)
            ),
            Self::NotPermitted(Owner::Root) => write!(
                f,
                "no permission to use {PATH}, which is root's alone; give it to the group kvm (`sudo chown root:kvm {PATH} && sudo chmod 660 {PATH}`) and add yourself to that (`sudo usermod -aG kvm $USER`, then log in again){OR_SPT}"
            ),
            Self::NotPermitted(Owner::Unknown) => write!(
                f,
                "no permission to use {PATH}, though its rights allow it; see whether its file system is mounted `nodev`, and what AppArmor or SELinux say{OR_SPT}"
            ),
            Self::Forbidden => write!(
                f,
                "this container or service may not use {PATH}; pass the device to it (`--device /dev/kvm`, or DeviceAllow=/dev/kvm rw){OR_SPT}"
            ),
            Self::Busy => write!(
                f,
                "another hypervisor has the processor's virtualisation; stop it (VirtualBox, VMware), or unload its kernel module{OR_SPT}"
            ),
            Self::NoDescriptors => {
                write!(f, "no descriptor is left for {PATH}; allow this process more (`ulimit -n`){OR_SPT}")
            }
            Self::NoFiles => {
                write!(f, "the host has no open file left for {PATH}; raise it (`sysctl fs.file-max`){OR_SPT}")
            }
            Self::NotKvm => write!(f, "{PATH} is not the device of KVM; remove it, and load the kvm module{OR_SPT}"),
            Self::Other(error) => write!(f, "cannot open {PATH}: {error}{OR_SPT}"),
        }
    }
}

/// The alternative, where the choice is the user's.
const OR_SPT: &str = "; or choose the weaker sandbox of a process, --target spt";

/// A group, by its name if /etc/group has it.
struct Group(u32);

impl fmt::Display for Group {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let groups = fs::read_to_string("/etc/group").unwrap_or_default();
        let mut names = groups.lines().filter_map(|line| {
            let mut fields = line.split(':');
            let name = fields.next()?;
            (fields.nth(1)?.parse() == Ok(self.0)).then_some(name)
        });
        match names.next() {
            Some(name) => f.write_str(name),
            None => self.0.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_absence_is_absence() {
        for errno in [libc::ENOENT, libc::ENOTDIR, libc::ENODEV, libc::ENXIO] {
            assert!(NotOpened::from_errno(errno).is_absent(), "{errno}");
        }
        for errno in [libc::EACCES, libc::EPERM, libc::EBUSY, libc::EMFILE, libc::ENFILE, libc::ENOMEM, libc::EIO] {
            let why = NotOpened::from_errno(errno);
            assert!(!why.is_absent(), "{errno}");
            assert!(why.to_string().ends_with("--target spt"), "{why}");
        }
    }

    #[test]
    fn a_group_is_named_or_numbered() {
        assert_eq!(Group(0).to_string(), "root");
        assert_eq!(Group(4_000_000_000).to_string(), "4000000000");
    }
}
