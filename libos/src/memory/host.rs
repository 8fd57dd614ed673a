//! What managing memory needs from outside: the tender, and the pages themselves.

#![expect(unsafe_code, reason = "zeroing and copying pages by address")]

use husk::abi::call::{Number, Status};
use husk::abi::memory::{Region, Rights};
use husk::gate;

/// What has to be done outside the tables.
pub trait Host {
    /// Gives memory to the first `length` bytes of the heap, and tells how many have some.
    fn attach(&mut self, length: u64) -> Result<u64, Status>;
    /// Changes what the guest may do with these bytes.
    fn protect(&mut self, bytes: Region, rights: Rights) -> Result<(), Status>;
    /// Gives pages back; they read as zeros afterwards, whatever their rights. If no more than `kept` hold anything, these
    /// may stay.
    fn discard(&mut self, bytes: Region, kept: u64) -> Result<(), Status>;
    /// Writes zeros.
    fn zero(&mut self, bytes: Region);
    /// Copies bytes from one place to another, which do not overlap.
    fn copy(&mut self, from: Region, to: u64);
}

/// The real host.
#[derive(Debug)]
pub struct Tender;

impl Host for Tender {
    fn attach(&mut self, length: u64) -> Result<u64, Status> {
        gate::call(Number::Attach, length, 0, 0, 0)
    }

    fn protect(&mut self, bytes: Region, rights: Rights) -> Result<(), Status> {
        gate::call(Number::Protect, bytes.start, bytes.length, rights.bits(), 0).map(|_| ())
    }

    fn discard(&mut self, bytes: Region, kept: u64) -> Result<(), Status> {
        gate::call(Number::Discard, bytes.start, bytes.length, kept, 0).map(|_| ())
    }

    fn zero(&mut self, bytes: Region) {
        // SAFETY: `Memory` calls this for pages of its region that are open and that nobody else uses, or whose owner
        // asked for zeros.
        unsafe { (bytes.start as *mut u8).write_bytes(0, bytes.length as usize) };
    }

    fn copy(&mut self, from: Region, to: u64) {
        let (source, target) = (from.start as *const u8, to as *mut u8);
        // SAFETY: `Memory` calls this for two spans of its region, both open; the target is fresh, so they are disjoint.
        unsafe { source.copy_to_nonoverlapping(target, from.length as usize) };
    }
}
