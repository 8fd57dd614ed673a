//! Operations outside the page tables of the libos: calls to the tender, and access to the pages themselves.

#![expect(unsafe_code, reason = "zeroing and copying pages by address")]

use husk::abi::call::{Number, Status};
use husk::abi::memory::{Region, Rights};
use husk::gate;

/// Operations on pages outside the tables.
pub trait Host {
    /// Attaches memory to the first `length` bytes of the heap, and returns the number of bytes that have some.
    fn attach(&mut self, length: u64) -> Result<u64, Status>;
    /// Changes the guest's access rights to these bytes.
    fn protect(&mut self, bytes: Region, rights: Rights) -> Result<(), Status>;
    /// Discards pages; they read as zeros afterwards, whatever their rights. If no more than `kept` are populated, they may be
    /// kept.
    fn discard(&mut self, bytes: Region, kept: u64) -> Result<(), Status>;
    /// Writes zeros.
    fn zero(&mut self, bytes: Region);
    /// Copies bytes to another place, which does not overlap.
    fn copy(&mut self, from: Region, to: u64);
}

/// Host that calls the tender.
#[derive(Debug)]
pub struct Tender;

impl Host for Tender {
    fn attach(&mut self, length: u64) -> Result<u64, Status> {
        gate::call(Number::GrowHeap, length, 0, 0, 0)
    }

    fn protect(&mut self, bytes: Region, rights: Rights) -> Result<(), Status> {
        gate::call(Number::Protect, bytes.start, bytes.length, rights.bits(), 0).map(|_| ())
    }

    fn discard(&mut self, bytes: Region, kept: u64) -> Result<(), Status> {
        gate::call(Number::Discard, bytes.start, bytes.length, kept, 0).map(|_| ())
    }

    fn zero(&mut self, bytes: Region) {
        // SAFETY: `Memory` calls this for pages of its region that are writable, and that are not in use or that their owner
        // asked to zero.
        unsafe { (bytes.start as *mut u8).write_bytes(0, bytes.length as usize) };
    }

    fn copy(&mut self, from: Region, to: u64) {
        let (source, target) = (from.start as *const u8, to as *mut u8);
        // SAFETY: `Memory` calls this for two spans of its region, both accessible; the target is fresh, so they are disjoint.
        unsafe { source.copy_to_nonoverlapping(target, from.length as usize) };
    }
}
