//! The directory or file of the host behind a folder, opened before confinement.

use super::options::Options;
use super::system::{self, Error};
use crate::confine::Beneath;
use crate::host::place;
use crate::limits::rlimit;
use husk_abi::folder::{Folder, HANDLES_MAXIMUM, Properties};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io;
use std::os::fd::AsFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use zerocopy::IntoBytes;

/// Descriptors of the process besides handles: more than it has open for anything else.
const OTHER_DESCRIPTORS: u64 = 1024;

/// Directory of the host, or file with its directory.
#[derive(Debug)]
pub struct Tree {
    /// The directory at which all paths begin; `O_PATH`.
    pub root: File,
    /// The file itself, `O_PATH`, and its name in the directory, if the folder is one file.
    pub only: Option<(File, CString)>,
    /// True if nothing may be changed.
    pub read_only: bool,
    /// True if names and attributes may be kept for a moment.
    pub is_cached: bool,
    /// Properties that the guest reads.
    properties: Vec<u8>,
}

impl Tree {
    /// Opens what `options` name. The error states the problem, the path and the remedy.
    pub fn open(options: &Options) -> Result<Self, String> {
        let path = options.host.display();
        let refused = |reason: String| format!("{path}: {reason}");
        let there = place::open(&options.host).map_err(|error| refused(not_there(&options.host, &error)))?;
        let metadata = there.metadata().map_err(|error| refused(error.to_string()))?;
        if is_of_the_kernel(&there).map_err(|error| refused(io::Error::from_raw_os_error(error as i32).to_string()))? {
            return Err(refused("the kernel's own files cannot be given to a guest; copy what it needs".to_owned()));
        }
        let (root, only) = match metadata.file_type() {
            kind if kind.is_dir() => (there, None),
            kind if kind.is_file() => {
                let (root, name) = parent(&options.host).map_err(|error| refused(error.to_string()))?;
                (root, Some((there, name)))
            }
            _ => return Err(refused("it is neither a directory nor a regular file".to_owned())),
        };
        if let Err(error) = system::open(system::raw(&root), c".", libc::O_PATH, 0) {
            let error = io::Error::from_raw_os_error(error as i32);
            return Err(refused(format!(
                "it cannot be kept apart from its neighbours: openat2(2): {error}; use Linux 5.6 or newer"
            )));
        }
        raise_limit();
        let properties = properties(options, only.is_some());
        Ok(Self { root, only, read_only: options.read_only, is_cached: !options.never_cached, properties })
    }

    /// What Landlock is to leave open.
    pub fn beneath(&self) -> Beneath<'_> {
        let file = self.only.as_ref().map_or(&self.root, |(file, _)| file);
        Beneath { file: file.as_fd(), is_directory: self.only.is_none(), read_only: self.read_only }
    }

    /// Properties that the guest reads.
    pub fn properties(&self) -> &[u8] {
        &self.properties
    }
}

/// File systems whose files are the kernel's: proc, sysfs, debugfs, tracefs, securityfs, configfs, bpf, cgroup (statfs(2)).
const OF_THE_KERNEL: [u64; 9] =
    [0x9fa0, 0x6265_6572, 0x6462_6720, 0x7472_6163, 0x7363_6673, 0x6265_6570, 0xcafe_4a11, 0x6367_7270, 0x0027_e0eb];

/// Returns true for a file or directory that is the kernel's, such as the memory of a process.
fn is_of_the_kernel(file: &File) -> Result<bool, Error> {
    let space = system::space(system::raw(file))?;
    Ok(OF_THE_KERNEL.contains(&(space.f_type as u64)))
}

/// Opens the directory that a file is in, after all links. Returns also the file's name there.
fn parent(path: &Path) -> io::Result<(File, CString)> {
    let path = std::fs::canonicalize(path)?;
    let name = CString::new(path.file_name().unwrap_or(OsStr::new(".")).as_bytes())?;
    Ok((place::open(path.parent().unwrap_or(Path::new("/")))?, name))
}

fn not_there(path: &Path, error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::NotFound => {
            format!("there is no such directory or file; make it: `mkdir -p {}`", path.display())
        }
        _ => error.to_string(),
    }
}

fn properties(options: &Options, is_file: bool) -> Vec<u8> {
    let mut flags = Properties::empty();
    flags.set(Properties::READ_ONLY, options.read_only);
    flags.set(Properties::FILE, is_file);
    flags.set(Properties::NOT_CACHED, options.never_cached);
    let folder = Folder { flags: flags.bits(), path_length: options.guest.len() as u32 };
    let mut bytes = folder.as_bytes().to_vec();
    bytes.extend_from_slice(options.guest.as_bytes());
    bytes.resize(bytes.len().next_multiple_of(8), 0);
    bytes
}

/// Raises the soft limit of descriptors, which is low for the sake of select(2). With a low hard limit, opening files fails sooner.
fn raise_limit() {
    let Ok(limit) = rlimit::get(libc::RLIMIT_NOFILE as i32) else { return };
    let wanted = (u64::from(HANDLES_MAXIMUM) + OTHER_DESCRIPTORS).max(limit.rlim_cur).min(limit.rlim_max);
    let _ = rlimit::set(libc::RLIMIT_NOFILE as i32, libc::rlimit { rlim_cur: wanted, ..limit });
}
