//! A guest's side of the rings, and devices to be driven by it.

use super::super::*;
use crate::confine::Descriptors;
use crate::devices::copy::{self, Unreachable};
use crate::devices::device_loop::DeviceLoop;
use crate::devices::device_thread::DeviceThread;
use crate::devices::net::{Received, Wire};
use crate::devices::notifier::Notifier;
use crate::devices::ring::{self, Broken, Parts, Violation};
use crate::devices::{Device, Progress, block, console, table};
use crate::fuzz::sample;
use crate::image::Kind;
use crate::memory::Memory;
use husk_abi::device::{Offload, Queue};
use husk_abi::memory::PAGE;
use husk_abi::ring::protocol::{Consumer, Producer};
use husk_abi::ring::{Completion, Descriptor, ENTRIES};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::os::fd::RawFd;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Bytes of a sector, of a frame, and of the memory for either.
pub const BYTES: usize = 512;
/// Requests in flight per queue.
pub const DEPTH: u64 = 16;
/// Sectors of the disk, one for each request in flight.
pub const SECTORS: u64 = DEPTH;
pub const MTU: u16 = 1500;
/// Time after which a wait counts as hung, in nanoseconds.
pub const HUNG_NS: u64 = 20_000_000_000;

/// Signals and the byte that stops a processor exist once in a process.
pub fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A queue on the guest's side, with memory for each of its requests.
pub struct Driver {
    memory: Arc<Memory>,
    place: Queue,
    pub requests: Producer<&'static AtomicU32>,
    pub completions: Consumer<&'static AtomicU32>,
    /// First page of the memory for requests, in the heap.
    page: u64,
}

impl Driver {
    pub fn new(memory: &Arc<Memory>, place: Queue, page: u64) -> Self {
        let [submission, completion] = [place.submission, place.completion].map(|ring| ring::words(memory, ring));
        Self {
            memory: Arc::clone(memory),
            place,
            requests: Producer::new(submission, place.entries),
            completions: Consumer::new(completion, place.entries),
            page,
        }
    }

    /// Guest address of the memory for the request `token`.
    pub fn address(&self, token: u64) -> u64 {
        self.memory.layout().heap.start + (self.page + token) * PAGE
    }

    pub fn host(&self, token: u64) -> *mut [u8; BYTES] {
        (self.memory.host_address() + self.memory.layout().physical(self.address(token))) as *mut _
    }

    pub fn get(&self, token: u64) -> [u8; BYTES] {
        // SAFETY: the page lies in the heap, and the tender does not write to it once the request is completed.
        unsafe { self.host(token).read_volatile() }
    }

    pub fn put(&self, token: u64, bytes: [u8; BYTES]) {
        // SAFETY: the page lies in the heap, and the tender does not use it before the request is submitted.
        unsafe { self.host(token).write_volatile(bytes) };
    }

    /// Submits a request about the memory of `token`, or without memory if it has no `length`.
    pub fn submit(&mut self, token: u64, length: usize, operation: u16, detail: u64) {
        assert_eq!(self.requests.has_room(1), Ok(true));
        let address = if length > 0 { self.address(token) } else { 0 };
        let descriptor =
            Descriptor { address, length: length as u32, operation, token, detail, ..Descriptor::default() };
        self.write(descriptor);
    }

    pub fn write(&mut self, descriptor: Descriptor) {
        let at = self.place.submission + ENTRIES + u64::from(self.requests.write()) * size_of::<Descriptor>() as u64;
        // SAFETY: the address is that of an entry of the ring, which the tender reads once it is published.
        unsafe { self.memory.ring(at, size_of::<Descriptor>() as u64).cast::<Descriptor>().write_volatile(descriptor) };
    }

    pub fn completion(&mut self) -> Option<Completion> {
        if self.completions.available().expect("the tender keeps to the protocol") == 0 {
            return None;
        }
        let at = self.place.completion + ENTRIES + u64::from(self.completions.read()) * size_of::<Completion>() as u64;
        // SAFETY: the address is that of an entry of the ring, which the tender has published.
        let completion =
            unsafe { self.memory.ring(at, size_of::<Completion>() as u64).cast::<Completion>().read_volatile() };
        self.completions.release();
        Some(completion)
    }

    /// Bytes that the tender writes: its words, the completions, and `pages` of memory.
    pub fn of_tender(&self, pages: u64) -> Vec<u8> {
        let [submission, completion] =
            [self.place.submission, self.place.completion].map(|ring| ring::words(&self.memory, ring));
        let words = [submission.consumer, submission.wake_at, completion.producer].map(|word| word.load(Relaxed));
        let mut bytes: Vec<u8> = words.into_iter().flat_map(u32::to_ne_bytes).collect();
        for token in 0..pages {
            bytes.extend(self.get(token));
        }
        for entry in 0..u64::from(self.place.entries) * size_of::<Completion>() as u64 / 8 {
            let at = self.place.completion + ENTRIES + entry * 8;
            // SAFETY: the address lies in the ring.
            bytes.extend(unsafe { self.memory.ring(at, 8).cast::<u64>().read_volatile() }.to_ne_bytes());
        }
        bytes
    }
}

/// Memory of a guest with a network device and a disk, and their queues.
pub fn place() -> (Arc<Memory>, [Queue; 3]) {
    copy::prepare();
    let memory = Arc::new(sample::memory());
    let start = memory.layout().rings.start;
    let [transmit, receive] = table::queues(start, 0, Kind::Network);
    (memory, [transmit, receive, table::queues(start, 1, Kind::Block)[0]])
}

/// A wire that returns each frame, in order.
#[derive(Clone, Debug, Default)]
pub struct Echo(pub Arc<Mutex<VecDeque<Vec<u8>>>>);

impl Wire for Echo {
    fn send(&mut self, frame: &Parts, _: Offload) -> Result<(), Unreachable> {
        let mut bytes = Vec::new();
        copy::from_guest(frame, &mut bytes)?;
        self.0.lock().expect("no panic").push_back(bytes);
        Ok(())
    }

    fn receive(&mut self, into: &Parts, _: bool) -> Result<Option<Received>, Unreachable> {
        let Some(frame) = self.0.lock().expect("no panic").pop_front() else { return Ok(None) };
        copy::to_guest(into, &frame)?;
        Ok(Some(Received::Frame { length: frame.len(), checked: false }))
    }

    fn file(&self) -> RawFd {
        -1
    }

    fn list(&self, _: &mut Descriptors) {}
}

/// A device that the test controls.
#[derive(Clone, Debug, Default)]
pub struct Puppet {
    pub is_busy: Arc<AtomicBool>,
    pub is_broken: Arc<AtomicBool>,
    pub rounds: Arc<AtomicU32>,
}

impl Device for Puppet {
    fn serve(&mut self) -> Result<Progress, Broken> {
        self.rounds.fetch_add(1, Relaxed);
        Ok(Progress::default())
    }

    fn sleep(&mut self) -> Result<bool, Broken> {
        Ok(true)
    }

    fn beat(&mut self) {}

    fn file(&self) -> (RawFd, i16) {
        (-1, 0)
    }

    fn deadline_ns(&self) -> u64 {
        u64::MAX
    }

    fn list(&self, _: &mut Descriptors) {}

    fn drain(&mut self) -> Result<Progress, Broken> {
        match self.is_broken.load(Relaxed) {
            true => Err(Broken { queue: "request", how: Violation::Unreachable { address: 7 } }),
            false => Ok(Progress::default()),
        }
    }

    fn is_idle(&self) -> bool {
        !self.is_busy.load(Relaxed)
    }

    fn state(&self) -> Result<State, NotSaved> {
        Ok(State::default())
    }

    fn restore(&mut self, _: &State) -> Result<(), Broken> {
        Ok(())
    }
}

/// A file of the test's, removed at its end.
pub struct Scratch(pub PathBuf);

impl Scratch {
    pub fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("husk-pause-{}-{name}", std::process::id())))
    }

    pub fn disk(name: &str) -> Self {
        let scratch = Self::new(name);
        File::create(&scratch.0).and_then(|file| file.set_len(SECTORS * BYTES as u64)).expect("a file");
        scratch
    }

    pub fn open(&self, memory: &Arc<Memory>, place: Queue, has_uring: bool) -> Box<dyn Device> {
        let options = block::Options { file: self.0.clone(), ..block::Options::default() };
        // The kernel may still use the file for an io_uring that was dropped.
        let mut drives = (0..100).map_while(|_| Some(block::Drive::open(&options)));
        let drive = drives.find_map(Result::ok).expect("the disk");
        let served = block::Served::new(drive, memory, place);
        Box::new(if has_uring { served } else { served.without_uring() })
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

pub fn served(name: &str, device: Box<dyn Device>) -> Served {
    Served { name: name.to_owned(), device }
}

/// Starts the device thread. Returns the handle of the calling thread, which is the vCPU's, and of the thread that pauses.
pub fn start(devices: Vec<Served>) -> (DeviceLoop, Pauser) {
    let notifier = Arc::new(Notifier::new(false).expect("eventfds"));
    let handoff = Arc::new(Handoff::new(Devices::new(devices)));
    let device_thread = DeviceThread::new(Arc::clone(&notifier), Arc::clone(&handoff));
    // It ends with the process.
    thread::spawn(move || device_thread.run());
    let device_loop = DeviceLoop::new(notifier, handoff);
    let pauser = Pauser::new(&Console::new(console::Options::default()), Some(&device_loop));
    (device_loop, pauser)
}

pub fn deadline() -> u64 {
    monotonic_ns() + HUNG_NS
}

/// A byte of the request number `number`.
pub fn fill(number: u64) -> [u8; BYTES] {
    let mut bytes = [(number * 37 % 251) as u8; BYTES];
    bytes[16..24].copy_from_slice(&number.to_ne_bytes());
    bytes
}
