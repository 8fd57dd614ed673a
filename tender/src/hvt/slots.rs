//! The guest's memory as KVM has it: in slots, the first made at the start, others when the guest asks for more.
//!
//! What KVM keeps about a slot grows with its size; on a KVM that shadows page tables it is paid when the slot is made,
//! 0.3 ms for a gigabyte. So a guest starts with little, and each further slot is as large as all before it.

#![expect(unsafe_code, reason = "guest memory is given to KVM by address")]

use crate::error::Error;
use crate::memory::Memory;
use husk_abi::call::Status;
use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::VmFd;

/// The slots made so far: side by side from guest-physical address 0.
#[derive(Debug)]
pub struct Slots {
    count: u32,
    /// Bytes in all of them, but for the image's.
    attached: u64,
    /// Whether the image file has one.
    has_image: bool,
}

impl Slots {
    /// Makes the first slot.
    pub fn start(vm: &VmFd, memory: &Memory) -> Result<Self, Error> {
        let mut slots = Self { count: 0, attached: 0, has_image: false };
        slots.grow(vm, memory, memory.layout().attached_at_start()).map_err(Error::kvm("give the guest its memory"))?;
        Ok(slots)
    }

    /// Makes at least the first `length` bytes of the heap usable, and tells how many are.
    pub fn attach(&mut self, vm: &VmFd, memory: &Memory, length: u64) -> Result<u64, Status> {
        let layout = memory.layout();
        let end = layout.physical(layout.heap.start) + length.min(layout.heap.length);
        if end > self.attached {
            let end = end.max(2 * self.attached).min(layout.physical_size());
            self.grow(vm, memory, end).map_err(|_| Status::NoMemory)?;
        }
        Ok(layout.heap_attached(self.attached))
    }

    /// Makes the image file readable.
    pub fn attach_image(&mut self, vm: &VmFd, memory: &Memory) -> Result<u64, Status> {
        if !self.has_image {
            let layout = memory.layout();
            self.add(vm, memory, layout.physical_size(), layout.physical_extent()).map_err(|_| Status::NoMemory)?;
            self.has_image = true;
        }
        Ok(0)
    }

    fn grow(&mut self, vm: &VmFd, memory: &Memory, end: u64) -> Result<(), kvm_ioctls::Error> {
        self.add(vm, memory, self.attached, end)?;
        self.attached = end;
        Ok(())
    }

    fn add(&mut self, vm: &VmFd, memory: &Memory, start: u64, end: u64) -> Result<(), kvm_ioctls::Error> {
        let region = kvm_userspace_memory_region {
            slot: self.count,
            flags: 0,
            guest_phys_addr: start,
            memory_size: end - start,
            userspace_addr: memory.host_address() + start,
        };
        // SAFETY: the region lies in `memory`, which the machine owns and drops after the VM.
        unsafe { vm.set_user_memory_region(region) }?;
        self.count += 1;
        Ok(())
    }
}
