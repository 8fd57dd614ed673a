//! Kernel of the machines, and its modules that they need.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Modules to be loaded, after those on which they depend. A module without its hardware is loaded without effect.
const WANTED: &[&str] =
    &["virtio_pci", "virtio_blk", "ata_piix", "sr_mod", "isofs", "tun", "veth", "kvm-amd", "kvm-intel"];

/// Kernel of a Debian package, unpacked by `dpkg -x`.
#[derive(Debug)]
pub struct Kernel {
    /// File of the kernel itself.
    pub image: PathBuf,
    /// Files of the modules, in the order in which they are loaded.
    pub modules: Vec<PathBuf>,
}

impl Kernel {
    /// Returns the kernel in `folder`, if there is one.
    pub fn find(folder: &Path) -> Option<Self> {
        let mut images: Vec<_> =
            files(&folder.join("boot")).into_iter().filter(|path| starts(path, "vmlinuz")).collect();
        images.sort();
        let all: Vec<_> = files(&folder.join("lib/modules")).into_iter().filter(|path| stem(path).is_some()).collect();
        let mut modules = vec![];
        for name in WANTED {
            add(name, &all, &mut modules)?;
        }
        Some(Self { image: images.pop()?, modules })
    }
}

/// Adds the module `name` to `modules`, after those on which it depends.
fn add(name: &str, all: &[PathBuf], modules: &mut Vec<PathBuf>) -> Option<()> {
    let plain = |name: &str| name.replace('-', "_");
    let same = |path: &Path| stem(path).is_some_and(|stem| plain(&stem) == plain(name));
    if modules.iter().any(|module| same(module)) {
        return Some(());
    }
    let path = all.iter().find(|path| same(path))?;
    let bytes = read(path)?;
    // A string in the section .modinfo.
    const KEY: &[u8] = b"\0depends=";
    if let Some(at) = bytes.windows(KEY.len()).position(|window| window == KEY) {
        let value = bytes[at + KEY.len()..].split(|byte| *byte == 0).next()?;
        for needed in std::str::from_utf8(value).ok()?.split(',').filter(|needed| !needed.is_empty()) {
            add(needed, all, modules)?;
        }
    }
    modules.push(path.clone());
    Some(())
}

/// Name of the module in this file, if the file is a module.
pub fn stem(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    Some(name.strip_suffix(".xz").unwrap_or(name).strip_suffix(".ko")?.to_owned())
}

/// Contents of the module in this file, decompressed.
pub fn read(path: &Path) -> Option<Vec<u8>> {
    if path.extension()? != "xz" {
        return fs::read(path).ok();
    }
    let output = Command::new("xz").arg("-dc").arg(path).output().ok()?;
    output.status.success().then_some(output.stdout)
}

fn starts(path: &Path, with: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(with))
}

/// Files below `folder`.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        match entry.file_type() {
            Ok(kind) if kind.is_dir() => found.extend(files(&entry.path())),
            Ok(kind) if kind.is_file() => found.push(entry.path()),
            _ => {}
        }
    }
    found
}
