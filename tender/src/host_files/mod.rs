//! Files of the host that a guest may read ([`husk_abi::host_file`]): certificates, time zones, and the tables of names, which are
//! composed here. All are opened when the tender starts, and read when the guest looks for one.

mod folder;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
pub mod names;
mod places;

use crate::confine::calls::{self, Feature};
use crate::confine::{Beneath, Descriptors, Role};
use crate::devices::attach::What;
use crate::devices::net::Backend;
use crate::devices::net::user::addresses;
use crate::host::regular::open;
use crate::host::resolver::{self, Resolver};
use crate::say;
use folder::{Failed, Folder};
use husk_abi::call::Status;
use husk_abi::host_file::kind;
use names::Added;
use std::ffi::OsString;
use std::fs::File;
use std::net::IpAddr;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Options on the guest's names and on what it sees of the host's files.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// True to show files of the host.
    pub shown: bool,
    /// Name of the guest, if the user gives it one.
    pub hostname: Option<String>,
    /// Names that the user adds.
    pub added: Vec<Added>,
    /// Name servers in place of the host's.
    pub name_servers: Vec<IpAddr>,
}

impl Default for Options {
    fn default() -> Self {
        Self { shown: true, hostname: None, added: vec![], name_servers: vec![] }
    }
}

impl Options {
    /// Flag of the first of the guest's names that the user gave.
    pub fn names_flag(&self) -> Option<&'static str> {
        let hostname = self.hostname.as_ref().map(|_| "--hostname");
        hostname.or_else(|| self.added.first().map(|_| "--add-host"))
    }
}

/// Files of the host for one guest.
#[derive(Debug, Default)]
pub struct HostFiles(Vec<Entry>);

/// Something that a guest may read.
#[derive(Debug)]
struct Entry {
    /// Paths at which the guest finds it; that of a folder ends in `/`.
    paths: Vec<OsString>,
    source: Source,
}

#[derive(Debug)]
enum Source {
    /// A file, and its path on the host.
    File(File, PathBuf),
    /// A folder, and its path on the host.
    Folder(Folder, PathBuf),
    /// A link to this path.
    Link(Vec<u8>),
    /// hosts(5), with the host's if it is to be shown.
    Hosts { hostname: String, added: Vec<Added>, host: Option<File> },
    /// resolv.conf(5) with these servers, and search domains and options of the host's if they are to be shown.
    Resolver { servers: Vec<IpAddr>, host: Option<File> },
}

/// hosts(5).
const HOSTS: &str = "/etc/hosts";
/// Most bytes of the host's that a guest gets.
const HOSTS_MAXIMUM: u64 = 1 << 20;

/// Networks of a guest, as far as names concern them.
#[derive(Clone, Copy, Debug, Default)]
struct Networks {
    any: bool,
    user: bool,
}

impl Networks {
    fn of(devices: &[(String, What)]) -> Self {
        let backends = || {
            devices.iter().filter_map(|(_, what)| match what {
                What::Network(options) => Some(&options.backend),
                What::Block(_) | What::Folder(_) => None,
            })
        };
        Self { any: backends().next().is_some(), user: backends().any(|backend| matches!(backend, Backend::User(_))) }
    }
}

impl HostFiles {
    /// Opens what a guest with these devices may read.
    pub fn open(options: &Options, devices: &[(String, What)]) -> Self {
        let networks = Networks::of(devices);
        let names = [hosts(options, networks), resolver(options, networks)];
        let mut entries: Vec<_> = names.into_iter().flatten().collect();
        if options.shown {
            entries.extend(places::certificates().into_iter().chain(places::time().into_iter().flatten()));
        }
        Self(entries)
    }

    /// Paths that the guest may read; those of folders end in `/`.
    pub fn paths(&self) -> Vec<OsString> {
        self.0.iter().flat_map(|entry| entry.paths.iter().cloned()).collect()
    }

    /// The folder below which files are opened while the guest runs.
    pub fn beneath(&self) -> Option<Beneath<'_>> {
        self.0.iter().find_map(|entry| match &entry.source {
            Source::Folder(folder, _) => Some(Beneath { file: folder.as_fd(), is_directory: true, read_only: true }),
            _ => None,
        })
    }

    /// System calls that reading takes, if there is something to read.
    pub fn feature(&self) -> Option<&'static Feature> {
        let is_open = |entry: &Entry| match &entry.source {
            Source::File(..) | Source::Folder(..) => true,
            Source::Link(_) => false,
            Source::Hosts { host, .. } | Source::Resolver { host, .. } => host.is_some(),
        };
        self.0.iter().any(is_open).then_some(&calls::HOST_FILES)
    }

    /// Notes which files are open.
    pub fn list(&self, descriptors: &mut Descriptors) {
        for Entry { source, .. } in &self.0 {
            match source {
                Source::File(file, _) => descriptors.add(Role::HostFile, file),
                Source::Folder(folder, _) => descriptors.add(Role::HostFolder, folder),
                Source::Hosts { host, .. } | Source::Resolver { host, .. } => {
                    host.iter().for_each(|file| descriptors.add(Role::HostFile, file));
                }
                Source::Link(_) => {}
            }
        }
    }

    /// Describes what the guest may read: a line for each file or folder of the host.
    pub fn lines(&self) -> Vec<String> {
        let line = |entry: &Entry| match &entry.source {
            Source::File(_, path) => Some(format!("read {}", path.display())),
            Source::Folder(_, path) => Some(format!("read {}, and what is below", path.display())),
            Source::Link(_) => None,
            Source::Hosts { host, .. } => {
                host.as_ref().map(|_| format!("read names in {HOSTS}, but those of loopback addresses"))
            }
            Source::Resolver { host, .. } => {
                host.as_ref().map(|_| format!("read search domains and options in {}", resolver::PATH))
            }
        };
        self.0.iter().filter_map(line).collect()
    }

    /// Returns kind and contents of what lies at `path`, which is the guest's word.
    pub fn read(&self, path: &[u8]) -> Result<(u32, Vec<u8>), Status> {
        self.0.iter().find_map(|entry| entry.read(path)).unwrap_or(Err(Status::Invalid))
    }
}

impl Entry {
    fn new(path: &str, source: Source) -> Self {
        Self { paths: vec![path.into()], source }
    }

    /// Reads `path`, if it is here.
    fn read(&self, path: &[u8]) -> Option<Result<(u32, Vec<u8>), Status>> {
        let below = |own: &OsString| match &self.source {
            Source::Folder(..) => {
                let own = own.as_bytes();
                let name = own.strip_suffix(b"/").unwrap_or(own);
                if path == name { Some(&b""[..]) } else { path.strip_prefix(own) }
            }
            _ => (path == own.as_bytes()).then_some(&b""[..]),
        };
        let below = self.paths.iter().find_map(below)?;
        Some(match &self.source {
            Source::Folder(folder, _) => folder.read(below),
            Source::File(file, _) => contents(file).map(|bytes| (kind::FILE, bytes)),
            Source::Link(target) => Ok((kind::LINK, target.clone())),
            Source::Hosts { hostname, added, host } => {
                let gateway = addresses::v4(4).into();
                let text = names::hosts(hostname, added, gateway, &host.as_ref().map_or(String::new(), known));
                Ok((kind::FILE, text.into_bytes()))
            }
            Source::Resolver { servers, host } => {
                let resolver = host.as_ref().map_or_else(Resolver::default, |host| {
                    Resolver::parse(&String::from_utf8_lossy(&contents(host).unwrap_or_default()))
                });
                Ok((kind::FILE, resolver.text(servers).into_bytes()))
            }
        })
    }
}

/// Reads a file of the host.
fn contents(file: &File) -> Result<Vec<u8>, Status> {
    folder::read(file).map_err(|failed| match failed {
        Failed::Directory => Status::InputOutput,
        Failed::Otherwise(status) => status,
    })
}

/// Returns the text of the host's hosts(5), or nothing if it has become too long. No message says so, because the guest decides how
/// often this is called.
fn known(file: &File) -> String {
    let bytes = contents(file).unwrap_or_default();
    if bytes.len() as u64 > HOSTS_MAXIMUM {
        return String::new();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Opens the host's hosts(5), unless it is too long.
fn open_hosts() -> Option<File> {
    let file = open(Path::new(HOSTS))?;
    let is_short = file.metadata().ok()?.len() <= HOSTS_MAXIMUM;
    if !is_short {
        say!("husk: {HOSTS} is larger than 1M: the guest does without its names");
    }
    is_short.then_some(file)
}

/// The guest's hosts(5), unless it is the same as without a tender. The host's names are for guests with a network.
fn hosts(options: &Options, networks: Networks) -> Option<Entry> {
    let host = (options.shown && networks.any).then(open_hosts).flatten();
    if host.is_none() && options.hostname.is_none() && options.added.is_empty() {
        return None;
    }
    let hostname = options.hostname.clone().unwrap_or_else(|| husk_abi::boot::HOSTNAME.to_owned());
    Some(Entry::new(HOSTS, Source::Hosts { hostname, added: options.added.clone(), host }))
}

/// The guest's resolv.conf(5), unless the guest makes one of what its network says. In a user-mode network, all queries go to one
/// address, behind which the tender has the servers.
fn resolver(options: &Options, networks: Networks) -> Option<Entry> {
    let servers = match networks.user {
        true => vec![addresses::v4(3).into()],
        false if networks.any && !options.name_servers.is_empty() => options.name_servers.clone(),
        false => return None,
    };
    let host = (options.shown && networks.user).then(|| open(Path::new(resolver::PATH))).flatten();
    Some(Entry::new(resolver::PATH, Source::Resolver { servers, host }))
}
