//! An ext4 file system on a disk: [`Volume`] answers the requests of [`husk_abi::folder`], which the tender answers for folders of the
//! host.
//!
//! The format is [rsext4]'s job: its journal commits what requests change, in transactions that a crash leaves whole or undone. What
//! lies around it is here: `cache` keeps blocks in memory, `walk` follows paths, `files` knows open files, `write` collects what
//! is appended until a good deal of it can be allocated at once, `commit` decides when a transaction ends.
//!
//! **Durability** is Linux's with `data=ordered`: contents are on the disk before a transaction that points to them, so that a file never
//! shows what another had; after [`SYNC`](husk_abi::folder::SYNC) all that was written is there; without it, what is older than
//! five seconds once [`Volume::write_back`] is called. Times of access are kept as with `relatime`.
//!
//! **A disk is hostile input**: a damaged one is answered by EUCLEAN or EIO. A write that the disk refuses makes the volume read-only.

#![no_std]

extern crate alloc;

mod answer;
mod attributes;
mod cache;
mod commit;
mod content;
mod direct;
mod errno;
mod files;
mod list;
mod locks;
mod mount;
mod names;
mod pending;
mod sectors;
mod transfer;
mod walk;
mod write;

pub use commit::AGE_NS;
pub use mount::{MountError, Options};

use alloc::sync::Arc;
use cache::Cache;
use core::sync::atomic::AtomicU64;
use rsext4::{Ext4, MountedServices, NoopObserver};

/// The disk has not carried out a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failed;

/// Device that holds the volume. Offsets and lengths are multiples of 512 bytes.
pub trait Disk {
    /// Size in bytes.
    fn size(&self) -> u64;
    /// Reads bytes.
    fn read(&mut self, offset: u64, into: &mut [u8]) -> Result<(), Failed>;
    /// Writes bytes, which a crash may still undo, wholly or in part.
    fn write(&mut self, offset: u64, from: &[u8]) -> Result<(), Failed>;
    /// Returns when all writes before it are durable.
    fn flush(&mut self) -> Result<(), Failed>;
    /// Reads bytes into the memory of a request, from `at` on. Returns false, with nothing done, if the disk cannot access it.
    fn read_into(&mut self, offset: u64, data: &mut dyn Data, at: u64, length: usize) -> Result<bool, Failed> {
        data.place(at, length).map_or(Ok(false), |bytes| self.read(offset, bytes).map(|()| true))
    }
    /// Writes bytes from the memory of a request, likewise.
    fn write_from(&mut self, offset: u64, data: &dyn Data, at: u64, length: usize) -> Result<bool, Failed> {
        data.view(at, length).map_or(Ok(false), |bytes| self.write(offset, bytes).map(|()| true))
    }
}

/// Memory of the caller, which a request reads or fills.
pub trait Data {
    /// Number of bytes.
    fn length(&self) -> u64;
    /// Fills the memory from `at` on.
    fn write(&mut self, at: u64, bytes: &[u8]);
    /// Reads the memory from `at` on.
    fn read(&self, at: u64, into: &mut [u8]);
    /// Returns the address of these bytes, if they lie together in memory that a disk can access by address.
    fn address(&self, _at: u64, _length: usize) -> Option<u64> {
        None
    }
    /// Returns these bytes of the memory to be filled, if they lie together.
    fn place(&mut self, _at: u64, _length: usize) -> Option<&mut [u8]> {
        None
    }
    /// Returns these bytes of the memory to be read, if they lie together.
    fn view(&self, _at: u64, _length: usize) -> Option<&[u8]> {
        None
    }
}

/// A mounted file system.
pub struct Volume<D: Disk> {
    system: Ext4<Cache<D>, MountedServices<(), NoopObserver, ()>>,
    /// Present, in nanoseconds since 1970, for the file system's clock.
    now_ns: Arc<AtomicU64>,
    read_only: bool,
    block_size: u32,
    has_journal: bool,
    files: files::Files,
    names: walk::Names,
    locks: locks::Locks,
    pending: pending::Pending,
    commits: commit::Commits,
}
