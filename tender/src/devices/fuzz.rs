//! Fuzz target for hostile rings: see [`crate::fuzz`].
//!
//! A guest with a network device and a disk writes any bytes to their rings, rings the doorbell, and changes rings and its own
//! memory even while it is served. The wire checks each piece of memory that the guest names against the memory it owns. A
//! pattern surrounds all of that memory, and must never change.

#![expect(unsafe_code, reason = "guest memory is written by pointer, as a guest does")]

mod race;

use super::copy::Unreachable;
use super::net::{self, Received, Wire};
use super::ring::Parts;
use super::{Device, block, copy, table};
use crate::confine::Descriptors;
use crate::fuzz::sample;
use crate::fuzz::{Arguments, file};
use crate::image::Kind;
use crate::memory::{Claim, Memory};
use husk_abi::device::{FRAME_HEADER, GSO_FRAME_MAXIMUM, Offers, Offload, Queue, RECEIVE, TRANSMIT};
use husk_abi::memory::{BOOT, BOOT_SIZE, CLOCK, PAGE, Region, Rights};
use husk_abi::ring::{CONSUMER, Descriptor, ENTRIES, PRODUCER};
pub use race::race;
use std::collections::VecDeque;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// Size of the disk in bytes.
const DISK: usize = 256 << 10;
/// Index of the disk among the devices.
const DISK_NUMBER: usize = 1;
/// Longest frame without its header.
const MTU: u16 = 1500;
/// Most requests that a device may complete in one round, plus those that a disk may finish in it.
const SHARE: u32 = 2 * 64;
/// Most descriptors written at a time.
const DESCRIPTORS: u8 = 24;
/// Fill of memory that must not be written.
const PATTERN: u64 = 0x5eed_cafe_f00d_ba11;

/// A guest that acts according to its bytes.
struct Guest {
    memory: Arc<Memory>,
    queues: [Queue; 3],
    /// Requests written to each queue.
    written: [u32; 3],
    bytes: Vec<u8>,
    /// Number of bytes used up.
    used: usize,
}

/// Request of the guest to the tender.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    /// No service: the guest has changed its memory.
    Nothing,
    /// Serves the device with this number.
    Serve(usize),
    /// Serves the device with this number in the guest's own thread.
    ServeAtOnce(usize),
    /// Arms the doorbell of the device with this number.
    Sleep(usize),
}

impl Guest {
    /// Takes one action; `None` if no bytes are left.
    fn act(&mut self) -> Option<Action> {
        let bytes = std::mem::take(&mut self.bytes);
        let mut arguments = Arguments(&bytes[self.used..]);
        let action = self.act_on(&mut arguments);
        self.used = bytes.len() - arguments.0.len();
        self.bytes = bytes;
        action
    }

    fn act_on(&mut self, arguments: &mut Arguments<'_>) -> Option<Action> {
        let what = arguments.byte()?;
        let queue = usize::from(arguments.byte()?);
        let device = queue % 2;
        let queue = queue % self.queues.len();
        match what % 12 {
            0..4 => self.submit(queue, 1 + what / 12 % DESCRIPTORS, arguments)?,
            4 => self.set_word(queue, arguments)?,
            5 => self.read_completions(queue),
            6 => self.protect(arguments)?,
            7 | 8 => return Some(Action::Serve(device)),
            9 | 10 => return Some(Action::ServeAtOnce(device)),
            _ => return Some(Action::Sleep(device)),
        }
        Some(Action::Nothing)
    }

    /// Writes `count` descriptors, and publishes them.
    fn submit(&mut self, queue: usize, count: u8, arguments: &mut Arguments<'_>) -> Option<()> {
        let layout = *self.memory.layout();
        for _ in 0..count {
            let flags = arguments.byte()?;
            let address = arguments.number(&layout)?;
            let length = match flags & 3 {
                0 => arguments.number(&layout)? as u32,
                1 => u32::from(arguments.byte()?),
                2 => 512 * u32::from(arguments.byte()?),
                _ => 0,
            };
            let descriptor = Descriptor {
                address,
                length,
                flags: if flags >> 2 & 7 == 7 { flags.into() } else { u16::from(flags >> 2 & 1) },
                operation: if queue == 2 { u16::from(flags >> 5) } else { u16::from(flags == 0xff) },
                token: self.written[queue].into(),
                detail: if flags & 8 == 0 { 512 * u64::from(flags >> 4 & 1) } else { arguments.number(&layout)? },
            };
            let Queue { submission, entries, .. } = self.queues[queue];
            let at = submission + ENTRIES + u64::from(self.written[queue] % entries) * size_of::<Descriptor>() as u64;
            // SAFETY: `at` is the address of an entry of the ring.
            unsafe {
                self.memory.ring(at, size_of::<Descriptor>() as u64).cast::<Descriptor>().write_volatile(descriptor)
            };
            self.written[queue] = self.written[queue].wrapping_add(1);
        }
        self.set(self.queues[queue].submission + PRODUCER, self.written[queue]);
        Some(())
    }

    /// Writes any word of a ring, be it the guest's or not.
    fn set_word(&mut self, queue: usize, arguments: &mut Arguments<'_>) -> Option<()> {
        let Queue { submission, completion, entries, .. } = self.queues[queue];
        let place = arguments.byte()?;
        let words = [PRODUCER, CONSUMER, CONSUMER + 4, ENTRIES + 4 * (u64::from(place) % u64::from(entries))];
        let offset = words[usize::from(place >> 1) % words.len()];
        let ring = if place & 1 == 0 { submission } else { completion };
        let value = arguments.number(self.memory.layout())? as u32;
        self.set(ring + offset, value);
        Some(())
    }

    /// Claims that the guest has read all completions.
    fn read_completions(&mut self, queue: usize) {
        let completion = self.queues[queue].completion;
        self.set(completion + CONSUMER, self.word(completion + PRODUCER));
    }

    /// Removes a right from some pages of the heap, or restores it.
    fn protect(&mut self, arguments: &mut Arguments<'_>) -> Option<()> {
        let heap = self.memory.layout().heap;
        let (page, rights) = (u64::from(arguments.byte()? % 8), u64::from(arguments.byte()? % 4));
        let claim = Claim { address: heap.start + page * PAGE, length: PAGE };
        let rights = Rights::from_bits_truncate(rights);
        self.memory.protect(claim, rights).expect("it is its heap").expect("the host can");
        Some(())
    }

    fn set(&self, address: u64, value: u32) {
        // SAFETY: the addresses are those of words of the rings, which `Memory::ring` checks.
        unsafe { self.memory.ring(address, 4).cast::<u32>().write_volatile(value) };
    }

    fn word(&self, address: u64) -> u32 {
        // SAFETY: the addresses are those of words of the rings, which `Memory::ring` checks.
        unsafe { self.memory.ring(address, 4).cast::<u32>().read_volatile() }
    }

    /// Restores the state at a guest's start.
    fn reset(&mut self) {
        let layout = *self.memory.layout();
        let rings = self.memory.ring(layout.rings.start, layout.rings.length);
        // SAFETY: the rings have this length, and no device serves them.
        unsafe { rings.write_bytes(0, layout.rings.length as usize) };
        let claim = Claim { address: layout.heap.start, length: 8 * PAGE };
        self.memory.protect(claim, Rights::READ | Rights::WRITE).expect("its heap").expect("the host can");
    }
}

/// A loopback wire. While it handles a frame, the guest acts.
#[derive(Debug)]
struct Loop {
    guest: Shared,
    frames: VecDeque<Vec<u8>>,
    /// Frames sent and received since the last reset.
    sent: Arc<Mutex<[u32; 2]>>,
}

#[derive(Clone)]
struct Shared(Arc<Mutex<Guest>>);

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a guest")
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Guest> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Loop {
    fn count(&self, queue: usize) {
        let count = &mut self.sent.lock().unwrap_or_else(PoisonError::into_inner)[queue];
        *count += 1;
        assert!(*count <= SHARE, "there is no end of frames");
    }

    /// Has the guest act while a frame is on its way. Returns its memory.
    fn act(&self) -> Arc<Memory> {
        let mut guest = self.guest.lock();
        guest.act();
        Arc::clone(&guest.memory)
    }
}

/// Asserts that all parts are memory that the guest owns with these rights.
fn assert_given(memory: &Memory, parts: &Parts, rights: Rights) {
    let layout = memory.layout();
    let boot = Region { start: layout.tender_address(BOOT), length: BOOT_SIZE };
    let given =
        |region: Region, physical: u64, offset: u64, end: u64| offset >= physical && end <= physical + region.length;
    assert!(parts.length() > 0 && !parts.vectors().is_empty());
    for part in parts.iter() {
        let offset = part.start.as_ptr() as u64 - memory.host_address();
        let end = offset + part.length as u64;
        let writable = [layout.heap, layout.main_stack, layout.libos_stack, layout.image];
        let is_given = writable.into_iter().any(|region| given(region, layout.physical(region.start), offset, end))
            || (!rights.contains(Rights::WRITE) && given(boot, BOOT, offset, end));
        assert!(is_given && part.length > 0, "{part:?} at {offset:#x}");
    }
}

impl Wire for Loop {
    fn offers(&self) -> Offers {
        Offers::OFFLOAD
    }

    fn send(&mut self, frame: &Parts, offload: Offload) -> Result<(), Unreachable> {
        self.count(TRANSMIT);
        let memory = self.act();
        assert_given(&memory, frame, Rights::READ);
        assert!((FRAME_HEADER..=FRAME_HEADER + GSO_FRAME_MAXIMUM).contains(&frame.length()));
        assert!(usize::from(offload.csum_start) + usize::from(offload.csum_offset) <= frame.length());
        let mut bytes = Vec::new();
        copy::from_guest(frame, &mut bytes)?;
        if self.frames.len() < 16 {
            self.frames.push_back(bytes);
        }
        Ok(())
    }

    fn receive(&mut self, into: &Parts, _: bool) -> Result<Option<Received>, Unreachable> {
        self.count(RECEIVE);
        let memory = self.act();
        assert_given(&memory, into, Rights::READ | Rights::WRITE);
        let Some(frame) = self.frames.front() else { return Ok(None) };
        if frame.len() > into.length() {
            // The frame stays at the front, so drops never end, as on a flooded wire.
            return Ok(Some(Received::Dropped));
        }
        copy::to_guest(into, frame)?;
        let length = frame.len();
        self.frames.pop_front();
        Ok(Some(Received::Frame { length, checked: true }))
    }

    fn list(&self, _: &mut Descriptors) {}

    fn file(&self) -> RawFd {
        -1
    }
}

/// Returns pages that must not be written: those beside each region that the guest owns, and the clock page.
fn outside(memory: &Memory) -> Vec<u64> {
    let layout = memory.layout();
    let given = [layout.heap, layout.main_stack, layout.libos_stack, layout.image, layout.rings];
    let physical = given.map(|region| Region { start: layout.physical(region.start), length: region.length });
    let beside = physical.into_iter().flat_map(|region| [region.start - PAGE, region.end()]);
    let is_free =
        |page: &u64| *page + PAGE <= layout.physical_size() && !physical.iter().any(|region| region.contains(*page));
    beside.chain([CLOCK]).filter(is_free).collect()
}

/// Memory shared by all the guests, one after the other.
fn memory() -> Arc<Memory> {
    static MADE: OnceLock<Arc<Memory>> = OnceLock::new();
    let make = || {
        copy::prepare();
        let memory = sample::memory();
        for page in outside(&memory) {
            for word in 0..PAGE / 8 {
                let at = (memory.host_address() + page + 8 * word) as *mut u64;
                // SAFETY: the page lies in the mapping, aligned.
                unsafe { at.write_volatile(PATTERN) };
            }
        }
        Arc::new(memory)
    };
    Arc::clone(MADE.get_or_init(make))
}

/// Locks the memory, of which there is one.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Fuzzes a guest's rings and doorbells: memory that a request names is served if the guest owns it, and no other is reached;
/// one round of service stays within its bounds.
pub fn rings(bytes: &[u8]) {
    let _alone = alone();
    let memory = memory();
    let start = memory.layout().rings.start;
    let (network, disk) = (table::queues(start, 0, Kind::Network), table::queues(start, 1, Kind::Block));
    let queues = [network[0], network[1], disk[0]];
    let mut guest = Guest { memory: Arc::clone(&memory), queues, written: [0; 3], bytes: bytes.to_vec(), used: 0 };
    guest.reset();
    let guest = Shared(Arc::new(Mutex::new(guest)));

    let sent = Arc::new(Mutex::new([0; 2]));
    let wire = Loop { guest: guest.clone(), frames: VecDeque::from([vec![0xaa; 60]]), sent: Arc::clone(&sent) };
    let card = net::Card::on((wire, [2; 6], MTU), &net::Options::default());
    let Some(file) = file(&vec![0xdd; DISK]) else { return };
    let path = format!("/proc/self/fd/{}", file.as_raw_fd());
    let options = block::Options { file: path.into(), ..block::Options::default() };
    let Ok(drive) = block::Drive::open(&options) else { return };
    let mut devices: [Box<dyn Device>; 2] =
        [Box::new(net::Served::new(card, &memory, network)), Box::new(block::Served::new(drive, &memory, disk[0]))];

    // Requests completed by the disk, as published by the disk itself.
    let (shown, mut answered) = (disk[0].completion + PRODUCER, 0u32);
    loop {
        let action = guest.lock().act();
        guest.lock().set(shown, answered);
        let outcome = match action {
            None => break,
            Some(Action::Nothing) => continue,
            Some(Action::Serve(device)) => devices[device].serve().map(drop),
            Some(Action::ServeAtOnce(device)) => devices[device].serve_nonblocking().map(drop),
            Some(Action::Sleep(device)) => devices[device].sleep().map(drop),
        };
        *sent.lock().unwrap_or_else(PoisonError::into_inner) = [0; 2];
        if outcome.is_err() {
            break;
        }
        if matches!(action, Some(Action::Serve(DISK_NUMBER) | Action::ServeAtOnce(DISK_NUMBER))) {
            let now = guest.lock().word(shown);
            assert!(now.wrapping_sub(answered) <= SHARE, "{answered} answers, then {now}");
            answered = now;
        }
    }
    drop(devices);
    for page in outside(&memory) {
        for word in 0..PAGE / 8 {
            let at = (memory.host_address() + page + 8 * word) as *const u64;
            // SAFETY: the page lies in the mapping, aligned.
            assert_eq!(unsafe { at.read_volatile() }, PATTERN, "written outside, at {page:#x}");
        }
    }
}
