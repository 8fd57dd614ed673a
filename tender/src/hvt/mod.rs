//! The target hvt: the guest in a KVM virtual machine.

#![expect(unsafe_code, reason = "guest memory is given to KVM, and the clock page to the clock, by address")]

mod cpuid;
pub mod ring0;
mod slots;
mod tables;
mod turns;
mod vcpu;

use crate::clock::Clock;
use crate::error::Error;
use crate::fault::Fault;
use crate::guest::{Guest, Next};
use crate::image::Image;
use crate::memory::Memory;
use crate::registers::Registers;
use crate::statistics::Statistics;
use husk_abi::call::Status;
use husk_abi::memory::{BOOT, CLOCK, FRAME, GATE};
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use slots::Slots;
use turns::Turns;
use vcpu::Stop;

/// A virtual machine that is ready to run.
#[derive(Debug)]
pub struct Machine {
    vcpu: VcpuFd,
    // Dropped in this order: the machine before the memory that it uses.
    vm: VmFd,
    slots: Slots,
    turns: Option<Turns>,
    guest: Guest,
}

/// How a guest ended.
#[derive(Debug)]
pub enum End {
    /// By its own will, with this exit status.
    Exit(u8),
    /// By breaking the contract.
    Fault {
        /// How.
        fault: Fault,
        /// Its registers then.
        registers: Box<Registers>,
    },
}

/// Opens /dev/kvm.
pub fn open() -> Result<Kvm, Error> {
    Kvm::new().map_err(|error| match error.errno() {
        libc::ENOENT | libc::ENODEV | libc::ENXIO => Error::NoKvm,
        libc::EACCES | libc::EPERM => Error::KvmNotPermitted,
        _ => Error::kvm("open /dev/kvm")(error),
    })
}

impl Machine {
    /// Makes a machine for `image`, whose memory is mapped already; `boot` is the boot information area.
    pub fn new(
        kvm: &Kvm,
        image: &Image,
        mut memory: Memory,
        boot: &[u8],
        statistics: Statistics,
    ) -> Result<Self, Error> {
        let vm = kvm.create_vm().map_err(Error::kvm("create a virtual machine"))?;
        let slots = Slots::start(&vm, &memory)?;
        let mut vcpu = vm.create_vcpu(0).map_err(Error::kvm("create a virtual processor"))?;
        let bias = memory.layout().load_bias;
        let dispatcher = image.notes.system_calls.map_or(ring0::NO_LIBOS, |address| address.wrapping_add(bias));
        memory.write_own(GATE, &ring0::gate_page());
        memory.write_own(FRAME, &ring0::return_frame(dispatcher));
        memory.write_own(ring0::TABLES, &ring0::tables_page());
        memory.write_own(ring0::STUBS, &ring0::exception_stubs());
        memory.write_own(BOOT, boot);
        let root = tables::write(&memory, image, boot.len() as u64);
        vcpu::prepare(&mut vcpu, image.entry.wrapping_add(bias), root, image.notes.manifest.kind)?;
        let khz = vcpu.get_tsc_khz().map_err(Error::kvm("tell the rate of its time stamp counter"))?;
        // SAFETY: CLOCK is a page of `memory`, which outlives the clock, and the guest only reads it.
        let clock = unsafe { Clock::start(memory.own(CLOCK).cast(), khz) };
        let turns = Turns::new(image, &memory);
        Ok(Self { vcpu, vm, slots, turns, guest: Guest { clock, memory, statistics } })
    }

    /// Runs the guest to its end.
    pub fn run(&mut self) -> Result<End, Error> {
        self.guest.statistics.enter();
        loop {
            let fault = match vcpu::run(&mut self.vcpu)? {
                Stop::Call { number, arguments } => match self.guest.answer(number, arguments) {
                    Ok(Next::Resume(result)) => {
                        vcpu::resume_with(&mut self.vcpu, result);
                        continue;
                    }
                    Ok(Next::Exit(status)) => return Ok(End::Exit(status)),
                    Ok(Next::Attach(length)) => {
                        let result = self.slots.attach(&self.vm, &self.guest.memory, length);
                        vcpu::resume_with(&mut self.vcpu, Status::encode(result));
                        continue;
                    }
                    Ok(Next::AttachImage) => {
                        let result = self.slots.attach_image(&self.vm, &self.guest.memory);
                        vcpu::resume_with(&mut self.vcpu, Status::encode(result));
                        continue;
                    }
                    Err(fault) => fault,
                },
                Stop::Interrupted => {
                    self.guest.statistics.interrupt();
                    if let Some(turns) = &self.turns {
                        turns.look(&mut self.vcpu);
                    }
                    continue;
                }
                Stop::Exception(vector) => return self.exception(vector),
                Stop::Forbidden => Fault::Forbidden { address: None },
                Stop::Shutdown => Fault::Shutdown,
                Stop::Strange(how) => Fault::StrangeExit(how),
            };
            return Ok(End::Fault { fault, registers: Box::new(self.registers()?) });
        }
    }

    /// The guest's memory, for a report.
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    fn exception(&self, vector: u8) -> Result<End, Error> {
        let mut registers = self.registers()?;
        let frame = ring0::frame(vector, |index| self.guest.memory.own_word(ring0::STACK_END - index * 8));
        // The stubs leave all other registers as they were.
        (registers.rip, registers.rsp, registers.rflags) = (frame.rip, frame.rsp, frame.rflags);
        let fault = match (vector, registers.rip) {
            (6, ring0::NO_LIBOS) => Fault::NoLibos { system_call: registers.rax },
            _ => Fault::Exception { vector, error: frame.error, address: registers.cr2 },
        };
        Ok(End::Fault { fault, registers: Box::new(registers) })
    }

    fn registers(&self) -> Result<Registers, Error> {
        let general = self.vcpu.get_regs().map_err(Error::kvm("read the guest's registers"))?;
        let special = self.vcpu.get_sregs().map_err(Error::kvm("read the guest's registers"))?;
        Ok(Registers {
            rax: general.rax,
            rbx: general.rbx,
            rcx: general.rcx,
            rdx: general.rdx,
            rsi: general.rsi,
            rdi: general.rdi,
            rbp: general.rbp,
            rsp: general.rsp,
            r8: general.r8,
            r9: general.r9,
            r10: general.r10,
            r11: general.r11,
            r12: general.r12,
            r13: general.r13,
            r14: general.r14,
            r15: general.r15,
            rip: general.rip,
            rflags: general.rflags,
            fs_base: special.fs.base,
            gs_base: special.gs.base,
            cr2: special.cr2,
        })
    }
}
