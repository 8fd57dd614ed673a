//! A guest that is ready to run, on either target: the loop that runs it, answers its exits and runs it again.

#![expect(unsafe_code, reason = "the clock page is given to the clock, and a byte to signal handlers, by address")]

use crate::arch::effective_address;
use crate::arch::exception::{INVALID_OPCODE, PAGE_FAULT};
use crate::arch::registers::Registers;
use crate::confine::{self, Confined, Crew};
use crate::devices::console::{self, Console};
use crate::devices::device_loop::DeviceLoop;
use crate::devices::notifier::Notifier;
use crate::devices::pause::Pauser;
use crate::devices::{Open, table};
use crate::host::processors;
use crate::host::signals::{self, Halt};
use crate::host_files::HostFiles;
use crate::image::Image;
use crate::limits::cpu_quota::{CpuQuota, Throttle};
use crate::memory::Touch;
use crate::report::threads::{Running, Thread, Threads};
use crate::vm::clock::{Clock, Moment};
use crate::vm::fault::Fault;
use crate::vm::gate::NO_LIBOS;
use crate::vm::guest::{Guest, Reply};
use crate::vm::guest_signals::GuestSignals;
use crate::vm::guest_streams::Streams;
use crate::vm::preemption::Preemption;
use crate::vm::statistics::Statistics;
use crate::vm::target::{Error, Vcpu, Vm, VmExit};
use husk_abi::memory::CLOCK;
use husk_abi::signals::{QUIT, bit};
use libc::sock_filter;
use std::io;
use std::sync::Arc;

/// A guest and its processor.
#[derive(Debug)]
pub struct Machine {
    processor: Processor,
    throttle: Option<Throttle>,
    threads: Option<Threads>,
    guest: Guest,
}

/// A virtual processor, and what stops it.
#[derive(Debug)]
struct Processor {
    // Dropped before the processor that it stops.
    halt: Halt,
    vcpu: Box<dyn Vcpu>,
    preemption: Option<Preemption>,
    /// A call that was made and is not answered yet.
    unanswered: Option<VmExit>,
}

/// End of a guest's run.
#[derive(Debug)]
pub enum End {
    /// Exit by the guest, with this exit status.
    Exit(u8),
    /// Signal to the tender; the guest takes none.
    Signal(u8),
    /// Breach of the contract.
    Fault {
        /// Kind of the breach.
        fault: Fault,
        /// Registers of the guest at that time.
        registers: Box<Registers>,
    },
    /// Not the end: SIGQUIT asked what the threads do. The guest can be run again.
    Asked,
}

/// Connects the doorbell, and starts to serve the devices, if there are any.
fn serve(vm: &mut dyn Vm, devices: Vec<Open>, crew: &mut Crew) -> Result<Option<DeviceLoop>, confine::Error> {
    if devices.is_empty() {
        return Ok(None);
    }
    let notifier = Arc::new(Notifier::new(processors::is_alone()).map_err(confine::Error::NoThread)?);
    vm.connect(&notifier);
    let memory = vm.memory();
    let rings = memory.layout().rings.start;
    let served = (0..).zip(devices).map(|(index, open)| {
        let queues = table::queues(rings, index, open.kind());
        open.connect(memory, queues)
    });
    DeviceLoop::start(notifier, served.collect(), crew).map(Some)
}

impl Machine {
    /// Makes a machine of `vm`, its processor and its devices, for `image`. The thread that serves the devices joins `crew`; the
    /// calling thread is the one of the processor. `began` is the start of the tender.
    pub fn new(
        mut vm: Box<dyn Vm>,
        mut vcpu: Box<dyn Vcpu>,
        image: &Image,
        began: Moment,
        statistics: Statistics,
        devices: Vec<Open>,
        crew: &mut Crew,
    ) -> Result<Self, Error> {
        let memory = Arc::clone(vm.memory());
        let bias = memory.layout().load_bias;
        let counter = vcpu.start_counter(began);
        // SAFETY: CLOCK is a page of `memory`, which outlives the clock, and the guest only reads the page.
        let clock = unsafe { Clock::start(memory.tender_address(CLOCK).cast(), counter) };
        let preemption = Preemption::new(image, &memory);
        // Without preemption, a guest that does not call cannot be notified.
        let record = image.notes.signals.filter(|_| preemption.is_some());
        let signals = record.and_then(|record| GuestSignals::new(record.wrapping_add(bias), &memory));
        // SAFETY: the byte lives as long as the processor, which is dropped after the halt.
        let halt = unsafe { Halt::new(vcpu.halt()) };
        let console = Console::new(console::Options::default());
        vm.list(&mut crew.descriptors);
        vcpu.list(&mut crew.descriptors);
        preemption.iter().for_each(|preemption| preemption.list(&mut crew.descriptors));
        memory.list(&mut crew.descriptors);
        let device_loop = serve(&mut *vm, devices, crew)?;
        Ok(Self {
            processor: Processor { halt, vcpu, preemption, unanswered: None },
            throttle: None,
            threads: Threads::new(image, bias),
            guest: Guest {
                vm,
                clock,
                memory,
                signals,
                statistics,
                console,
                streams: Streams::default(),
                host_files: HostFiles::default(),
                device_loop,
            },
        })
    }

    /// Returns a handle that pauses the devices, for another thread. The calling thread is the one of the processor.
    pub fn pauser(&self) -> Pauser {
        Pauser::new(&self.guest.console, self.guest.device_loop.as_ref())
    }

    /// Prepares the target on this thread, which is confined next. Returns instructions of seccomp(2) that decide before all
    /// others.
    pub fn prepare(&mut self, crew: &mut Crew) -> Result<Vec<sock_filter>, Error> {
        self.processor.vcpu.prepare(crew)?;
        self.guest.vm.prepare()
    }

    /// Sets how the guest's output is treated, and the streams behind the console.
    #[must_use]
    pub fn with_console(mut self, options: console::Options, streams: Streams) -> Self {
        self.guest.console = Console::new(options);
        self.guest.streams = streams;
        self
    }

    /// Sets which files of the host the guest may read.
    #[must_use]
    pub fn with_host_files(mut self, host_files: HostFiles) -> Self {
        self.guest.host_files = host_files;
        self
    }

    /// Limits the guest to a share of a processor from now on. The calling thread is the one that will run the guest.
    pub fn throttle(&mut self, quota: CpuQuota) -> io::Result<()> {
        self.throttle = Some(Throttle::start(quota)?);
        Ok(())
    }

    /// Flushes what the guest has sent, after the guest has ended.
    pub fn finish(&mut self) {
        if let Some(device_loop) = &mut self.guest.device_loop {
            device_loop.finish();
        }
    }

    /// Runs the guest to its end, or until SIGQUIT asks for a report. Takes the proof that no thread is left unconfined.
    pub fn run(&mut self, _: &Confined) -> Result<End, Error> {
        self.guest.statistics.enter();
        loop {
            if let Some(end) = self.take_signals()? {
                return Ok(end);
            }
            if let Some(throttle) = self.throttle.as_mut().filter(|_| Throttle::is_due()) {
                throttle.wait();
                self.processor.halt.let_run();
                continue;
            }
            let exit = self.run_processor()?;
            if let Some(end) = self.handle(exit)? {
                return Ok(end);
            }
        }
    }

    /// Runs the guest until its next exit, with a correct clock, unless a call is to be answered again.
    fn run_processor(&mut self) -> Result<VmExit, Error> {
        if let Some(call) = self.processor.unanswered.take() {
            return Ok(call);
        }
        if self.guest.clock.is_due() {
            self.guest.clock.correct(&self.guest.memory, self.processor.vcpu.counter());
        }
        let exit = self.processor.vcpu.run();
        self.guest.clock.leave();
        exit
    }

    /// Answers an exit; returns the guest's end, if this is it.
    fn handle(&mut self, exit: VmExit) -> Result<Option<End>, Error> {
        let Self { processor, guest, .. } = self;
        let fault = match exit {
            VmExit::Call { number, arguments } => {
                match guest.answer(processor.preemption.as_mut(), number, arguments) {
                    Ok(Reply::Resume(result)) => {
                        processor.vcpu.resume_with(result);
                        return Ok(None);
                    }
                    Ok(Reply::Again) => {
                        processor.unanswered = Some(VmExit::Call { number, arguments });
                        return Ok(None);
                    }
                    Ok(Reply::Exit(status)) => return Ok(Some(End::Exit(status))),
                    Err(fault) => fault,
                }
            }
            VmExit::PageFault { address, error } => match guest.vm.touch(address, error) {
                Touch::Mapped => {
                    guest.statistics.touch();
                    return processor.vcpu.retry().map(|()| None);
                }
                Touch::OutOfMemory => Fault::OutOfMemory,
                Touch::Forbidden => Fault::Forbidden { address: Some(address) },
                Touch::Fault => return self.exception(PAGE_FAULT, error).map(Some),
            },
            VmExit::Interrupted => return self.interrupted(),
            VmExit::Doorbell => {
                guest.device_loop.iter().for_each(|device_loop| device_loop.notifier().ring());
                return Ok(None);
            }
            VmExit::Exception { vector, error } => return self.exception(vector, error).map(Some),
            VmExit::Forbidden => Fault::Forbidden { address: self.forbidden()? },
            VmExit::Port(port) => Fault::Port(port),
            VmExit::Shutdown => Fault::Shutdown,
            VmExit::Strange(how) => Fault::StrangeExit(how),
        };
        self.fault(fault).map(Some)
    }

    /// Takes the signals that have interrupted the guest, and ends the turn of a thread that is to be preempted.
    fn interrupted(&mut self) -> Result<Option<End>, Error> {
        self.guest.statistics.interrupt();
        if let Some(end) = self.take_signals()? {
            return Ok(Some(end));
        }
        let Processor { preemption, vcpu, .. } = &mut self.processor;
        if let Some(preemption) = preemption {
            preemption.on_timer(&mut **vcpu, self.guest.signals_pending())?;
        }
        Ok(None)
    }

    /// Posts the signals that have arrived to the guest. A fatal signal ends a guest that takes no signals.
    fn take_signals(&mut self) -> Result<Option<End>, Error> {
        if !signals::any() {
            return Ok(None);
        }
        let arrived = self.processor.halt.take();
        if let Some(fault) = self.guest.device_loop.as_ref().and_then(|device_loop| device_loop.notifier().fault()) {
            return self.fault(fault).map(Some);
        }
        match (&self.guest.signals, signals::fatal(arrived)) {
            (Some(posted), _) => {
                posted.post(signals::for_guest(arrived));
                // The guest may be at an instruction where it cannot be stopped now: the timer tries again.
                self.processor.preemption.iter_mut().for_each(Preemption::tick);
            }
            (None, Some(signal)) => return Ok(Some(End::Signal(signal as u8))),
            (None, None) => {}
        }
        Ok((arrived & bit(QUIT) != 0).then_some(End::Asked))
    }

    /// Returns the state of the guest's threads, the running one first.
    pub fn threads(&self) -> Result<Vec<Thread>, Error> {
        Ok(self.threads_at(self.processor.vcpu.registers()?))
    }

    /// Returns the state of the guest's threads, with registers that are known already.
    pub fn threads_at(&self, registers: Registers) -> Vec<Thread> {
        let preemption = self.processor.preemption.as_ref();
        let running = Running {
            registers,
            current: preemption.map_or(0, Preemption::current),
            in_libos: preemption.is_some_and(Preemption::in_libos),
        };
        let found = self.threads.map(|threads| threads.read(&self.guest.memory, &running));
        found.filter(|threads| !threads.is_empty()).unwrap_or_else(|| vec![Thread::only(registers)])
    }

    /// The guest, with the memory that a report reads.
    pub fn guest(&self) -> &Guest {
        &self.guest
    }

    /// Statistics of the guest.
    pub fn statistics(&mut self) -> &mut Statistics {
        &mut self.guest.statistics
    }

    /// Address of an access that the host mapping refused, if the host does not report it: the first address that the
    /// instruction may touch and that cannot be read; or the first of all, if the refused access was a write.
    fn forbidden(&self) -> Result<Option<u64>, Error> {
        let registers = self.processor.vcpu.registers()?;
        let memory = &self.guest.memory;
        let words = (registers.pc()..).step_by(8).take(effective_address::LENGTH_MAXIMUM.div_ceil(8));
        let bytes: Vec<u8> = words.map_while(|address| memory.peek(address)).flat_map(u64::to_le_bytes).collect();
        let touched = effective_address::touched(&bytes, &registers);
        Ok(touched.iter().find(|address| memory.peek(**address & !7).is_none()).or(touched.first()).copied())
    }

    fn fault(&self, fault: Fault) -> Result<End, Error> {
        Ok(End::Fault { fault, registers: Box::new(self.processor.vcpu.registers()?) })
    }

    fn exception(&self, vector: u8, error: u64) -> Result<End, Error> {
        let registers = self.processor.vcpu.registers()?;
        let fault = match (vector, registers.pc()) {
            (INVALID_OPCODE, pc) if pc == self.guest.memory.layout().tender_address(NO_LIBOS) => {
                Fault::NoLibos { system_call: registers.system_call().0 }
            }
            _ => Fault::Exception { vector, error, address: registers.fault_address() },
        };
        Ok(End::Fault { fault, registers: Box::new(registers) })
    }
}
