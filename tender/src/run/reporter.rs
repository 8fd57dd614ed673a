//! Reports on the guest of a run, with the files that had to be opened for them before.

use crate::arch::registers::Registers;
use crate::confine::{Descriptors, Role};
use crate::image::Image;
use crate::report::threads::Thread;
use crate::report::{self, DebugFiles, Report, place};
use crate::size::Size;
use crate::vm::fault::Fault;
use crate::vm::machine::Machine;
use std::io::IsTerminal;

/// Makes reports, with the debug files of the image.
pub struct Reporter {
    debug_files: DebugFiles,
    colour: bool,
}

impl Reporter {
    /// Opens the debug files of `image`.
    pub fn new(image: &Image) -> Self {
        let debug_files = DebugFiles::open(&image.path, &image.notes.build_id, None);
        Self { debug_files, colour: std::io::stderr().is_terminal() }
    }

    /// Notes which files reports read, `image` included.
    pub fn list(&self, image: &Image, descriptors: &mut Descriptors) {
        descriptors.add(Role::Image, &image.file);
        self.debug_files.list(descriptors);
    }

    /// Returns the report on a guest that broke the contract.
    pub fn stopped(&self, image: &Image, machine: &Machine, fault: &Fault, registers: Registers) -> Report {
        let threads = machine.threads_at(registers);
        let (what, past) = (Some(fault.to_string()), fault.is_past());
        if *fault == Fault::Deadlock {
            return self.report(image, machine, what, None, &threads);
        }
        let current = threads.first().filter(|thread| thread.has_processor());
        // Registers of the program at the signal, not those of the libos that reported it.
        let registers = match (fault, current) {
            (Fault::Signal(_), Some(thread)) => thread.registers,
            _ => registers,
        };
        // A single thread needs no name.
        let thread = current.filter(|_| threads.len() > 1).map(Thread::called);
        let stop = report::Stop { access: fault.access(), registers, past, thread };
        let mut report = self.report(image, machine, what, Some(stop), &[]);
        if fault.gave_up()
            && let Some(asked) = machine.guest().statistics.refused()
        {
            let memory = Size(machine.guest().memory.layout().guest_ram.length);
            report.note(format!(
                "it was refused memory before: it asked for {asked} bytes more, and --memory is {memory}"
            ));
        }
        report
    }

    /// Returns a report on the reason (`what`) and the place (`stop`) of the guest's stop, if it stopped, and on these threads.
    pub fn report(
        &self,
        image: &Image,
        machine: &Machine,
        what: Option<String>,
        stop: Option<report::Stop>,
        threads: &[Thread],
    ) -> Report {
        let memory = &machine.guest().memory;
        let request = report::ReportRequest {
            what,
            stop,
            threads,
            image: &image.path,
            file: &image.file,
            load_bias: memory.layout().load_bias,
            map: &place::map(image, memory.layout()),
            read_guest: &mut |address| memory.peek(address),
            debug_files: Some(&self.debug_files),
        };
        request.report().with_colour(self.colour)
    }
}
