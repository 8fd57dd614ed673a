//! The target hvt: the guest in a KVM virtual machine.

pub mod create;
pub(crate) mod heap;
pub mod open;
mod slots;
#[cfg(feature = "slow-host")]
pub(crate) mod slow;
mod sparse;

use crate::arch::exception::{PAGE_FAULT, is_present};
use crate::arch::hvt::ring0::Frame;
use crate::arch::hvt::{Cpu, counter, msrs, ring0, tables, vcpu};
use crate::arch::registers::Registers;
use crate::confine::{Descriptors, Lack, Role};
use crate::devices::notifier::Notifier;
use crate::image::Image;
use crate::memory::sparse::given::Touch;
use crate::memory::{Claim, Memory};
use crate::vm::clock::{Counter, Moment, Offset};
use crate::vm::gate::NO_LIBOS;
use crate::vm::target::{Error, Stop, Target};
use heap::Heap;
use husk_abi::call::Status;
use husk_abi::memory::{BOOT, FRAME, GATE, Region};
use kvm_ioctls::{IoEventAddress, Kvm, VcpuFd, VmFd};
use slots::Slots;
use sparse::Sparse;
use std::ptr::NonNull;
use std::sync::Arc;

/// A virtual machine with one processor.
#[derive(Debug)]
pub struct Hvt {
    // Dropped in this order: the machine before the memory that it uses.
    vcpu: VcpuFd,
    vm: VmFd,
    slots: Slots,
    heap: Heap,
    sparse: Sparse,
    memory: Arc<Memory>,
    /// Frame that the processor pushed, if it stopped for an exception.
    frame: Option<Frame>,
    /// True if KVM denies the guest all model-specific registers.
    denies_msrs: bool,
}

impl Hvt {
    /// Makes a machine for `image`, which has its memory mapped already; `boot` is the boot information area, `has_devices` is
    /// true if there is a doorbell, and `cpu` is the processor model that a std program sees. `began` is the start of the
    /// tender. Also returns the guest's time stamp counter.
    pub fn new(
        kvm: &Kvm,
        image: &Image,
        mut memory: Memory,
        boot: &[u8],
        has_devices: bool,
        cpu: Cpu,
        began: Moment,
    ) -> Result<(Self, Arc<Memory>, Counter), Error> {
        #[cfg(feature = "slow-host")]
        slow::start();
        let vm = create::create_vm(kvm)?;
        let denies_msrs = msrs::deny(&vm)?;
        let slots = Slots::start(&vm, &memory)?;
        let mut vcpu = vm.create_vcpu(0).map_err(Error::kvm("create a virtual processor"))?;
        let bias = memory.layout().load_bias;
        let ports = if has_devices { &[ring0::GATE_PORT, ring0::DOORBELL_PORT][..] } else { &[ring0::GATE_PORT] };
        let dispatcher = image.notes.system_calls.map_or(NO_LIBOS, |address| address.wrapping_add(bias));
        memory.write_own(GATE, &ring0::gate_page());
        memory.write_own(FRAME, &ring0::return_frame(dispatcher));
        memory.write_own(ring0::TABLES, &ring0::tables_page(ports));
        memory.write_own(ring0::STUBS, &ring0::exception_stubs());
        memory.write_own(BOOT, boot);
        let heap = Heap::start(&memory, image, boot.len() as u64);
        vcpu::prepare(&mut vcpu, image.entry.wrapping_add(bias), tables::FIRST_TABLE, image.notes.manifest.kind, cpu)?;
        let counter = counter::start(&vcpu, began);
        let memory = Arc::new(memory);
        let sparse = Sparse::default();
        let hvt = Self { vcpu, vm, slots, heap, sparse, memory: Arc::clone(&memory), frame: None, denies_msrs };
        Ok((hvt, memory, counter))
    }

    /// Handles a page fault on a page of the heap or the sparse region that the guest has not touched yet: maps the page, if
    /// the guest may have it, so that the guest continues at the next run.
    fn touched(&mut self, frame: &Frame) -> Result<Option<Stop>, Error> {
        if is_present(frame.error) || !vcpu::is_guests(frame) {
            return Ok(None);
        }
        let special = self.vcpu.get_sregs().map_err(Error::kvm("read the guest's registers"))?;
        #[cfg(feature = "slow-host")]
        slow::touch();
        let layout = self.memory.layout();
        let usable = Region { length: layout.heap_attached(self.slots.attached()), ..layout.heap };
        if self.heap.touch(&self.memory, usable, special.cr2) {
            return vcpu::go_on(&mut self.vcpu, frame, special).map(|()| Some(Stop::Touched));
        }
        if !self.memory.sparse().region().contains(special.cr2) {
            return Ok(None);
        }
        match self.sparse.touch(&self.vm, &mut self.slots, &self.memory, special.cr2) {
            Touch::Mapped => vcpu::go_on(&mut self.vcpu, frame, special).map(|()| Some(Stop::Touched)),
            Touch::OutOfMemory => Ok(Some(Stop::OutOfMemory)),
            Touch::Known => Ok(None),
        }
    }
}

impl Target for Hvt {
    fn lack(&self) -> Option<Lack> {
        (!self.denies_msrs).then_some(Lack::MsrFilter)
    }

    fn run(&mut self) -> Result<Stop, Error> {
        let stop = vcpu::run(&mut self.vcpu)?;
        let Stop::Exception { vector, .. } = stop else { return Ok(stop) };
        let frame = ring0::frame(vector, |address| self.memory.own_word(address));
        let touched = if vector == PAGE_FAULT { self.touched(&frame)? } else { None };
        if touched == Some(Stop::Touched) {
            return Ok(Stop::Touched);
        }
        self.frame = Some(frame);
        if let Some(stop) = touched {
            return Ok(stop);
        }
        Ok(Stop::Exception { vector, error: frame.error })
    }

    fn counter(&self) -> Option<Offset> {
        counter::offset(&self.vcpu)
    }

    fn resume_with(&mut self, result: u64) {
        vcpu::resume_with(&mut self.vcpu, result);
    }

    fn registers(&self) -> Result<Registers, Error> {
        let mut registers = vcpu::registers(&self.vcpu)?;
        if let Some(frame) = self.frame {
            // The stubs leave all other registers as they were.
            (registers.rip, registers.rsp, registers.rflags) = (frame.rip, frame.rsp, frame.rflags);
        }
        Ok(registers)
    }

    fn jump(&mut self, rip: u64) -> Result<(), Error> {
        let mut registers = self.vcpu.get_regs().map_err(Error::kvm("read the guest's registers"))?;
        registers.rip = rip;
        self.vcpu.set_regs(&registers).map_err(Error::kvm("set the processor's registers"))
    }

    fn halt(&mut self) -> NonNull<u8> {
        NonNull::from(&mut self.vcpu.get_kvm_run().immediate_exit)
    }

    fn list(&self, descriptors: &mut Descriptors) {
        descriptors.add(Role::Machine, &self.vm);
        descriptors.add(Role::Processor, &self.vcpu);
    }

    fn connect(&mut self, notifier: &Notifier) {
        let port = IoEventAddress::Pio(ring0::DOORBELL_PORT.into());
        // Without the ioeventfd, the doorbell is an exit: slower, and as good.
        let _ = self.vm.register_ioevent(notifier.doorbell(), &port, ring0::DOORBELL_VALUE);
    }

    fn attach(&mut self, memory: &Memory, length: u64) -> Result<u64, Status> {
        self.slots.attach(&self.vm, memory, length, self.sparse.bytes())
    }

    fn release(&mut self, memory: &Memory, claim: Claim) {
        match memory.sparse().region().contains(claim.address) {
            true => self.sparse.release(memory, claim),
            false => self.heap.release(memory, claim),
        }
    }

    fn room(&self, memory: &Memory) -> u64 {
        self.sparse.room(&self.slots, memory)
    }

    fn attach_image(&mut self, memory: &Memory) -> Result<u64, Status> {
        let result = self.slots.attach_image(&self.vm, memory)?;
        self.heap.map_image(memory);
        Ok(result)
    }
}
