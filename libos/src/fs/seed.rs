//! Files that exist when the program starts.

use super::Files;
use super::data::Data;
use super::device::{Device, Standard};
use super::directory::{Directory, boxed};
use super::disk::{Attached, Disk};
use super::generated::Generated;
use super::handle::NodeKey;
use super::inode::{Kind, Mount, Time};
use super::path::Follow;
use super::source::Source;
use super::tree::{ImageFiles, Seed, Tree};
use crate::errno::Errno;
use alloc::vec::Vec;
use husk::abi::stream::Stream;
use linux_raw_sys::general as linux;

/// Directories, parents first, with their permissions.
const DIRECTORIES: &[(&str, u32)] = &[
    ("/dev", 0o755),
    ("/dev/shm", 0o1777),
    ("/etc", 0o755),
    ("/home", 0o755),
    ("/mnt", 0o755),
    ("/opt", 0o755),
    ("/proc", 0o555),
    ("/root", 0o700),
    ("/run", 0o755),
    ("/sys", 0o555),
    ("/tmp", 0o1777),
    ("/usr", 0o755),
    ("/var", 0o755),
    ("/var/log", 0o755),
    ("/var/tmp", 0o1777),
    ("/proc/1", 0o555),
];

/// Symbolic links.
const LINKS: &[(&str, &str)] = &[
    ("/dev/fd", "/proc/self/fd"),
    ("/dev/stdin", "/proc/self/fd/0"),
    ("/dev/stdout", "/proc/self/fd/1"),
    ("/dev/stderr", "/proc/self/fd/2"),
    ("/proc/self", "1"),
    ("/proc/thread-self", "1"),
    ("/proc/mounts", "self/mounts"),
    ("/proc/net", "self/net"),
    ("/proc/self/root", "/"),
    ("/var/run", "/run"),
    ("/etc/mtab", "/proc/self/mounts"),
];

/// Devices.
const DEVICES: &[(&str, Device)] = &[
    ("/dev/null", Device::Null),
    ("/dev/zero", Device::Zero),
    ("/dev/full", Device::Full),
    ("/dev/random", Device::Random(8)),
    ("/dev/urandom", Device::Random(9)),
    ("/dev/tty", Device::Terminal),
    ("/dev/console", Device::Console(Standard::unknown(1))),
];

/// Ordinary files.
const TEXTS: &[(&str, &str)] = &[
    ("/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/nonexistent:/bin/false\n"),
    ("/etc/group", "root:x:0:\nnogroup:x:65534:\n"),
    ("/etc/hosts", "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.1.1\thusk\n"),
    // Without a network no server answers: these options make name lookups fail soon.
    ("/etc/resolv.conf", "options timeout:1 attempts:1\n"),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    ("/etc/os-release", "NAME=Husk\nID=husk\nPRETTY_NAME=\"Husk unikernel\"\n"),
];

/// File that lists the name servers.
pub const RESOLVER: &[u8] = b"/etc/resolv.conf";

impl Files {
    /// Returns the file system of a starting program: `program` is the absolute path of its image, and `limit` the most memory
    /// that files may take, in bytes. `image_files` is called when a path is first used.
    pub fn new(program: Vec<u8>, limit: u64, now: Time, image_files: ImageFiles) -> Result<Self, Errno> {
        let mut files = Self::empty(limit, now)?;
        files.unseeded = Some(Seed { program, now, image_files });
        for stream in 0..3 {
            files.open_console(Standard::unknown(stream), now)?;
        }
        Ok(files)
    }

    /// Makes the tree, unless that has been done. It is root's, whoever the program is by now.
    pub(super) fn grow(&mut self) -> Result<(), Errno> {
        if self.unseeded.is_none() {
            return Ok(());
        }
        let caller = core::mem::take(&mut self.caller);
        let grown = self.grow_as_root();
        self.caller = caller;
        grown
    }

    fn grow_as_root(&mut self) -> Result<(), Errno> {
        let Some(seed) = &self.unseeded else { return Ok(()) };
        self.tree = Tree::check((seed.image_files)()?)?;
        let Some(Seed { program, now, .. }) = self.unseeded.take() else { return Ok(()) };
        for (path, permissions) in DIRECTORIES {
            self.seed_directory(path, *permissions, now)?;
        }
        for (path, target) in LINKS {
            self.seed(path.as_bytes(), Kind::Link(boxed(target.as_bytes())?), 0o777, now)?;
        }
        for (path, device) in DEVICES {
            self.seed(path.as_bytes(), Kind::Device(*device), 0o666, now)?;
        }
        self.seed_text(b"/etc/hostname", &[self.hostname, b"\n"].concat(), now)?;
        for (path, text) in TEXTS.iter().map(|(path, text)| (path.as_bytes(), text.as_bytes())) {
            if !self.host_files.offers(path) {
                self.seed_text(path, text, now)?;
            }
        }
        self.seed_host_files(now);
        if !self.resolver.is_empty() {
            let text = core::mem::take(&mut self.resolver);
            self.write_text(RESOLVER, &text)?;
        }
        for Attached { disk, name } in core::mem::take(&mut self.disks) {
            // A disk with a name that exists already is not visible.
            let _ = self.seed(&[b"/dev/", &name[..]].concat(), Kind::Disk(disk), 0o660, now);
        }
        self.seed(b"/proc/self/fd", Kind::Descriptors, 0o500, now)?;
        for generated in Generated::ALL {
            self.seed_parents(generated.path(), now)?;
            self.seed(generated.path().as_bytes(), Kind::Generated(*generated), 0o444, now)?;
        }
        self.seed(b"/proc/self/exe", Kind::Link(boxed(&program)?), 0o777, now)?;
        self.seed_image(&program, now);
        self.mount_folders(now);
        self.networks.is_pending = true;
        if let Some(root) = self.nodes[self.root].directory_mut() {
            root.folded = self.tree.map(Tree::root);
        }
        Ok(())
    }

    /// Makes an ordinary file.
    fn seed_text(&mut self, path: &[u8], text: &[u8], now: Time) -> Result<(), Errno> {
        self.seed(path, Kind::Regular(Data::default()), 0o644, now)?;
        self.write_text(path, text)
    }

    /// Sets the name servers: the text of `/etc/resolv.conf`, unless the tender has one.
    pub fn set_resolver(&mut self, text: Vec<u8>) -> Result<(), Errno> {
        if self.host_files.offers(RESOLVER) {
            return Ok(());
        }
        if self.unseeded.is_some() {
            self.resolver = text;
            return Ok(());
        }
        self.write_text(RESOLVER, &text)
    }

    /// Replaces the contents of an ordinary file that exists, such as `/etc/resolv.conf`.
    pub fn write_text(&mut self, path: &[u8], text: &[u8]) -> Result<(), Errno> {
        let node = self.resolve(linux::AT_FDCWD, path, true)?;
        match &mut self.nodes[node].kind {
            Kind::Regular(data) => {
                data.set_size(&mut self.quota, 0);
                data.write(&mut self.quota, 0, Source::Own(text)).map(|_| ())
            }
            _ => Err(Errno::EINVAL),
        }
    }

    pub(super) fn seed(&mut self, path: &[u8], kind: Kind, permissions: u32, now: Time) -> Result<NodeKey, Errno> {
        let walked = self.walk(linux::AT_FDCWD, path, Follow::Never)?;
        let node = self.make_fixed(walked.directory, walked.name(), kind, permissions, now)?;
        Ok(node)
    }

    fn seed_directory(&mut self, path: &str, permissions: u32, now: Time) -> Result<(), Errno> {
        let walked = self.walk(linux::AT_FDCWD, path.as_bytes(), Follow::Never)?;
        if walked.found.is_ok() {
            return Ok(());
        }
        let kind = Kind::Directory(Directory::new(walked.directory));
        let node = self.make_fixed(walked.directory, walked.name(), kind, permissions, now)?;
        match path {
            "/proc" => self.nodes[node].mount = Mount::Process,
            "/sys" => self.nodes[node].mount = Mount::System,
            _ => {}
        }
        Ok(())
    }

    /// Makes the directories that lead to `path`.
    pub(super) fn seed_parents(&mut self, path: &str, now: Time) -> Result<(), Errno> {
        path.match_indices('/').skip(1).try_for_each(|(end, _)| self.seed_directory(&path[..end], 0o555, now))
    }

    /// Adds the image at the path of the program. If that fails, the image has no name, which does no harm.
    fn seed_image(&mut self, program: &[u8], now: Time) {
        let _ = self.make_parents(program, now).and_then(|()| self.seed(program, Kind::Image, 0o755, now));
    }

    /// Makes the directories that lead to `path`, unless they are there.
    pub(super) fn make_parents(&mut self, path: &[u8], now: Time) -> Result<(), Errno> {
        for (end, _) in path.iter().enumerate().skip(1).filter(|(_, byte)| **byte == b'/') {
            match self.make_directory(linux::AT_FDCWD, &path[..end], 0o755, now) {
                Ok(()) | Err(Errno::EEXIST) => {}
                Err(errno) => return Err(errno),
            }
        }
        Ok(())
    }

    /// Adds a disk, before the tree is made.
    pub fn add_disk(&mut self, disk: Disk, name: &[u8]) -> Result<(), Errno> {
        self.disks.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let mut copy = Vec::new();
        copy.try_reserve(name.len()).map_err(|_| Errno::ENOMEM)?;
        copy.extend_from_slice(name);
        self.disks.push(Attached { disk, name: copy });
        Ok(())
    }

    /// Sets what the standard streams, which are the descriptors up to 2, lead to.
    pub fn set_streams(&mut self, streams: [Stream; 3]) {
        for (descriptor, Stream { kind, size, .. }) in (0..).zip(streams) {
            let Ok(node) = self.node(descriptor) else { continue };
            if let Kind::Device(Device::Console(standard)) = &mut self.nodes[node].kind {
                (standard.kind, standard.size) = (kind, size);
            }
        }
    }

    /// Opens the console as the lowest free descriptor.
    fn open_console(&mut self, stream: Standard, now: Time) -> Result<i32, Errno> {
        let node = self.add_node(Kind::Device(Device::Console(stream)), Mount::Memory, 0o620, now)?;
        self.nodes[node].links = 1;
        self.open_node(node, if stream.number == 0 { linux::O_RDONLY } else { linux::O_WRONLY })
    }
}
