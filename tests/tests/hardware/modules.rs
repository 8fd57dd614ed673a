//! The kernel of the machines, and those of its modules that they need.

use std::fs;
use std::path::{Path, PathBuf};

/// Modules to be loaded, those of which they depend before them. What a machine has no hardware for is loaded in vain.
const WANTED: &[&str] =
    &["virtio_pci", "virtio_blk", "ata_piix", "sr_mod", "isofs", "tun", "veth", "kvm-amd", "kvm-intel"];

/// A kernel as a Debian package has it, unpacked by `dpkg -x`.
#[derive(Debug)]
pub struct Kernel {
    /// The kernel itself.
    pub image: PathBuf,
    /// The modules, in the order in which they are loaded.
    pub modules: Vec<PathBuf>,
}

impl Kernel {
    /// The kernel in `folder`, if there is one.
    pub fn find(folder: &Path) -> Option<Self> {
        let mut images: Vec<_> =
            files(&folder.join("boot")).into_iter().filter(|path| starts(path, "vmlinuz")).collect();
        images.sort();
        let all: Vec<_> = files(&folder.join("lib/modules"))
            .into_iter()
            .filter(|path| path.extension().is_some_and(|it| it == "ko"))
            .collect();
        let mut modules = vec![];
        for name in WANTED {
            add(name, &all, &mut modules)?;
        }
        Some(Self { image: images.pop()?, modules })
    }
}

/// Adds the module `name` to `modules`, after those on which it depends.
fn add(name: &str, all: &[PathBuf], modules: &mut Vec<PathBuf>) -> Option<()> {
    let same = |path: &Path| {
        path.file_stem().is_some_and(|stem| stem.to_string_lossy().replace('-', "_") == name.replace('-', "_"))
    };
    if modules.iter().any(|module| same(module)) {
        return Some(());
    }
    let path = all.iter().find(|path| same(path))?;
    let bytes = fs::read(path).ok()?;
    // A string of the section .modinfo.
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

fn starts(path: &Path, with: &str) -> bool {
    path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(with))
}

/// All files below `folder`.
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
