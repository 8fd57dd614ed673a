//! A guest of eighty bytes, made like any other, that measures the cost of an exit, a page and a trap on this host.
//!
//! The guest waits in the gate for its next task, so that the tender's clock measures each round: no figure comes from the
//! guest, which is not trusted.

#![expect(unsafe_code, reason = "the guest's code is written to its memory, which is populated by address")]

use crate::arch::hvt::Cpu;
use crate::arch::probe::{AGAIN, DISPATCHER, END, ENDED, PAGES, TRAP, TRAPS, code};
use crate::error::Error;
use crate::host::signals::{self, Timer};
use crate::hvt::Hvt;
use crate::image::{Image, Notes, Relocations, Segment};
use crate::memory::layout::{Addresses, Layout};
use crate::memory::{self, Memory, Touch};
use crate::vm::boot::{self, Entropy, Names, Program};
use crate::vm::target::{self, Vcpu, Vm, VmExit};
use husk_abi::boot::Flags;
use husk_abi::memory::{PAGE, Region, Rights};
use kvm_ioctls::Kvm;
use std::fs::File;
use std::path::PathBuf;
use std::time::Instant;

/// Medians, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Costs {
    /// Round trip from the guest to the tender.
    pub exit_ns: u64,
    /// A `syscall` instruction, up to the libos's entry.
    pub trap_ns: u64,
    /// First touch of a page that the host has not populated.
    pub touch_ns: u64,
    /// First touch of a page that the host has populated (MADV_POPULATE_WRITE); nothing if the host cannot populate.
    pub populated_touch_ns: Option<u64>,
    /// From opening KVM to the first exit.
    pub start_ns: u64,
}

/// Reasons why a test guest did not run to its end.
#[derive(Debug)]
pub enum Failed {
    /// The tender could not make the guest.
    NotMade(Error),
    /// The guest stopped for this reason instead of a call.
    Stopped(String),
    /// The guest did not return in time.
    Late,
}

impl<E: Into<Error>> From<E> for Failed {
    fn from(error: E) -> Self {
        Self::NotMade(error.into())
    }
}

const MEMORY: u64 = 32 << 20;
/// Rounds of each kind.
const EXITS: usize = 101;
const ROUNDS: usize = 9;
/// Seconds that the guest may take for everything; a slow emulator takes less.
const PATIENCE_S: i64 = 20;

/// Runs the test guest to its end and returns the measured costs.
pub fn run(kvm: &Kvm) -> Result<Costs, Failed> {
    let started = Instant::now();
    let image = image().map_err(|error| target::Error::Memory(memory::Error::NoMemory(error)))?;
    let layout = Layout::plan(&image, MEMORY, 0, 0, Addresses::Translated).map_err(Error::unfit(&image.path))?;
    let boot =
        boot::write(&image, &layout, &Program::default(), &Names::default(), Flags::empty(), Entropy::default(), &[])?;
    let memory = Memory::map(layout, &image).map_err(Error::memory(&image.path))?;
    write_code(&memory);
    let mut vm = Hvt::new(kvm, &image, memory, &boot, false, Cpu::Host)?;
    let vcpu = vm.create_vcpu()?;
    watch().map_err(Error::NoTimer)?;
    let mut guest = Guest { vcpu, vm };
    guest.wait(0)?;
    let start_ns = started.elapsed().as_nanos() as u64;
    let exit_ns = guest.median(EXITS, 1, 0, |_, _| AGAIN)?;
    let trap_ns = guest.median(ROUNDS, TRAPS, exit_ns, |_, _| TRAP)?;
    let round = u64::from(PAGES) * PAGE;
    let heap = layout.heap.start.next_multiple_of(round);
    // From the last page of each round and of all: a guest that walked upwards would get memory ahead of its touch.
    let last_page = |end: usize| heap + end as u64 * round - PAGE;
    let touch_ns = guest.median(ROUNDS, PAGES, exit_ns, |_, round| last_page(ROUNDS - round))?;
    let populated = Region { start: heap + ROUNDS as u64 * round, length: ROUNDS as u64 * round };
    let populated_touch_ns = match populate(guest.vm.memory(), populated) {
        true => Some(guest.median(ROUNDS, PAGES, exit_ns, |_, round| last_page(2 * ROUNDS - round))?),
        false => None,
    };
    guest.vcpu.resume_with(END);
    guest.wait(ENDED)?;
    Ok(Costs { exit_ns, trap_ns, touch_ns, populated_touch_ns, start_ns })
}

struct Guest {
    vcpu: Box<dyn Vcpu>,
    vm: Hvt,
}

impl Guest {
    /// Runs until the guest makes this call. First touches of memory in between are answered.
    fn wait(&mut self, expected: u64) -> Result<(), Failed> {
        loop {
            match self.vcpu.run()? {
                VmExit::Call { number, .. } if number == expected => return Ok(()),
                VmExit::PageFault { address, error } if self.vm.touch(address, error) == Touch::Mapped => {
                    self.vcpu.retry()?;
                }
                VmExit::Interrupted => return Err(Failed::Late),
                other => return Err(Failed::Stopped(format!("{other:?}"))),
            }
        }
    }

    /// Returns the median time of one of the `count` operations that an answer requests, less the exit that brings the answer.
    fn median(
        &mut self,
        rounds: usize,
        count: u32,
        exit_ns: u64,
        answer: impl Fn(&Self, usize) -> u64,
    ) -> Result<u64, Failed> {
        let mut times = Vec::with_capacity(rounds);
        for round in 0..rounds {
            let answer = answer(self, round);
            let before = Instant::now();
            self.vcpu.resume_with(answer);
            self.wait(0)?;
            times.push(before.elapsed().as_nanos() as u64);
        }
        times.sort_unstable();
        Ok(times[rounds / 2].saturating_sub(exit_ns) / u64::from(count))
    }
}

/// Returns the image of an ordinary program: one executable page of zeros.
fn image() -> std::io::Result<Image> {
    let region = Region { start: 0, length: PAGE };
    let mut notes = Notes { system_calls: Some(DISPATCHER), ..Notes::default() };
    notes.manifest.main_stack = 64 << 10;
    Ok(Image {
        // Nothing is read from this file, and every host has it.
        file: File::open("/")?.into(),
        path: PathBuf::from("the test guest"),
        file_size: 0,
        relocatable: true,
        entry: 0,
        program_headers: 0,
        program_header_count: 0,
        segments: vec![Segment { region, file_offset: 0, file_size: 0, rights: Rights::READ | Rights::EXECUTE }],
        constant: Region::default(),
        relocations: Relocations::default(),
        notes,
    })
}

fn host_address(memory: &Memory, address: u64) -> *mut u8 {
    (memory.host_address() + memory.layout().physical(address)) as *mut u8
}

fn write_code(memory: &Memory) {
    let code = code(memory.layout().libos_stack.end());
    let to = host_address(memory, memory.layout().image.start);
    // SAFETY: the image has a page there, and the guest does not run yet.
    unsafe { to.copy_from_nonoverlapping(code.as_ptr(), code.len()) };
}

/// Populates a region of guest memory; returns true if the host can.
fn populate(memory: &Memory, region: Region) -> bool {
    let start = host_address(memory, region.start).cast();
    // SAFETY: the region lies in the guest's heap, which is mapped; populating a page does not change its contents.
    unsafe { libc::madvise(start, region.length as usize, libc::MADV_POPULATE_WRITE) == 0 }
}

/// Starts a timer that interrupts a guest which does not return.
fn watch() -> std::io::Result<()> {
    extern "C" fn nothing(_: libc::c_int) {}
    // SAFETY: the handler does nothing.
    unsafe { signals::handle(libc::SIGALRM, nothing) }?;
    let value = libc::timespec { tv_sec: PATIENCE_S, tv_nsec: 0 };
    // Repeated, because the first signal may arrive between two runs.
    let interval = libc::timespec { tv_sec: 0, tv_nsec: 100_000_000 };
    Timer::new(libc::CLOCK_MONOTONIC, libc::SIGALRM)?.set(value, interval)
}
