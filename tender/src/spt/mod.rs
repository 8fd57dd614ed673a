//! The target spt: the guest in this process, which can do nothing but what its devices need.

mod bounds;
mod ip_filter;
pub(crate) mod signals;
mod sparse;
pub mod watchdog;

use crate::arch::exception::is_fetch;
use crate::arch::spt::switch::{self, DOORBELL_FILE};
use crate::arch::spt::vcpu::{Processor, Start};
use crate::arch::spt::{has_base_instructions, trampoline};
use crate::devices::notifier::Notifier;
use crate::image::Image;
use crate::memory::host::protect;
use crate::memory::{self, Claim, Memory, Touch};
use crate::vm::gate::{DOORBELL, NO_LIBOS, UNDEFINED};
use crate::vm::target::{Error, Vcpu, Vm};
use husk_abi::call::Status;
use husk_abi::memory::{BOOT, GATE, Region, Rights};
use libc::sock_filter;
use sparse::Sparse;
use std::os::fd::AsRawFd;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;

/// A guest in this process, which has only one guest.
#[derive(Debug)]
pub struct Spt {
    memory: Arc<Memory>,
    start: Start,
    sparse: Sparse,
    /// Size of all mappings, until the limit is set.
    mapped: Option<bounds::Mapped>,
}

impl Spt {
    /// Prepares to run `image`, with its memory mapped already; `boot` is the boot information area.
    pub fn new(image: &Image, mut memory: Memory, boot: &[u8]) -> Result<Self, Error> {
        if !has_base_instructions() {
            return Err(Error::NoBaseInstructions);
        }
        let layout = *memory.layout();
        memory.write_tender_page(GATE, &trampoline(&raw const switch::husk_spt_gate));
        memory.write_tender_page(NO_LIBOS, &UNDEFINED);
        memory.write_tender_page(DOORBELL, &trampoline(&raw const switch::husk_spt_doorbell));
        memory.write_tender_page(BOOT, boot);
        memory.seal(image)?;
        let start = Start {
            entry: image.entry.wrapping_add(layout.load_bias),
            boot: layout.tender_address(BOOT),
            stack: layout.libos_stack.end(),
            dispatcher: image
                .notes
                .system_calls
                .map_or(layout.tender_address(NO_LIBOS), |address| address.wrapping_add(layout.load_bias)),
        };
        let mapped = Some(bounds::Mapped::open());
        bounds::limit_speculation();
        Ok(Self { memory: Arc::new(memory), start, sparse: Sparse::default(), mapped })
    }

    /// Returns true if an address lies in memory of which the guest itself sets the protection.
    fn has(&self, address: u64) -> bool {
        self.memory.attached_heap().contains(address) || self.memory.sparse().has(address)
    }
}

impl Vm for Spt {
    fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    fn create_vcpu(&mut self) -> Result<Box<dyn Vcpu>, Error> {
        Ok(Box::new(Processor::new(self.start)))
    }

    fn connect(&mut self, notifier: &Notifier) {
        DOORBELL_FILE.store(notifier.doorbell().as_raw_fd(), Relaxed);
    }

    fn prepare(&mut self) -> Result<Vec<sock_filter>, Error> {
        self.memory.seal_tender_pages()?;
        self.mapped
            .take()
            .map_or(Ok(()), |mapped| bounds::limit_memory(&self.memory, mapped))
            .map_err(memory::Error::NoMemory)?;
        bounds::forget_environment();
        Ok(ip_filter::instructions())
    }

    fn touch(&mut self, address: u64, error: u64) -> Touch {
        if self.memory.sparse().region().contains(address) {
            match self.sparse.touch(&self.memory, address) {
                Touch::Fault => {}
                touch => return touch,
            }
        }
        // The guest may have protected the page itself, which the processor reports like an unmapped page.
        if !is_fetch(error) && self.has(address) { Touch::Forbidden } else { Touch::Fault }
    }

    fn grow_heap(&mut self, length: u64) -> Result<u64, Status> {
        let layout = self.memory.layout();
        if let Some(end) = layout.attach(self.memory.attached(), length, self.sparse.bytes())? {
            let more = Region::between(layout.tender_address(self.memory.attached()), layout.tender_address(end));
            protect(more, Rights::READ | Rights::WRITE).map_err(|_| Status::NoMemory)?;
            self.memory.note_attached(end);
        }
        Ok(self.memory.attached_heap().length)
    }

    fn release(&mut self, claim: Claim) {
        if self.memory.sparse().region().contains(claim.address) {
            self.sparse.release(&self.memory, claim);
        }
    }

    fn available_memory(&self) -> u64 {
        self.sparse.room(&self.memory)
    }

    fn attach_image(&mut self) -> Result<u64, Status> {
        // The file is mapped at its final address already.
        Ok(0)
    }
}
