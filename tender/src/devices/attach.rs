//! Match between the user's devices and the image's: by name, each exactly once, each of its kind.

use super::mount::Mount;
use super::{block, folder, mounts, net};
use crate::confine::calls::{self, Feature};
use crate::image::{Kind, Wanted};
use husk_abi::note::DEFAULT_NETWORK;
use std::fmt;
use std::os::fd::RawFd;
use std::path::Path;

/// A device that the user attaches.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Attachment {
    /// Name of the device of the image to attach to; the image's only device of that kind if absent.
    pub name: Option<String>,
    /// Description of the device.
    pub what: What,
}

/// A device as the user describes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// A network card.
    Network(net::Options),
    /// A disk.
    Block(block::Options),
    /// A folder.
    Folder(folder::Options),
}

impl What {
    /// Kind of the device.
    pub const fn kind(&self) -> Kind {
        match self {
            Self::Network(_) => Kind::Network,
            Self::Block(_) => Kind::Block,
            Self::Folder(_) => Kind::Folder,
        }
    }

    /// System calls that serving this device takes.
    pub fn features(&self) -> impl Iterator<Item = &'static Feature> + use<> {
        let (feature, more) = match self {
            Self::Network(options) => match options.backend {
                net::Backend::Tap(_) | net::Backend::Descriptor(_) => (&calls::TAP, None),
                net::Backend::Passt(_) => (&calls::PASST, None),
                net::Backend::User(_) => (&calls::USER_NETWORK, None),
            },
            Self::Block(_) => (&calls::BLOCK, None),
            Self::Folder(options) => (&calls::FOLDER, (!options.read_only).then_some(&calls::FOLDER_CHANGES)),
        };
        std::iter::once(feature).chain(more)
    }

    /// Ports of the host that lead to the guest through this device.
    pub fn published(&self) -> &[net::user::publish::Publish] {
        match self {
            Self::Network(net::Options { backend: net::Backend::User(user), .. }) => &user.publish,
            Self::Network(_) | Self::Block(_) | Self::Folder(_) => &[],
        }
    }
}

impl Attachment {
    /// Reads the value of a `--net` flag.
    pub fn network(text: &str) -> Result<Self, String> {
        let (name, options) = net::Options::parse(text)?;
        Ok(Self { name, what: What::Network(options) })
    }

    /// Reads the value of a `--block` flag.
    pub fn block(text: &str) -> Result<Self, String> {
        let (name, options) = block::Options::parse(text)?;
        Ok(Self { name, what: What::Block(options) })
    }

    /// Reads the value of a `--files` flag.
    pub fn folder(text: &str) -> Result<Self, String> {
        Ok(Self { name: None, what: What::Folder(folder::Options::parse(text)?) })
    }

    /// File descriptor that the tender inherited for this device, if there is one.
    pub const fn descriptor(&self) -> Option<RawFd> {
        match &self.what {
            What::Network(net::Options { backend: net::Backend::Descriptor(descriptor), .. }) => Some(*descriptor),
            What::Network(_) | What::Block(_) | What::Folder(_) => None,
        }
    }

    /// Path of the file that holds the device's bytes, if it is a disk.
    pub fn path(&self) -> Option<&Path> {
        match &self.what {
            What::Block(disk) => Some(&disk.file),
            What::Network(_) | What::Folder(_) => None,
        }
    }
}

/// The flag that attaches a device of this kind, and an example of its value, without the name.
const fn flag_of(kind: Kind) -> (&'static str, &'static str) {
    match kind {
        Kind::Network => ("--net", "user"),
        Kind::Block => ("--block", "FILE"),
        Kind::Folder => ("--files", "HOST"),
    }
}

/// Reason why the user's devices do not match the image's.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(missing_docs, reason = "each variant is explained by its message below")]
pub enum Mismatch {
    Missing(Wanted),
    Unknown { kind: Kind, name: Option<String>, wanted: Vec<Wanted> },
    Twice { kind: Kind, name: String },
    OtherKind { given: Kind, wanted: Wanted },
    Which { kind: Kind, wanted: Vec<Wanted> },
    SamePlace { place: String },
    Inside { inner: String, outer: String },
    NoFolders { is_std: bool },
    NoMounts { is_std: bool },
    NoDisk { disk: String, place: String },
    MountedTwice { disk: String },
    PlaceTaken { disk: String, place: String, other: String },
    NoNames { flag: &'static str },
}

/// Gives each device its name, and disks their mounts. `wanted` are the devices of the manifest, of a std program if `is_std`.
pub fn matched(
    is_std: bool,
    wanted: &[Wanted],
    given: &[Attachment],
    mounts: &[Mount],
) -> Result<Vec<(String, What)>, Mismatch> {
    let mut possible = wanted.to_vec();
    for Mount { disk, .. } in mounts {
        // A program that sees files alone need not declare the disk.
        if !possible.iter().any(|device| device.name == *disk) {
            possible.push(Wanted { kind: Kind::Block, name: disk.clone() });
        }
    }
    if is_std && !wanted.iter().any(|device| device.kind == Kind::Network) {
        possible.push(Wanted { kind: Kind::Network, name: DEFAULT_NETWORK.to_owned() });
    }
    let mut named: Vec<(String, What)> = Vec::new();
    for attachment in given {
        let kind = attachment.what.kind();
        if let What::Folder(options) = &attachment.what {
            check_place(&named, options)?;
            // No device of an image has a name like that.
            named.push((format!("files:{}", named.len()), attachment.what.clone()));
            continue;
        }
        let name = name(&possible, kind, attachment.name.as_deref())?;
        if named.iter().any(|(known, _)| *known == name) {
            return Err(Mismatch::Twice { kind, name });
        }
        named.push((name, attachment.what.clone()));
    }
    match wanted.iter().find(|device| !named.iter().any(|(name, _)| *name == device.name)) {
        Some(missing) => Err(Mismatch::Missing(missing.clone())),
        None => mounts::give(&mut named, mounts).map(|()| named),
    }
}

/// Returns an error for mounts given to an image that cannot use any; `takes_mounts` is true for one that can.
pub fn check_mounts(is_std: bool, takes_mounts: bool, mounts: &[Mount]) -> Result<(), Mismatch> {
    if mounts.is_empty() || takes_mounts { Ok(()) } else { Err(Mismatch::NoMounts { is_std }) }
}

/// Returns an error for folders given to an image that cannot use any; `takes_folders` is true for one that can.
pub fn check_folders(is_std: bool, takes_folders: bool, given: &[Attachment]) -> Result<(), Mismatch> {
    match given.iter().any(|attachment| attachment.what.kind() == Kind::Folder) && !takes_folders {
        true => Err(Mismatch::NoFolders { is_std }),
        false => Ok(()),
    }
}

/// Returns an error for a second folder at one place of the guest, or inside of another.
fn check_place(named: &[(String, What)], options: &folder::Options) -> Result<(), Mismatch> {
    let is_inside = |one: &str, other: &str| one.strip_prefix(other).is_some_and(|rest| rest.starts_with('/'));
    for (_, what) in named {
        let What::Folder(folder::Options { guest, .. }) = what else { continue };
        if *guest == options.guest {
            return Err(Mismatch::SamePlace { place: guest.clone() });
        }
        let (inner, outer) =
            if is_inside(guest, &options.guest) { (guest, &options.guest) } else { (&options.guest, guest) };
        if is_inside(inner, outer) {
            return Err(Mismatch::Inside { inner: inner.clone(), outer: outer.clone() });
        }
    }
    Ok(())
}

/// Returns the name of that `possible` device which an attachment of this kind and with this name, if `given`, stands for.
fn name(possible: &[Wanted], kind: Kind, given: Option<&str>) -> Result<String, Mismatch> {
    let unknown = || Mismatch::Unknown { kind, name: given.map(str::to_owned), wanted: possible.to_vec() };
    let of_kind: Vec<&Wanted> = possible.iter().filter(|device| device.kind == kind).collect();
    match given {
        Some(name) => match possible.iter().find(|device| device.name == name) {
            Some(found) if found.kind == kind => Ok(name.to_owned()),
            Some(found) => Err(Mismatch::OtherKind { given: kind, wanted: found.clone() }),
            None => Err(unknown()),
        },
        None => match of_kind[..] {
            [] => Err(unknown()),
            [only] => Ok(only.name.clone()),
            _ => Err(Mismatch::Which { kind, wanted: of_kind.into_iter().cloned().collect() }),
        },
    }
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Missing(Wanted { kind, name }) => {
                let (flag, example) = flag_of(*kind);
                write!(f, "the image wants a {} device '{name}'; add {flag} {name}={example}", kind.name())
            }
            Self::Unknown { kind, name, wanted } => {
                let flag = flag_of(*kind).0;
                match name {
                    Some(name) => write!(f, "{flag} {name}: the image has no device of that name; ")?,
                    None => write!(f, "{flag}: the image has no {} device; ", kind.name())?,
                }
                match wanted.is_empty() {
                    true => f.write_str("it declares none in [package.metadata.husk.devices] of its Cargo.toml"),
                    false => write!(f, "it has {}", List(wanted)),
                }
            }
            Self::Twice { kind, name } => {
                write!(f, "{} {name} is given twice; each device is attached once", flag_of(*kind).0)
            }
            Self::OtherKind { given, wanted } => {
                let (flag, example) = flag_of(wanted.kind);
                write!(
                    f,
                    "{} {}: the image has a {} device of that name; attach it with {flag} {}={example}",
                    flag_of(*given).0,
                    wanted.name,
                    wanted.kind.name(),
                    wanted.name
                )
            }
            Self::SamePlace { place } => {
                write!(f, "--files {place}=… is given twice; each place in the guest takes one folder")
            }
            Self::Inside { inner, outer } => {
                write!(f, "--files {inner}=… is inside {outer}=…; a folder has no other inside")
            }
            Self::NoFolders { is_std: true } => {
                write!(f, "--files: the image was built by a cargo-husk that had no --files; build it again")
            }
            Self::NoFolders { is_std: false } => {
                write!(f, "--files: a program over the native API has no files; give it a disk, with --block")
            }
            Self::NoMounts { is_std: true } => {
                write!(
                    f,
                    "--mount: the image was built without file systems; build it with `cargo husk build --mount NAME:PATH`, \
                     or with a table of mounts in its Cargo.toml"
                )
            }
            Self::NoMounts { is_std: false } => {
                write!(
                    f,
                    "--mount: a program over the native API has no files; it can read the disk itself, with --block"
                )
            }
            Self::NoDisk { disk, place } => {
                write!(f, "--mount {disk}:{place}: there is no disk of that name; add --block {disk}=FILE")
            }
            Self::MountedTwice { disk } => write!(f, "--mount: the disk '{disk}' is mounted twice; it has one place"),
            Self::PlaceTaken { disk, place, other } => {
                write!(f, "--mount {disk}:{place}: there is another folder or disk at {other}; choose another place")
            }
            Self::NoNames { flag } => {
                write!(
                    f,
                    "{flag}: a program over the native API looks up no names; leave it out, and give addresses as arguments"
                )
            }
            Self::Which { kind, wanted } => {
                write!(f, "{0}: which device? write {0} NAME=…; the image has {1}", flag_of(*kind).0, List(wanted))
            }
        }
    }
}

/// Devices as words of a sentence.
struct List<'a>(&'a [Wanted]);

impl fmt::Display for List<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, device) in self.0.iter().enumerate() {
            let separator = if index == 0 { "" } else { ", " };
            write!(f, "{separator}'{}' ({})", device.name, device.kind.name())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted(kind: Kind, name: &str) -> Wanted {
        Wanted { kind, name: name.to_owned() }
    }

    fn given(names: &[Option<&str>]) -> Vec<Attachment> {
        let what = What::Network(net::Options::default());
        names.iter().map(|name| Attachment { name: name.map(str::to_owned), what: what.clone() }).collect()
    }

    fn names(is_std: bool, has: &[Wanted], names: &[Option<&str>]) -> Result<Vec<String>, String> {
        let matched = matched(is_std, has, &given(names), &[]).map_err(|mismatch| mismatch.to_string())?;
        Ok(matched.into_iter().map(|(name, _)| name).collect())
    }

    #[test]
    fn each_device_finds_its_place() {
        let two = [wanted(Kind::Network, "front"), wanted(Kind::Network, "back")];
        assert_eq!(names(false, &two, &[Some("back"), Some("front")]), Ok(vec!["back".into(), "front".into()]));
        assert_eq!(names(false, &two[..1], &[None]), Ok(vec!["front".into()]));
        assert_eq!(names(false, &[], &[]), Ok(vec![]));
    }

    #[test]
    fn a_std_program_has_one_network_if_that_is_attached() {
        assert_eq!(names(true, &[], &[]), Ok(vec![]));
        assert_eq!(names(true, &[], &[None]), Ok(vec!["net".into()]));
        assert_eq!(names(true, &[], &[Some("net")]), Ok(vec!["net".into()]));
        assert!(names(true, &[wanted(Kind::Network, "wire")], &[Some("net")]).is_err());
    }

    #[test]
    fn what_does_not_match_is_named() {
        let refusal = |has: &[Wanted], given: &[Option<&str>]| names(false, has, given).expect_err("no match");
        let [front, back, disk] = [(Kind::Network, "front"), (Kind::Network, "back"), (Kind::Block, "data")]
            .map(|(kind, name)| wanted(kind, name));
        let front = [front];
        assert_eq!(refusal(&front, &[]), "the image wants a network device 'front'; add --net front=user");
        let message = refusal(&front, &[Some("back")]);
        assert_eq!(message, "--net back: the image has no device of that name; it has 'front' (network)");
        assert!(refusal(&[], &[None]).starts_with("--net: the image has no network device; it declares none"));
        assert!(refusal(&front, &[None, Some("front")]).contains("--net front is given twice"));
        assert!(refusal(&[disk], &[Some("data")]).ends_with("attach it with --block data=FILE"));
        let [front] = front;
        assert!(refusal(&[front, back], &[None]).contains("which device?"));
    }

    #[test]
    fn disks_and_cards_are_told_apart() {
        let has = [wanted(Kind::Block, "data"), wanted(Kind::Network, "front")];
        let disk = Attachment { name: None, what: What::Block(block::Options::default()) };
        let both = [given(&[None]), vec![disk.clone()]].concat();
        let matched = matched(false, &has, &both, &[]).expect("a match");
        assert_eq!(matched.iter().map(|(name, _)| name.as_str()).collect::<Vec<_>>(), ["front", "data"]);
        let wrong = [Attachment { name: Some("front".to_owned()), ..disk }];
        let refusal = super::matched(false, &has, &wrong, &[]).expect_err("no match").to_string();
        assert!(refusal.ends_with("attach it with --net front=user"), "{refusal}");
    }
}
