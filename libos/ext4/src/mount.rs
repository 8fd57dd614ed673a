//! Begin and end of a volume.

use crate::cache::{Cache, SECTOR};
use crate::commit::Commits;
use crate::errno;
use crate::files::Files;
use crate::locks::Locks;
use crate::pending::Pending;
use crate::walk::Names;
use crate::{Disk, Failed, Volume};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use rsext4::{BlockIo, MountOptions, MountServices, NoopObserver, SectorId};
use rsext4::{Clock, ErrorContext, Ext4, Ext4Error, Ext4ErrorKind, Ext4Result, Ext4Timestamp, FeatureSet};

/// Options of a mount.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Refuses changes, and does not write to the disk. A journal that is to be replayed is an error.
    pub read_only: bool,
    /// Bytes of the cache of blocks.
    pub cache_bytes: usize,
    /// Present, in nanoseconds since 1970.
    pub now_ns: u64,
}

/// Reason for which a disk is not mounted, and the remedy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MountError(String);

impl fmt::Display for MountError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl core::error::Error for MountError {}

/// The clock of a volume: the time of the last request.
struct Present(Arc<AtomicU64>);

impl Clock for Present {
    fn now(&self) -> Ext4Result<Ext4Timestamp> {
        let now_ns = self.0.load(Ordering::Relaxed);
        Ok(Ext4Timestamp { sec: (now_ns / 1_000_000_000) as i64, nsec: (now_ns % 1_000_000_000) as u32 })
    }
}

impl<D: Disk> Volume<D> {
    /// Mounts the file system of a disk, and replays its journal if it was not unmounted.
    pub fn mount(disk: D, options: Options) -> Result<Self, MountError> {
        let now_ns = Arc::new(AtomicU64::new(options.now_ns));
        let mut cache = Cache::new(disk, options.cache_bytes, options.read_only);
        if options.read_only && wants_recovery(&mut cache) {
            return Err(MountError(
                "it was not unmounted, and its journal is to be replayed; mount it once without `ro`, or run `fsck.ext4 -p` on it"
                    .to_string(),
            ));
        }
        let services = MountServices::new(Present(now_ns.clone()), (), NoopObserver);
        let how =
            MountOptions { readonly: options.read_only, replay_journal: !options.read_only, block_validity: true };
        let system = Ext4::mount(cache, services, how).map_err(|error| explained(error, options.read_only))?;
        if !system.has_extents() && !options.read_only {
            return Err(MountError(
                "its files have block maps, as those of ext2 and ext3; mount it with `ro`, or make it by `mkfs.ext4`"
                    .to_string(),
            ));
        }
        let space = system.statfs();
        Ok(Self {
            has_journal: system.has_journal(),
            system,
            now_ns,
            read_only: options.read_only,
            block_size: space.block_size as u32,
            files: Files::default(),
            names: Names::default(),
            locks: Locks::default(),
            pending: Pending::default(),
            commits: Commits::default(),
        })
    }

    /// Returns true if a crash leaves the file system as it was at a moment. Without a journal, fsck(8) has to mend it.
    pub fn has_journal(&self) -> bool {
        self.has_journal
    }

    /// Makes all durable, frees files without a name, and marks the volume as clean. Requests fail from here on.
    pub fn unmount(&mut self) -> Result<(), Failed> {
        if self.read_only {
            return self.system.unmount().map_err(|_| Failed);
        }
        let settled = self.settle_all();
        let released = self.release_all();
        let unmounted = self.system.unmount().map_err(errno::of);
        settled.and(released).and(unmounted).map_err(|_| Failed)
    }
}

/// Returns true if the superblock says that the journal is to be replayed.
fn wants_recovery<D: Disk>(cache: &mut Cache<D>) -> bool {
    const RECOVER: u8 = 4;
    let mut superblock = [0; 2 * SECTOR];
    let is_read = cache.read(&mut superblock, SectorId::new(2), 2).is_ok();
    is_read && superblock[0x38..0x3a] == [0x53, 0xef] && superblock[0x60] & RECOVER != 0
}

/// Returns the reason and the remedy for an error of a mount.
fn explained(error: Ext4Error, read_only: bool) -> MountError {
    let text = match (error.kind(), error.context()) {
        (Ext4ErrorKind::InvalidMagic, _) => {
            "it has no ext4 file system; make one: `mkfs.ext4` or `husk disk create`".to_string()
        }
        (Ext4ErrorKind::UnsupportedFeature, Some(ErrorContext::Feature { set, bits })) => unsupported(set, bits),
        (Ext4ErrorKind::Unsupported, Some(ErrorContext::Operation { op: "jbd2:features" })) => {
            "its journal has features that are unknown here; make it without them: `mkfs.ext4 -O ^fast_commit`"
                .to_string()
        }
        (
            Ext4ErrorKind::UnsupportedCapability,
            Some(ErrorContext::Capability { name: "block_io:external_journal" }),
        ) => "its journal is on another disk; make it with an internal one: `mkfs.ext4 -j`".to_string(),
        (Ext4ErrorKind::UnsupportedCapability, _) => {
            "it wants multiple-mount protection; make it without: `tune2fs -O ^mmp`".to_string()
        }
        (Ext4ErrorKind::Io, _) if error.context().is_none() => "the disk cannot be read or written".to_string(),
        (Ext4ErrorKind::ReadOnly, _) if !read_only => "the disk is read-only; mount it with `ro`".to_string(),
        (Ext4ErrorKind::NoMemory, _) => "there is too little memory for it; give the guest more".to_string(),
        (kind, Some(ErrorContext::Operation { op })) => {
            format!("its file system is damaged ({kind}: {op}); run `fsck.ext4` on it")
        }
        (kind, _) => format!("its file system is damaged ({kind}); run `fsck.ext4` on it"),
    };
    MountError(text)
}

/// Names of features, as mkfs.ext4(8) has them.
const FEATURES: [(FeatureSet, u32, &str); 14] = [
    (FeatureSet::Incompatible, 0x1, "compression"),
    (FeatureSet::Incompatible, 0x8, "journal_dev"),
    (FeatureSet::Incompatible, 0x10, "meta_bg"),
    (FeatureSet::Incompatible, 0x400, "ea_inode"),
    (FeatureSet::Incompatible, 0x1000, "dirdata"),
    (FeatureSet::Incompatible, 0x4000, "large_dir"),
    (FeatureSet::Incompatible, 0x8000, "inline_data"),
    (FeatureSet::Incompatible, 0x10000, "encrypt"),
    (FeatureSet::Incompatible, 0x20000, "casefold"),
    (FeatureSet::ReadOnlyCompatible, 0x100, "quota"),
    (FeatureSet::ReadOnlyCompatible, 0x200, "bigalloc"),
    (FeatureSet::ReadOnlyCompatible, 0x1000, "read-only"),
    (FeatureSet::ReadOnlyCompatible, 0x8000, "verity"),
    (FeatureSet::ReadOnlyCompatible, ORPHAN_PRESENT, "orphan_file"),
];
/// The file of orphans has entries.
const ORPHAN_PRESENT: u32 = 0x10000;

/// Features that are not there.
fn unsupported(set: FeatureSet, bits: u32) -> String {
    if set == FeatureSet::ReadOnlyCompatible && bits == ORPHAN_PRESENT {
        return "it was not unmounted, and has files without a name to be freed; run `fsck.ext4 -p` on it".to_string();
    }
    let known = FEATURES.iter().filter(|(of, bit, _)| *of == set && bits & bit != 0);
    let names: alloc::vec::Vec<String> = known.clone().map(|(_, _, name)| format!("^{name}")).collect();
    let rest = known.fold(bits, |rest, (_, bit, _)| rest & !bit);
    match names.is_empty() || rest != 0 {
        true => {
            format!("it has features that are unknown here ({rest:#x}); make it with those of mkfs.ext4's defaults")
        }
        false => {
            format!("it has features that are unknown here; make it without them: `mkfs.ext4 -O {}`", names.join(","))
        }
    }
}
