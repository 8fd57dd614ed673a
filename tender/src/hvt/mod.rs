//! The target hvt: the guest in a KVM virtual machine.

#![expect(unsafe_code, reason = "guest memory is given to KVM, and the clock page to the clock, by address")]

mod cpuid;
pub mod ring0;
mod slots;
mod tables;
mod turns;
mod vcpu;

use crate::clock::Clock;
use crate::devices::bells::Bells;
use crate::devices::service::Service;
use crate::devices::{Open, table};
use crate::error::Error;
use crate::fault::Fault;
use crate::guest::{Guest, Next};
use crate::image::Image;
use crate::memory::Memory;
use crate::operands;
use crate::registers::Registers;
use crate::signals::{self, Halt, Told};
use crate::statistics::Statistics;
use crate::threads::{Processor, Thread, Threads};
use husk_abi::call::Status;
use husk_abi::memory::{BOOT, CLOCK, FRAME, GATE};
use husk_abi::signals::{QUIT, bit};
use kvm_ioctls::{IoEventAddress, Kvm, NoDatamatch, VcpuFd, VmFd};
use slots::Slots;
use std::sync::Arc;
use turns::Turns;
use vcpu::Stop;

/// A virtual machine that is ready to run.
#[derive(Debug)]
pub struct Machine {
    // Dropped in this order: the halt before the processor that it stops, the machine before the memory that it uses.
    halt: Halt,
    vcpu: VcpuFd,
    vm: VmFd,
    slots: Slots,
    turns: Option<Turns>,
    threads: Option<Threads>,
    /// A call that was made and not answered yet.
    again: Option<Stop>,
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
    /// Not yet: somebody asked what its threads do. It can be run on.
    Asked,
}

/// Connects the doorbell, and starts to serve the devices, if there are any.
fn serve(vm: &VmFd, memory: &Arc<Memory>, devices: Vec<Open>) -> Result<Option<Service>, Error> {
    if devices.is_empty() {
        return Ok(None);
    }
    let bells = Arc::new(Bells::new()?);
    let port = IoEventAddress::Pio(ring0::DOORBELL_PORT.into());
    // Without it, the doorbell comes as an exit: slower, and as good.
    let _ = vm.register_ioevent(bells.doorbell(), &port, NoDatamatch);
    let rings = memory.layout().rings.start;
    let served = (0..).zip(devices).map(|(index, open)| open.connect(memory, table::queues(rings, index)));
    Service::start(bells, served.collect()).map(Some)
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
        devices: Vec<Open>,
    ) -> Result<Self, Error> {
        let vm = kvm.create_vm().map_err(Error::kvm("create a virtual machine"))?;
        let slots = Slots::start(&vm, &memory)?;
        let mut vcpu = vm.create_vcpu(0).map_err(Error::kvm("create a virtual processor"))?;
        let bias = memory.layout().load_bias;
        let ports =
            if devices.is_empty() { &[ring0::GATE_PORT][..] } else { &[ring0::GATE_PORT, ring0::DOORBELL_PORT] };
        let dispatcher = image.notes.system_calls.map_or(ring0::NO_LIBOS, |address| address.wrapping_add(bias));
        memory.write_own(GATE, &ring0::gate_page());
        memory.write_own(FRAME, &ring0::return_frame(dispatcher));
        memory.write_own(ring0::TABLES, &ring0::tables_page(ports));
        memory.write_own(ring0::STUBS, &ring0::exception_stubs());
        memory.write_own(BOOT, boot);
        let root = tables::write(&memory, image, boot.len() as u64);
        vcpu::prepare(&mut vcpu, image.entry.wrapping_add(bias), root, image.notes.manifest.kind)?;
        let khz = vcpu.get_tsc_khz().map_err(Error::kvm("tell the rate of its time stamp counter"))?;
        // SAFETY: CLOCK is a page of `memory`, which outlives the clock, and the guest only reads it.
        let clock = unsafe { Clock::start(memory.own(CLOCK).cast(), khz) };
        let turns = Turns::new(image, &memory);
        // Without turns, there is no way to tell a guest that does not call.
        let record = image.notes.signals.filter(|_| turns.is_some());
        let told = record.and_then(|record| Told::new(record.wrapping_add(bias), &memory));
        let halt = Halt::new(&mut vcpu);
        let memory = Arc::new(memory);
        let service = serve(&vm, &memory, devices)?;
        Ok(Self {
            halt,
            vcpu,
            vm,
            slots,
            turns,
            threads: Threads::new(image, bias),
            again: None,
            guest: Guest { clock, memory, told, statistics, service },
        })
    }

    /// Lets what the guest has sent go out, once it has ended.
    pub fn finish(&mut self) {
        if let Some(service) = &mut self.guest.service {
            service.finish();
        }
    }

    /// Runs the guest to its end, or until somebody asks about it.
    pub fn run(&mut self) -> Result<End, Error> {
        self.guest.statistics.enter();
        loop {
            if let Some(end) = self.hear()? {
                return Ok(end);
            }
            let fault = match self.stop()? {
                Stop::Call { number, arguments } => match self.guest.answer(number, arguments) {
                    Ok(Next::Resume(result)) => {
                        vcpu::resume_with(&mut self.vcpu, result);
                        continue;
                    }
                    Ok(Next::Again) => {
                        self.again = Some(Stop::Call { number, arguments });
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
                    if let Some(end) = self.hear()? {
                        return Ok(end);
                    }
                    if let Some(turns) = &self.turns {
                        turns.look(&mut self.vcpu, self.guest.signals_pending());
                    }
                    continue;
                }
                Stop::Doorbell => {
                    if let Some(service) = &self.guest.service {
                        service.bells().ring();
                    }
                    continue;
                }
                Stop::Exception(vector) => return self.exception(vector),
                Stop::Forbidden => Fault::Forbidden { address: self.forbidden()? },
                Stop::Shutdown => Fault::Shutdown,
                Stop::Strange(how) => Fault::StrangeExit(how),
            };
            return Ok(End::Fault { fault, registers: Box::new(self.registers()?) });
        }
    }

    /// Runs the guest until it stops, unless it has a call to be answered again.
    fn stop(&mut self) -> Result<Stop, Error> {
        self.again.take().map_or_else(|| vcpu::run(&mut self.vcpu), Ok)
    }

    /// Tells the guest which signals have arrived. A guest that takes none may end by one.
    fn hear(&mut self) -> Result<Option<End>, Error> {
        if !signals::any() {
            return Ok(None);
        }
        let arrived = self.halt.take(&mut self.vcpu);
        if let Some(fault) = self.guest.service.as_ref().and_then(|service| service.bells().fault()) {
            return Ok(Some(End::Fault { fault, registers: Box::new(self.registers()?) }));
        }
        match (&self.guest.told, signals::fatal(arrived)) {
            (Some(told), _) => told.tell(signals::told(arrived)),
            (None, Some(signal)) => return Ok(Some(End::Exit(128 + signal as u8))),
            (None, None) => {}
        }
        Ok((arrived & bit(QUIT) != 0).then_some(End::Asked))
    }

    /// What the guest's threads do, the one that has the processor first.
    pub fn threads(&self) -> Result<Vec<Thread>, Error> {
        Ok(self.threads_at(self.registers()?))
    }

    /// The same for a guest whose registers are known.
    pub fn threads_at(&self, registers: Registers) -> Vec<Thread> {
        let inside = self.turns.as_ref().is_some_and(Turns::inside);
        let found = self.threads.map(|threads| threads.read(&self.guest.memory, &Processor { registers, inside }));
        found.filter(|threads| !threads.is_empty()).unwrap_or_else(|| vec![Thread::only(registers)])
    }

    /// The guest's memory, for a report.
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// The address that the host refused, which it does not tell: the first one that the instruction may touch and that
    /// cannot be read; or the first of all, if it is the writing that was refused.
    fn forbidden(&self) -> Result<Option<u64>, Error> {
        let registers = self.registers()?;
        let memory = &self.guest.memory;
        let words = (registers.rip..).step_by(8).take(operands::LENGTH_MAXIMUM.div_ceil(8));
        let bytes: Vec<u8> = words.map_while(|address| memory.peek(address)).flat_map(u64::to_le_bytes).collect();
        let touched = operands::touched(&bytes, &registers);
        Ok(touched.iter().find(|address| memory.peek(**address & !7).is_none()).or(touched.first()).copied())
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
