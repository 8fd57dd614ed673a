//! KVM's slots of the guest's memory: the first is made at the start, others when the guest asks for more.
//!
//! KVM's bookkeeping for a slot grows with the slot's size; on a KVM that shadows page tables its cost is paid when the slot
//! is made, 0.3 ms for a gigabyte. So a guest starts with little ([`crate::memory::layout::Layout::attach`]).

#![expect(unsafe_code, reason = "guest memory is given to KVM by address")]

use crate::memory::Memory;
use crate::vm::target::Error;
use husk_abi::call::Status;
use husk_abi::memory::Region;
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;

/// The slots made so far: side by side from guest-physical address 0.
#[derive(Debug)]
pub struct Slots {
    count: u32,
    /// Bytes in all slots, except the image file's.
    attached: u64,
    /// True if the image file has a slot.
    has_image: bool,
}

impl Slots {
    /// Makes the first slot.
    pub fn start(vm: &VmFd, memory: &Memory) -> Result<Self, Error> {
        let mut slots = Self { count: 0, attached: 0, has_image: false };
        slots.grow(vm, memory, memory.layout().attached_at_start()).map_err(Error::kvm("give the guest its memory"))?;
        Ok(slots)
    }

    /// Makes at least the first `length` bytes of the heap usable, and returns the number that are; `elsewhere` are bytes of
    /// memory that the guest has outside of guest RAM.
    pub fn attach(&mut self, vm: &VmFd, memory: &Memory, length: u64, elsewhere: u64) -> Result<u64, Status> {
        let layout = memory.layout();
        if let Some(end) = layout.attach(self.attached, length, elsewhere)? {
            self.grow(vm, memory, end).map_err(|_| Status::NoMemory)?;
        }
        Ok(layout.heap_attached(self.attached))
    }

    /// Makes the image file readable.
    pub fn attach_image(&mut self, vm: &VmFd, memory: &Memory) -> Result<u64, Status> {
        if !self.has_image {
            let layout = memory.layout();
            let file = Region::between(layout.physical_size(), layout.physical_extent());
            self.add(vm, file, memory.host_address() + file.start).map_err(|_| Status::NoMemory)?;
            self.has_image = true;
        }
        Ok(0)
    }

    /// Bytes of guest-physical memory in the slots of guest RAM.
    pub fn attached(&self) -> u64 {
        self.attached
    }

    fn grow(&mut self, vm: &VmFd, memory: &Memory, end: u64) -> Result<(), kvm_ioctls::Error> {
        self.add(vm, Region::between(self.attached, end), memory.host_address() + self.attached)?;
        self.attached = end;
        Ok(())
    }

    /// Makes a slot of these guest-physical addresses, which are in the guest's [`Memory`] at `host_address`.
    pub fn add(&mut self, vm: &VmFd, physical: Region, host_address: u64) -> Result<(), kvm_ioctls::Error> {
        let region = kvm_userspace_memory_region {
            slot: self.count,
            flags: 0,
            guest_phys_addr: physical.start,
            memory_size: physical.length,
            userspace_addr: host_address,
        };
        // SAFETY: the callers' addresses lie in the memory, which the machine owns and drops after the VM.
        unsafe { vm.set_user_memory_region(region) }?;
        self.count += 1;
        Ok(())
    }
}
