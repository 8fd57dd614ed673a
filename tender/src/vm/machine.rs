//! A guest that is ready to run, on either target: the loop that runs it, answers its exits and runs it again.

#![expect(unsafe_code, reason = "the clock page is given to the clock, and a byte to signal handlers, by address")]

use crate::arch::effective_address;
use crate::arch::exception::INVALID_OPCODE;
use crate::arch::registers::Registers;
use crate::confine::{self, Confined, Crew};
use crate::devices::console::{self, Console};
use crate::devices::device_loop::DeviceLoop;
use crate::devices::notifier::Notifier;
use crate::devices::{Open, table};
use crate::host::processors;
use crate::host::signals::{self, Halt};
use crate::image::Image;
use crate::limits::cpu_quota::{Hold, Share};
use crate::memory::{Claim, Memory};
use crate::report::threads::{Processor, Thread, Threads};
use crate::vm::clock::{Clock, Counter};
use crate::vm::fault::Fault;
use crate::vm::gate::NO_LIBOS;
use crate::vm::guest::{Guest, Next};
use crate::vm::guest_signals::GuestSignals;
use crate::vm::preemption::Turns;
use crate::vm::statistics::Statistics;
use crate::vm::target::{Error, Stop, Target};
use husk_abi::call::Status;
use husk_abi::memory::CLOCK;
use husk_abi::signals::{QUIT, bit};
use libc::sock_filter;
use std::io;
use std::sync::Arc;

/// A guest and its processor.
#[derive(Debug)]
pub struct Machine {
    // Dropped before the processor that it stops.
    halt: Halt,
    target: Box<dyn Target>,
    turns: Option<Turns>,
    hold: Option<Hold>,
    threads: Option<Threads>,
    /// A call that was made and is not answered yet.
    again: Option<Stop>,
    guest: Guest,
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
fn serve(
    target: &mut dyn Target,
    memory: &Arc<Memory>,
    devices: Vec<Open>,
    crew: &mut Crew,
) -> Result<Option<DeviceLoop>, confine::Error> {
    if devices.is_empty() {
        return Ok(None);
    }
    let notifier = Arc::new(Notifier::new(processors::is_alone()).map_err(confine::Error::NoThread)?);
    target.connect(&notifier);
    let rings = memory.layout().rings.start;
    let served = (0..).zip(devices).map(|(index, open)| {
        let queues = table::queues(rings, index, open.kind());
        open.connect(memory, queues)
    });
    DeviceLoop::start(notifier, served.collect(), crew).map(Some)
}

impl Machine {
    /// Creates a machine for `image` on `target`, with the time stamp counter `counter`. The thread that serves the devices
    /// joins `crew`; the calling thread is the one of the processor.
    pub fn new(
        mut target: Box<dyn Target>,
        image: &Image,
        memory: Arc<Memory>,
        counter: Counter,
        statistics: Statistics,
        devices: Vec<Open>,
        crew: &mut Crew,
    ) -> Result<Self, confine::Error> {
        let bias = memory.layout().load_bias;
        // SAFETY: CLOCK is a page of `memory`, which outlives the clock, and the guest only reads the page.
        let clock = unsafe { Clock::start(memory.own(CLOCK).cast(), counter) };
        let turns = Turns::new(image, &memory);
        // Without turns, a guest that does not call cannot be notified.
        let record = image.notes.signals.filter(|_| turns.is_some());
        let posted = record.and_then(|record| GuestSignals::new(record.wrapping_add(bias), &memory));
        // SAFETY: the byte lives as long as the target, which is dropped after the halt.
        let halt = unsafe { Halt::new(target.halt()) };
        let console = Console::new(console::Options::default());
        target.list(&mut crew.descriptors);
        turns.iter().for_each(|turns| turns.list(&mut crew.descriptors));
        memory.list(&mut crew.descriptors);
        let device_loop = serve(&mut *target, &memory, devices, crew)?;
        Ok(Self {
            halt,
            target,
            turns,
            hold: None,
            threads: Threads::new(image, bias),
            again: None,
            guest: Guest { clock, memory, signals: posted, statistics, console, device_loop },
        })
    }

    /// Prepares the target on this thread, which is confined next. Returns instructions of seccomp(2) that decide before all
    /// others.
    pub fn prepare(&mut self, crew: &mut Crew) -> Result<Vec<sock_filter>, Error> {
        self.target.prepare(crew)
    }

    /// Sets how the guest's output is treated.
    #[must_use]
    pub fn with_console(mut self, options: console::Options) -> Self {
        self.guest.console = Console::new(options);
        self
    }

    /// Limits the guest to a share of a processor from now on. The calling thread is the one that will run the guest.
    pub fn hold_to(&mut self, share: Share) -> io::Result<()> {
        self.hold = Some(Hold::start(share)?);
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
            if let Some(end) = self.hear()? {
                return Ok(end);
            }
            if let Some(hold) = self.hold.as_mut().filter(|_| Hold::is_due()) {
                hold.wait();
                self.halt.let_run();
                continue;
            }
            let fault = match self.stop()? {
                Stop::Call { number, arguments } => match self.guest.answer(number, arguments) {
                    Ok(Next::Resume(result)) => {
                        self.target.resume_with(result);
                        continue;
                    }
                    Ok(Next::Again) => {
                        self.again = Some(Stop::Call { number, arguments });
                        continue;
                    }
                    Ok(Next::Exit(status)) => return Ok(End::Exit(status)),
                    Ok(Next::Attach(length)) => {
                        let result = self.target.attach(&self.guest.memory, length);
                        self.target.resume_with(Status::encode(result));
                        continue;
                    }
                    Ok(Next::AttachImage) => {
                        let result = self.target.attach_image(&self.guest.memory);
                        self.target.resume_with(Status::encode(result));
                        continue;
                    }
                    Ok(Next::Release(claim)) => match self.release(claim) {
                        Ok(result) => {
                            self.target.resume_with(result);
                            continue;
                        }
                        Err(fault) => fault,
                    },
                    Ok(Next::Tick) => {
                        self.turns.iter_mut().for_each(Turns::tick);
                        self.target.resume_with(0);
                        continue;
                    }
                    Ok(Next::Room) => {
                        let room = self.target.room(&self.guest.memory);
                        self.target.resume_with(Status::encode(Ok(room)));
                        continue;
                    }
                    Err(fault) => fault,
                },
                Stop::Touched => {
                    self.guest.statistics.touch();
                    continue;
                }
                Stop::OutOfMemory => Fault::OutOfMemory,
                Stop::Interrupted => {
                    self.guest.statistics.interrupt();
                    if let Some(end) = self.hear()? {
                        return Ok(end);
                    }
                    if let Some(turns) = &mut self.turns {
                        turns.look(&mut *self.target, self.guest.signals_pending())?;
                    }
                    continue;
                }
                Stop::Doorbell => {
                    if let Some(device_loop) = &self.guest.device_loop {
                        device_loop.notifier().ring();
                    }
                    continue;
                }
                Stop::Exception { vector, error } => return self.exception(vector, error),
                Stop::Forbidden { address: None } => Fault::Forbidden { address: self.forbidden()? },
                Stop::Forbidden { address } => Fault::Forbidden { address },
                Stop::Port(port) => Fault::Port(port),
                Stop::Shutdown => Fault::Shutdown,
                Stop::Strange(how) => Fault::StrangeExit(how),
            };
            return Ok(End::Fault { fault, registers: Box::new(self.target.registers()?) });
        }
    }

    /// Takes pages back, with their contents; returns the result of the call.
    fn release(&mut self, claim: Claim) -> Result<u64, Fault> {
        self.target.release(&self.guest.memory, claim);
        let done = self.guest.memory.discard(claim, 0)?;
        Ok(Status::encode(done.map(|()| 0).map_err(|_| Status::NoMemory)))
    }

    /// Runs the guest until it stops, with a correct clock, unless a call is to be answered again.
    fn stop(&mut self) -> Result<Stop, Error> {
        if let Some(call) = self.again.take() {
            return Ok(call);
        }
        if self.guest.clock.is_due() {
            self.guest.clock.correct(&self.guest.memory, self.target.counter());
        }
        let stop = self.target.run();
        self.guest.clock.leave();
        stop
    }

    /// Posts the signals that have arrived to the guest. A fatal signal ends a guest that takes no signals.
    fn hear(&mut self) -> Result<Option<End>, Error> {
        if !signals::any() {
            return Ok(None);
        }
        let arrived = self.halt.take();
        if let Some(fault) = self.guest.device_loop.as_ref().and_then(|device_loop| device_loop.notifier().fault()) {
            return Ok(Some(End::Fault { fault, registers: Box::new(self.target.registers()?) }));
        }
        match (&self.guest.signals, signals::fatal(arrived)) {
            (Some(posted), _) => {
                posted.post(signals::told(arrived));
                // The guest may be at an instruction where it cannot be stopped now: the timer of turns tries again.
                self.turns.iter_mut().for_each(Turns::tick);
            }
            (None, Some(signal)) => return Ok(Some(End::Signal(signal as u8))),
            (None, None) => {}
        }
        Ok((arrived & bit(QUIT) != 0).then_some(End::Asked))
    }

    /// Returns the state of the guest's threads, the running one first.
    pub fn threads(&self) -> Result<Vec<Thread>, Error> {
        Ok(self.threads_at(self.target.registers()?))
    }

    /// Returns the state of the guest's threads, with registers that are known already.
    pub fn threads_at(&self, registers: Registers) -> Vec<Thread> {
        let inside = self.turns.as_ref().is_some_and(Turns::inside);
        let found = self.threads.map(|threads| threads.read(&self.guest.memory, &Processor { registers, inside }));
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
        let registers = self.target.registers()?;
        let memory = &self.guest.memory;
        let words = (registers.pc()..).step_by(8).take(effective_address::LENGTH_MAXIMUM.div_ceil(8));
        let bytes: Vec<u8> = words.map_while(|address| memory.peek(address)).flat_map(u64::to_le_bytes).collect();
        let touched = effective_address::touched(&bytes, &registers);
        Ok(touched.iter().find(|address| memory.peek(**address & !7).is_none()).or(touched.first()).copied())
    }

    fn exception(&self, vector: u8, error: u64) -> Result<End, Error> {
        let registers = self.target.registers()?;
        let fault = match (vector, registers.pc()) {
            (INVALID_OPCODE, pc) if pc == self.guest.memory.layout().own(NO_LIBOS) => {
                Fault::NoLibos { system_call: registers.system_call().0 }
            }
            _ => Fault::Exception { vector, error, address: registers.fault_address() },
        };
        Ok(End::Fault { fault, registers: Box::new(registers) })
    }
}
