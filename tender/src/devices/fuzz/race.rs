//! Fuzz target for rings that change while they are read: one thread serves a network device and a disk as fast as it can,
//! while another overwrites descriptors and cursors according to the bytes, as a guest with a second processor can.
//!
//! A field that a device reads twice may change in between, and unchecked memory is used (a double fetch). So the
//! target checks each piece of memory from a queue against the memory that the guest owns, the surroundings against their
//! pattern, completions against the tokens in use, and the disk against the part of it that requests name.

use super::{PATTERN, SHARE, alone, assert_given, memory, outside};
use crate::confine::Descriptors;
use crate::devices::copy::Unreachable;
use crate::devices::net::{self, Received, Wire};
use crate::devices::ring::Parts;
use crate::devices::{Device, block, copy, table};
use crate::fuzz::file;
use crate::image::Kind;
use crate::memory::Memory;
use husk_abi::device::{Offers, Offload, Queue, RECEIVE, TRANSMIT};
use husk_abi::memory::{PAGE, Rights};
use husk_abi::ring::{CONSUMER, Completion, Descriptor, ENTRIES, PRODUCER, status};
use std::fs::File;
use std::mem::offset_of;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::fs::FileExt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::thread;

/// Rounds of service per device.
const ROUNDS: usize = 60;
/// Number of times that devices are created: each takes as long as many rounds of service.
const GUESTS: usize = 10;
/// Size of the disk, and of its part that no request names, in bytes.
const DISK: usize = 64 << 10;
const UNNAMED: usize = DISK / 2;
const FILL: u8 = 0xdd;
const LENGTH: u32 = 512;
/// Least token; tokens go up to `TOKENS` more.
const TOKEN: u64 = 0x70ce_0000_0000_0000;
const TOKENS: u64 = 64;

/// A wire that checks the memory it gets.
#[derive(Debug)]
struct Probe(Arc<Memory>);

impl Wire for Probe {
    fn offers(&self) -> Offers {
        Offers::OFFLOAD
    }

    fn send(&mut self, frame: &Parts, _: Offload) -> Result<(), Unreachable> {
        assert_given(&self.0, frame, Rights::READ);
        copy::from_guest(frame, &mut Vec::new())
    }

    fn receive(&mut self, into: &Parts, _: bool) -> Result<Option<Received>, Unreachable> {
        assert_given(&self.0, into, Rights::READ | Rights::WRITE);
        let frame = [0xaa; 60];
        if frame.len() > into.length() {
            return Ok(Some(Received::Dropped));
        }
        copy::to_guest(into, &frame)?;
        Ok(Some(Received::Frame { length: frame.len(), checked: true }))
    }

    fn list(&self, _: &mut Descriptors) {}

    fn file(&self) -> RawFd {
        -1
    }
}

/// Actions of the other thread, repeated in the order of the bytes.
#[derive(Clone, Copy, Debug)]
enum Stroke {
    /// Writes a field of a descriptor, `offset` bytes into it, `ahead` entries after the next to be read.
    Field { queue: usize, ahead: u32, offset: usize, value: u64 },
    /// Publishes descriptors: `count` more than have been read.
    Show { queue: usize, count: u32 },
    /// Takes all completions.
    Take { queue: usize },
    /// Claims that `by` more completions were taken than exist, or descriptors written than fit.
    Lie { queue: usize, by: u32, completions: bool },
}

/// Rings of the guest.
struct Rings {
    memory: Arc<Memory>,
    queues: [Queue; 3],
}

impl Rings {
    fn word(&self, address: u64) -> u32 {
        // SAFETY: `Memory::ring` checks the address, which is that of an aligned word.
        unsafe { self.memory.ring(address, 4).cast::<u32>().read_volatile() }
    }

    fn set(&self, address: u64, value: u32) {
        // SAFETY: `Memory::ring` checks the address, which is that of an aligned word.
        unsafe { self.memory.ring(address, 4).cast::<u32>().write_volatile(value) };
    }

    /// Address of the entry with this number in a submission ring.
    fn entry(&self, queue: usize, number: u32) -> u64 {
        let Queue { submission, entries, .. } = self.queues[queue];
        submission + ENTRIES + u64::from(number % entries) * size_of::<Descriptor>() as u64
    }

    /// Resets a queue; each of its descriptors is then a valid request.
    fn reset(&self, queue: usize) {
        let Queue { submission, completion, entries, .. } = self.queues[queue];
        for ring in [submission, completion] {
            [PRODUCER, CONSUMER].into_iter().for_each(|word| self.set(ring + word, 0));
        }
        for number in 0..entries {
            let address = self.memory.layout().heap.start + u64::from(number % 16) * PAGE;
            let descriptor = Descriptor { address, length: LENGTH, token: TOKEN, ..Descriptor::default() };
            let entry = self.memory.ring(self.entry(queue, number), size_of::<Descriptor>() as u64);
            // SAFETY: `entry` is an aligned entry of the ring.
            unsafe { entry.cast::<Descriptor>().write_volatile(descriptor) };
        }
    }

    fn carry_out(&self, stroke: Stroke) {
        match stroke {
            Stroke::Field { queue, ahead, offset, value } => {
                let next = self.word(self.queues[queue].submission + CONSUMER);
                let at = self.entry(queue, next.wrapping_add(ahead)) + offset as u64;
                let field = self.memory.ring(at, 8);
                match offset {
                    // SAFETY: each of these is a field of an entry of the ring, aligned, and of that size.
                    FLAGS | OPERATION => unsafe { field.cast::<u16>().write_volatile(value as u16) },
                    // SAFETY: the length is an aligned `u32` field of an entry of the ring.
                    LENGTH_AT => unsafe { field.cast::<u32>().write_volatile(value as u32) },
                    // SAFETY: the other fields of an entry of the ring are aligned `u64`s.
                    _ => unsafe { field.cast::<u64>().write_volatile(value) },
                }
            }
            Stroke::Show { queue, count } => {
                let ring = self.queues[queue].submission;
                self.set(ring + PRODUCER, self.word(ring + CONSUMER).wrapping_add(count));
            }
            Stroke::Take { queue } => {
                let ring = self.queues[queue].completion;
                self.set(ring + CONSUMER, self.word(ring + PRODUCER));
            }
            Stroke::Lie { queue, by, completions } => {
                let Queue { submission, completion, .. } = self.queues[queue];
                let word = if completions { completion + CONSUMER } else { submission + PRODUCER };
                self.set(word, self.word(word).wrapping_add(by));
            }
        }
    }
}

const ADDRESS: usize = offset_of!(Descriptor, address);
const LENGTH_AT: usize = offset_of!(Descriptor, length);
const FLAGS: usize = offset_of!(Descriptor, flags);
const OPERATION: usize = offset_of!(Descriptor, operation);
const TOKEN_AT: usize = offset_of!(Descriptor, token);
const DETAIL: usize = offset_of!(Descriptor, detail);

/// Decodes `bytes` to strokes.
fn strokes(bytes: &[u8], memory: &Memory) -> Vec<Stroke> {
    const DISK_QUEUE: usize = 2;
    let layout = memory.layout();
    let (heap, rings) = (layout.heap, layout.rings);
    let beside =
        [heap.end(), heap.end() - 256, heap.start - 256, rings.start, layout.tender_address(0), 0, u64::MAX - 511];
    // No request reaches the unnamed part: each part is as long as a sector, or longer than the disk.
    let lengths = [LENGTH, LENGTH, 0, u32::MAX, 1 << 20];
    let details = [0, 512, 4096, 16 << 10, DISK as u64, u64::MAX - 511];
    let stroke = |bytes: &[u8]| {
        let [what, queue, ahead, choice] = bytes else { return None };
        let (queue, ahead, chosen) = (usize::from(queue % 3), u32::from(ahead % 4), usize::from(*choice));
        let field = |offset, value| Stroke::Field { queue, ahead, offset, value };
        Some(match what % 16 {
            0 | 1 => field(ADDRESS, heap.start + chosen as u64 % 16 * PAGE),
            2 | 3 => field(ADDRESS, beside[chosen % beside.len()]),
            4 => field(LENGTH_AT, lengths[chosen % lengths.len()].into()),
            5 => field(LENGTH_AT, LENGTH.into()),
            6 => field(FLAGS, [0, 0, 1, 0x8000][chosen % 4]),
            7 => field(FLAGS, 0),
            8 => field(OPERATION, if queue == DISK_QUEUE { chosen as u64 % 8 } else { chosen as u64 % 8 / 7 }),
            9 => field(TOKEN_AT, TOKEN + chosen as u64 % TOKENS),
            10 => field(DETAIL, if queue == DISK_QUEUE { details[chosen % details.len()] } else { 0 }),
            11 | 12 => Stroke::Show { queue, count: u32::from(choice % 64) },
            13 | 14 => Stroke::Take { queue },
            _ => Stroke::Lie { queue, by: u32::from(*choice), completions: choice % 2 == 0 },
        })
    };
    bytes.chunks(4).filter_map(stroke).collect()
}

/// The two devices, created anew after their guest broke the contract.
struct Devices {
    rings: Arc<Rings>,
    file: File,
    /// Devices, in the order of `SERVED`, which lists their queues.
    all: [Option<Box<dyn Device>>; 2],
    /// Number of devices that may still be created.
    left: usize,
    /// Completions already checked.
    seen: [u32; 3],
}

const SERVED: [&[usize]; 2] = [&[TRANSMIT, RECEIVE], &[2]];

impl Devices {
    fn device(&self, index: usize) -> Option<Box<dyn Device>> {
        let Rings { memory, queues } = &*self.rings;
        if index == 0 {
            let card = net::Card::on((Probe(Arc::clone(memory)), [2; 6], 1500), &net::Options::default());
            return Some(Box::new(net::Served::new(card, memory, [queues[TRANSMIT], queues[RECEIVE]])));
        }
        let path = format!("/proc/self/fd/{}", self.file.as_raw_fd());
        let options = block::Options { file: path.into(), ..block::Options::default() };
        let drive = block::Drive::open(&options).ok()?;
        Some(Box::new(block::Served::new(drive, memory, queues[2])))
    }

    /// Serves one device; returns false if it cannot be created any more.
    fn serve(&mut self, index: usize, at_once: bool) -> bool {
        if self.all[index].is_none() {
            if self.left == 0 {
                return false;
            }
            self.left -= 1;
            for queue in SERVED[index] {
                self.rings.reset(*queue);
                self.seen[*queue] = 0;
            }
            self.all[index] = self.device(index);
        }
        let Some(device) = &mut self.all[index] else { return false };
        let served = if at_once { device.serve_nonblocking() } else { device.serve() };
        let slept = device.sleep();
        SERVED[index].iter().for_each(|queue| self.look(*queue));
        if served.is_err() || slept.is_err() {
            self.all[index] = None;
        }
        true
    }

    /// Checks new completions.
    fn look(&mut self, queue: usize) {
        let Queue { completion, entries, .. } = self.rings.queues[queue];
        let now = self.rings.word(completion + PRODUCER);
        let come = now.wrapping_sub(self.seen[queue]);
        assert!(come <= SHARE.min(entries), "{come} completions at a time");
        for number in 0..come {
            let position = self.seen[queue].wrapping_add(number) % entries;
            let at = completion + ENTRIES + u64::from(position) * size_of::<Completion>() as u64;
            let entry = self.rings.memory.ring(at, size_of::<Completion>() as u64).cast::<Completion>();
            // SAFETY: `at` is the address of an aligned entry of the ring; any bytes are a completion.
            let Completion { token, status, length, .. } = unsafe { entry.read_volatile() };
            assert!((TOKEN..TOKEN + TOKENS).contains(&token), "nobody has asked for {token:#x}");
            assert!(status <= status::REFUSED && length <= 20 << 20, "status {status}, {length} bytes");
        }
        self.seen[queue] = now;
    }
}

/// Runs the race that the head of this file describes.
pub fn race(bytes: &[u8]) {
    let _alone = alone();
    let memory = memory();
    let start = memory.layout().rings.start;
    let (network, disk) = (table::queues(start, 0, Kind::Network), table::queues(start, 1, Kind::Block));
    let rings = Arc::new(Rings { memory: Arc::clone(&memory), queues: [network[0], network[1], disk[0]] });
    let strokes = strokes(bytes, &memory);
    let Some(file) = file(&vec![FILL; DISK]) else { return };
    let mut devices = Devices { rings: Arc::clone(&rings), file, all: [None, None], left: GUESTS, seen: [0; 3] };
    let stop = AtomicBool::new(false);
    #[expect(clippy::disallowed_methods, reason = "it plays the guest's second processor")]
    thread::scope(|scope| {
        // Dropped, and so stops the thread, on a panic too.
        let stopper = Stopper(&stop);
        scope.spawn(|| {
            while !stop.load(Relaxed) {
                strokes.iter().for_each(|stroke| rings.carry_out(*stroke));
            }
        });
        for round in 0..ROUNDS {
            if !(0..2).all(|index| devices.serve(index, round % 3 == 0)) {
                break;
            }
        }
        drop(stopper);
    });
    devices.all = [None, None];
    let mut unnamed = vec![0; DISK - UNNAMED];
    devices.file.read_exact_at(&mut unnamed, UNNAMED as u64).expect("it is as long");
    assert!(unnamed.iter().all(|byte| *byte == FILL), "written where no request has said");
    for page in outside(&memory) {
        for word in 0..PAGE / 8 {
            let at = (memory.host_address() + page + 8 * word) as *const u64;
            // SAFETY: the page lies in the mapping, aligned.
            assert_eq!(unsafe { at.read_volatile() }, PATTERN, "written outside, at {page:#x}");
        }
    }
}

/// Stops the other thread when dropped.
struct Stopper<'s>(&'s AtomicBool);

impl Drop for Stopper<'_> {
    fn drop(&mut self) {
        self.0.store(true, Relaxed);
    }
}
