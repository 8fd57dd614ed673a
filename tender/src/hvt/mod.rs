//! The target hvt: the guest in a KVM virtual machine.

pub mod create;
pub(crate) mod heap;
pub mod open;
mod slots;
#[cfg(feature = "slow-host")]
pub(crate) mod slow;
mod sparse;

use crate::arch::exception::is_present;
use crate::arch::hvt::vcpu::{Processor, Start};
use crate::arch::hvt::{Cpu, msrs, ring0};
use crate::confine::{Descriptors, Lack, Role};
use crate::devices::notifier::Notifier;
use crate::image::Image;
use crate::memory::{Claim, Memory, Touch};
use crate::vm::target::{Error, Vcpu, Vm};
use heap::Heap;
use husk_abi::call::Status;
use husk_abi::memory::Region;
use kvm_ioctls::{IoEventAddress, Kvm, VmFd};
use slots::Slots;
use sparse::Sparse;
use std::sync::Arc;

/// A virtual machine of KVM.
#[derive(Debug)]
pub struct Hvt {
    // Dropped before the memory that it uses.
    vm: VmFd,
    slots: Slots,
    heap: Heap,
    sparse: Sparse,
    memory: Arc<Memory>,
    start: Start,
    /// True if KVM denies the guest all model-specific registers.
    denies_msrs: bool,
}

impl Hvt {
    /// Makes a machine for `image`, which has its memory mapped already; `boot` is the boot information area, `has_devices` is
    /// true if there is a doorbell, and `cpu` is the processor model that a std program sees.
    pub fn new(
        kvm: &Kvm,
        image: &Image,
        mut memory: Memory,
        boot: &[u8],
        has_devices: bool,
        cpu: Cpu,
    ) -> Result<Self, Error> {
        #[cfg(feature = "slow-host")]
        slow::start();
        let vm = create::create_vm(kvm)?;
        let denies_msrs = msrs::deny(&vm)?;
        let slots = Slots::start(&vm, &memory)?;
        ring0::write(&mut memory, image, boot, has_devices);
        let heap = Heap::start(&memory, image, boot.len() as u64);
        let start =
            Start { entry: image.entry.wrapping_add(memory.layout().load_bias), kind: image.notes.manifest.kind, cpu };
        let (sparse, memory) = (Sparse::default(), Arc::new(memory));
        Ok(Self { vm, slots, heap, sparse, memory, start, denies_msrs })
    }
}

impl Vm for Hvt {
    fn memory(&self) -> &Arc<Memory> {
        &self.memory
    }

    fn create_vcpu(&mut self) -> Result<Box<dyn Vcpu>, Error> {
        let vcpu = self.vm.create_vcpu(0).map_err(Error::kvm("create a virtual processor"))?;
        Ok(Box::new(Processor::new(vcpu, Arc::clone(&self.memory), self.start)?))
    }

    fn lack(&self) -> Option<Lack> {
        (!self.denies_msrs).then_some(Lack::MsrFilter)
    }

    fn list(&self, descriptors: &mut Descriptors) {
        descriptors.add(Role::Machine, &self.vm);
    }

    fn connect(&mut self, notifier: &Notifier) {
        let port = IoEventAddress::Pio(ring0::DOORBELL_PORT.into());
        // Without the ioeventfd, the doorbell is an exit: slower, and as good.
        let _ = self.vm.register_ioevent(notifier.doorbell(), &port, ring0::DOORBELL_VALUE);
    }

    /// Maps a page of the heap or the sparse region that the guest has not touched yet.
    fn touch(&mut self, address: u64, error: u64) -> Touch {
        if is_present(error) {
            return Touch::Fault;
        }
        #[cfg(feature = "slow-host")]
        slow::touch();
        let layout = self.memory.layout();
        let usable = Region { length: layout.heap_attached(self.slots.attached()), ..layout.heap };
        if self.heap.touch(&self.memory, usable, address) {
            return Touch::Mapped;
        }
        if !self.memory.sparse().region().contains(address) {
            return Touch::Fault;
        }
        self.sparse.touch(&self.vm, &mut self.slots, &self.memory, address)
    }

    fn grow_heap(&mut self, length: u64) -> Result<u64, Status> {
        self.slots.attach(&self.vm, &self.memory, length, self.sparse.bytes())
    }

    fn release(&mut self, claim: Claim) {
        match self.memory.sparse().region().contains(claim.address) {
            true => self.sparse.release(&self.memory, claim),
            false => self.heap.release(&self.memory, claim),
        }
    }

    fn available_memory(&self) -> u64 {
        self.sparse.room(&self.slots, &self.memory)
    }

    fn attach_image(&mut self) -> Result<u64, Status> {
        let result = self.slots.attach_image(&self.vm, &self.memory)?;
        self.heap.map_image(&self.memory);
        Ok(result)
    }
}
