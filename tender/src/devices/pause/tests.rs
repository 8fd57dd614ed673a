//! Devices that are paused with traffic in flight, a guest that drives their rings from a thread, as a vCPU does.

use super::*;
use crate::confine::Descriptors;
use crate::devices::copy::{self, Unreachable};
use crate::devices::device_loop::DeviceLoop;
use crate::devices::device_thread::DeviceThread;
use crate::devices::net::{self, Received, Wire};
use crate::devices::notifier::Notifier;
use crate::devices::ring::{self, Broken, Parts, Violation};
use crate::devices::{Device, Progress, block, console, table};
use crate::fuzz::sample;
use crate::host::signals::{self, Halt};
use crate::image::Kind;
use crate::memory::Memory;
use husk_abi::block as operation;
use husk_abi::device::{Offload, Queue, RECEIVE, TRANSMIT};
use husk_abi::memory::PAGE;
use husk_abi::ring::protocol::{Consumer, Cursor, Producer};
use husk_abi::ring::{Completion, Descriptor, ENTRIES, status};
use std::collections::VecDeque;
use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::fd::RawFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::ptr::NonNull;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering::*};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

/// Pauses of a test with traffic.
const PAUSES: u32 = 1000;
/// Bytes of a sector, of a frame, and of the memory for either.
const BYTES: usize = 512;
/// Requests in flight per queue.
const DEPTH: u64 = 16;
/// Sectors of the disk, one for each request in flight.
const SECTORS: u64 = DEPTH;
const MTU: u16 = 1500;
/// Time after which a wait counts as hung, in nanoseconds.
const HUNG_NS: u64 = 20_000_000_000;

/// Signals and the byte that stops a processor exist once in a process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A queue on the guest's side, with memory for each of its requests.
struct Driver {
    memory: Arc<Memory>,
    place: Queue,
    requests: Producer<&'static AtomicU32>,
    completions: Consumer<&'static AtomicU32>,
    /// First page of the memory for requests, in the heap.
    page: u64,
}

impl Driver {
    fn new(memory: &Arc<Memory>, place: Queue, page: u64) -> Self {
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
    fn address(&self, token: u64) -> u64 {
        self.memory.layout().heap.start + (self.page + token) * PAGE
    }

    fn host(&self, token: u64) -> *mut [u8; BYTES] {
        (self.memory.host_address() + self.memory.layout().physical(self.address(token))) as *mut _
    }

    fn get(&self, token: u64) -> [u8; BYTES] {
        // SAFETY: the page lies in the heap, and the tender does not write to it once the request is completed.
        unsafe { self.host(token).read_volatile() }
    }

    fn put(&self, token: u64, bytes: [u8; BYTES]) {
        // SAFETY: the page lies in the heap, and the tender does not use it before the request is submitted.
        unsafe { self.host(token).write_volatile(bytes) };
    }

    /// Submits a request about the memory of `token`, or without memory if it has no `length`.
    fn submit(&mut self, token: u64, length: usize, operation: u16, detail: u64) {
        assert_eq!(self.requests.has_room(1), Ok(true));
        let address = if length > 0 { self.address(token) } else { 0 };
        let descriptor =
            Descriptor { address, length: length as u32, operation, token, detail, ..Descriptor::default() };
        self.write(descriptor);
    }

    fn write(&mut self, descriptor: Descriptor) {
        let at = self.place.submission + ENTRIES + u64::from(self.requests.write()) * size_of::<Descriptor>() as u64;
        // SAFETY: the address is that of an entry of the ring, which the tender reads once it is published.
        unsafe { self.memory.ring(at, size_of::<Descriptor>() as u64).cast::<Descriptor>().write_volatile(descriptor) };
    }

    fn completion(&mut self) -> Option<Completion> {
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
    fn of_tender(&self, pages: u64) -> Vec<u8> {
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
fn place() -> (Arc<Memory>, [Queue; 3]) {
    copy::prepare();
    let memory = Arc::new(sample::memory());
    let start = memory.layout().rings.start;
    let [transmit, receive] = table::queues(start, 0, Kind::Network);
    (memory, [transmit, receive, table::queues(start, 1, Kind::Block)[0]])
}

/// A wire that returns each frame, in order.
#[derive(Clone, Debug, Default)]
struct Echo(Arc<Mutex<VecDeque<Vec<u8>>>>);

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
struct Puppet {
    is_busy: Arc<AtomicBool>,
    is_broken: Arc<AtomicBool>,
    rounds: Arc<AtomicU32>,
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
struct Scratch(PathBuf);

impl Scratch {
    fn new(name: &str) -> Self {
        Self(std::env::temp_dir().join(format!("husk-pause-{}-{name}", std::process::id())))
    }

    fn disk(name: &str) -> Self {
        let scratch = Self::new(name);
        File::create(&scratch.0).and_then(|file| file.set_len(SECTORS * BYTES as u64)).expect("a file");
        scratch
    }

    fn open(&self, memory: &Arc<Memory>, place: Queue, has_uring: bool) -> Box<dyn Device> {
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

fn served(name: &str, device: Box<dyn Device>) -> Served {
    Served { name: name.to_owned(), device }
}

/// Starts the device thread. Returns the handle of the calling thread, which is the vCPU's, and of the thread that pauses.
fn start(devices: Vec<Served>) -> (DeviceLoop, Pauser) {
    let notifier = Arc::new(Notifier::new(false).expect("eventfds"));
    let handoff = Arc::new(Handoff::new(Devices::new(devices)));
    let device_thread = DeviceThread::new(Arc::clone(&notifier), Arc::clone(&handoff));
    // It ends with the process.
    thread::spawn(move || device_thread.run());
    let device_loop = DeviceLoop::new(notifier, handoff);
    let pauser = Pauser::new(&Console::new(console::Options::default()), Some(&device_loop));
    (device_loop, pauser)
}

fn deadline() -> u64 {
    monotonic_ns() + HUNG_NS
}

/// A byte of the request number `number`.
fn fill(number: u64) -> [u8; BYTES] {
    let mut bytes = [(number * 37 % 251) as u8; BYTES];
    bytes[16..24].copy_from_slice(&number.to_ne_bytes());
    bytes
}

/// Guest that sends frames and checks that each returns once and in order, and writes, flushes and reads sectors.
struct Traffic {
    queues: [Driver; 3],
    sent: u64,
    returned: u64,
    free_frames: Vec<u64>,
    /// Per sector: number of requests that have been completed, of which each three are a write, a flush and a read.
    sectors: [u64; SECTORS as usize],
    is_ending: bool,
}

impl Traffic {
    fn new(memory: &Arc<Memory>, places: [Queue; 3]) -> Self {
        let mut page = 0;
        let queues = places.map(|place| {
            page += DEPTH;
            Driver::new(memory, place, page)
        });
        let mut traffic = Self {
            queues,
            sent: 0,
            returned: 0,
            free_frames: (0..DEPTH).collect(),
            sectors: [0; SECTORS as usize],
            is_ending: false,
        };
        (0..DEPTH).for_each(|token| traffic.queues[RECEIVE].submit(token, BYTES, 0, 0));
        (0..SECTORS).for_each(|sector| traffic.access(sector));
        traffic
    }

    /// Submits the next request to a sector.
    fn access(&mut self, sector: u64) {
        let (disk, count) = (&mut self.queues[2], self.sectors[sector as usize]);
        let offset = sector * BYTES as u64;
        match count % 3 {
            0 => {
                disk.put(sector, fill(count + sector));
                disk.submit(sector, BYTES, operation::WRITE, offset);
            }
            1 => disk.submit(sector, 0, operation::FLUSH, 0),
            _ => {
                disk.put(sector, [0xff; BYTES]);
                disk.submit(sector, BYTES, operation::READ, offset);
            }
        }
    }

    /// Takes completions and submits more requests. Returns true if there were completions.
    fn go_on(&mut self) -> bool {
        let mut found = false;
        while let Some(completion) = self.queues[TRANSMIT].completion() {
            assert_eq!(completion.status, status::DONE);
            self.free_frames.push(completion.token);
            found = true;
        }
        while let Some(completion) = self.queues[RECEIVE].completion() {
            let frame = self.queues[RECEIVE].get(completion.token);
            assert_eq!((completion.status, frame), (status::DONE, fill(self.returned)), "frame {}", self.returned);
            self.returned += 1;
            self.queues[RECEIVE].submit(completion.token, BYTES, 0, 0);
            found = true;
        }
        while let Some(Completion { token: sector, status, .. }) = self.queues[2].completion() {
            let count = self.sectors[sector as usize];
            assert_eq!(status, status::DONE, "request {count} to sector {sector}");
            if count % 3 == 2 {
                assert_eq!(self.queues[2].get(sector), fill(count - 2 + sector), "request {count} to sector {sector}");
            }
            self.sectors[sector as usize] += 1;
            if !self.is_ending || count % 3 != 2 {
                self.access(sector);
            }
            found = true;
        }
        while !self.is_ending
            && self.sent - self.returned < DEPTH
            && let Some(token) = self.free_frames.pop()
        {
            self.queues[TRANSMIT].put(token, fill(self.sent));
            self.queues[TRANSMIT].submit(token, BYTES, 0, 0);
            self.sent += 1;
        }
        found
    }

    fn is_over(&self) -> bool {
        self.is_ending && self.sent == self.returned && self.sectors.iter().all(|count| count % 3 == 0)
    }

    /// Runs until the traffic has ended, which begins when `stop` is set, and all of it is done.
    fn run(&mut self, device_loop: &DeviceLoop, halt: &Halt, stop: &AtomicBool) {
        let mut random = sample::Numbers(815);
        let mut last_ns = monotonic_ns();
        while !self.is_over() {
            self.is_ending = stop.load(Acquire);
            if self.go_on() {
                last_ns = monotonic_ns();
            }
            assert!(monotonic_ns() - last_ns < HUNG_NS, "nothing is completed any more");
            if self.queues.iter_mut().fold(false, |rings, queue| queue.requests.publish() | rings) {
                device_loop.notifier().ring();
            }
            match random.random() % 4 {
                // It runs for a moment, and the device thread serves.
                0 => (0..random.random() % 20_000).for_each(|_| std::hint::spin_loop()),
                1 if self.queues.iter_mut().all(|queue| queue.completions.sleep() == Ok(true)) => {
                    device_loop.wait(false, last_ns + HUNG_NS).expect("it keeps to the contract");
                }
                _ => {}
            }
            halt.take();
        }
    }
}

/// Pauses `PAUSES` times, and checks that nothing changes during each pause; `renew` is called in each.
fn pause_often(pauser: &Pauser, memory: &Arc<Memory>, places: [Queue; 3], mut renew: impl FnMut(&mut Served)) {
    let mut random = sample::Numbers(4711);
    let mut page = 0;
    let queues = places.map(|place| {
        page += DEPTH;
        Driver::new(memory, place, page)
    });
    // The guest itself writes to the memory of frames to be sent, and to that of the disk before it submits a request.
    let changes = || [queues[0].of_tender(0), queues[1].of_tender(DEPTH), queues[2].of_tender(0)];
    let mut last = changes();
    for _ in 0..PAUSES {
        // There is traffic between any two pauses.
        let until_ns = deadline();
        while changes() == last {
            assert!(monotonic_ns() < until_ns, "nothing is served any more");
            sleep(&mut [], monotonic_ns() + 20_000);
        }
        sleep(&mut [], monotonic_ns() + random.random() % 300_000);
        let paused = pauser.pause(deadline()).unwrap_or_else(|error| panic!("{error}"));
        let (before, states) = (changes(), paused.states());
        sleep(&mut [], monotonic_ns() + random.random() % 200_000);
        assert!(before == changes(), "the tender writes to guest memory");
        assert_eq!(states, paused.states());
        assert!(matches!(pauser.pause(deadline()), Err(NotPaused::Already)));
        paused.each(&mut renew);
        assert_eq!(states, paused.states(), "it continues where it was");
        assert!(before == changes());
        last = before;
    }
}

/// Runs traffic over `wire` and a disk, while they are paused.
fn traffic(
    name: &str,
    has_uring: bool,
    card: net::Card,
    mut renew: impl FnMut(&mut Served, &Arc<Memory>, [Queue; 3], &Scratch) + Send,
) {
    let _alone = alone();
    signals::receive(60);
    let (memory, places) = place();
    let disk = Scratch::disk(name);
    let network = Box::new(net::Served::new(card, &memory, [places[0], places[1]]));
    let devices = vec![served("net0", network), served("disk0", disk.open(&memory, places[2], has_uring))];
    let (device_loop, pauser) = start(devices);
    let stop = AtomicBool::new(false);
    // SAFETY: the byte is never freed.
    let halt = unsafe { Halt::new(NonNull::from(Box::leak(Box::new(0)))) };
    thread::scope(|scope| {
        scope.spawn(|| {
            let stopped = Stopped(&stop);
            pause_often(&pauser, &memory, places, |served| renew(served, &memory, places, &disk));
            drop(stopped);
        });
        let mut traffic = Traffic::new(&memory, places);
        traffic.run(&device_loop, &halt, &stop);
        assert!(traffic.returned > u64::from(PAUSES) && traffic.sectors.iter().sum::<u64>() > u64::from(PAUSES));
    });
}

/// Ends the traffic, even if the thread that pauses panics.
struct Stopped<'a>(&'a AtomicBool);

impl Drop for Stopped<'_> {
    fn drop(&mut self) {
        self.0.store(true, Release);
    }
}

#[test]
fn nothing_is_lost_when_devices_are_made_again_in_each_of_a_thousand_pauses() {
    let wire = Echo::default();
    let card = |wire: &Echo| net::Card::on((wire.clone(), [2; 6], MTU), &net::Options::default());
    let renewed = wire.clone();
    let mut pauses = 0;
    traffic("renewed", true, card(&wire), move |served, memory, places, disk| {
        let state = served.device.state().expect("it can be saved");
        pauses += 1;
        // To open a disk again takes the kernel some time, so it is done in some pauses.
        if served.name == "disk0" && pauses % 50 != 0 {
            return served.device.restore(&state).expect("it fits the rings");
        }
        served.device = Box::new(Puppet::default());
        served.device = match served.name.as_str() {
            "net0" => Box::new(net::Served::new(card(&renewed), memory, [places[0], places[1]])),
            _ => disk.open(memory, places[2], true),
        };
        served.device.restore(&state).expect("it fits the rings");
    });
}

/// Returns each frame of a guest behind passt.
fn echo(mut socket: UnixStream) -> std::io::Result<()> {
    let mut bytes = vec![0; 1 << 16];
    loop {
        match socket.read(&mut bytes)? {
            0 => return Ok(()),
            count => socket.write_all(&bytes[..count])?,
        }
    }
}

#[test]
fn nothing_is_lost_on_a_socket_and_a_disk_without_io_uring_in_a_thousand_pauses() {
    let socket = Scratch::new("socket");
    let listener = UnixListener::bind(&socket.0).expect("a socket");
    thread::spawn(move || listener.accept().and_then(|(socket, _)| echo(socket)));
    let backend = net::Backend::Passt(socket.0.clone());
    let card = net::Card::open(&net::Options { backend, ..net::Options::default() }).expect("a connection");
    traffic("blocking", false, card, |served, _, _, _| match served.device.state() {
        Ok(state) => served.device.restore(&state).expect("it fits the rings"),
        Err(why) => assert_eq!((served.name.as_str(), why), ("net0", NotSaved::Passt)),
    });
}

#[test]
fn a_user_mode_network_says_that_its_connections_cannot_be_saved() {
    let card = net::Card::open(&net::Options::default()).expect("it needs nothing");
    let (memory, places) = place();
    let network = net::Served::new(card, &memory, [places[0], places[1]]);
    assert_eq!(network.state(), Err(NotSaved::UserNetwork));
}

#[test]
fn any_state_is_refused_or_harmless() {
    let (memory, places) = place();
    let disk = Scratch::disk("hostile");
    let mut network = net::Served::new(
        net::Card::on((Echo::default(), [2; 6], MTU), &net::Options::default()),
        &memory,
        [places[0], places[1]],
    );
    let mut block = disk.open(&memory, places[2], true);
    let mut numbers = sample::Numbers(99);
    let (mut refused, mut taken) = (0, 0);
    for _ in 0..10_000 {
        let mut cursor =
            || Cursor((numbers.random() % 300) as u32 ^ [0, 0, 0, u32::MAX][numbers.random() as usize % 4]);
        let mut cursors = || ring::Cursors { requests: cursor(), completions: cursor() };
        let state = State { queues: [cursors(), cursors()], levels: [i128::MIN, i128::MAX] };
        for place in places {
            let [submission, completion] = [place.submission, place.completion].map(|ring| ring::words(&memory, ring));
            submission.producer.store((numbers.random() % 300) as u32, Relaxed);
            completion.consumer.store((numbers.random() % 300) as u32, Relaxed);
        }
        for device in [&mut network as &mut dyn Device, &mut *block] {
            match device.restore(&state) {
                Ok(()) => {
                    taken += 1;
                    // Entries of zeros are no requests, and a device without requests has nothing to do.
                    let outcome = device.serve();
                    assert!(outcome.is_err() || outcome == Ok(Progress::default()), "{outcome:?}");
                }
                Err(_) => refused += 1,
            }
        }
    }
    assert!(refused > 1000 && taken > 1000, "{refused} refused, {taken} taken");
}

#[test]
fn requests_made_in_a_pause_are_served_after_it() {
    let _alone = alone();
    let (memory, places) = place();
    let disk = Scratch::disk("full");
    let (device_loop, pauser) = start(vec![served("disk0", disk.open(&memory, places[2], true))]);
    let mut queue = Driver::new(&memory, places[2], 0);
    let paused = pauser.pause(deadline()).expect("nothing is in flight");
    let state = paused.states();
    // As many as the ring holds; the guest rings for each.
    let entries = places[2].entries;
    for token in 0..u64::from(entries) {
        queue.submit(token % DEPTH, BYTES, operation::READ, token % SECTORS * BYTES as u64);
        let _ = queue.requests.publish();
        device_loop.notifier().ring();
    }
    sleep(&mut [], monotonic_ns() + 5_000_000);
    assert_eq!((queue.completion(), paused.states()), (None, state));
    drop(paused);
    let until_ns = deadline();
    for _ in 0..entries {
        while queue.completion().map(|completion| assert_eq!(completion.status, status::DONE)).is_none() {
            assert!(monotonic_ns() < until_ns, "the device goes on by itself");
        }
    }
}

#[test]
fn a_guest_that_ends_in_a_pause_sends_its_frames_after_it() {
    let _alone = alone();
    let (memory, places) = place();
    let wire = Echo::default();
    let card = net::Card::on((wire.clone(), [2; 6], MTU), &net::Options::default());
    let network = net::Served::new(card, &memory, [places[0], places[1]]);
    let (mut device_loop, pauser) = start(vec![served("net0", Box::new(network))]);
    let mut queue = Driver::new(&memory, places[0], 0);
    thread::scope(|scope| {
        let paused = pauser.pause(deadline()).expect("nothing is in flight");
        queue.put(0, fill(1));
        queue.submit(0, BYTES, 0, 0);
        let _ = queue.requests.publish();
        let ending = scope.spawn(|| device_loop.finish());
        sleep(&mut [], monotonic_ns() + 5_000_000);
        assert!(!ending.is_finished() && wire.0.lock().expect("no panic").is_empty());
        drop(paused);
        ending.join().expect("it ends");
        assert_eq!(wire.0.lock().expect("no panic").pop_front().as_deref(), Some(&fill(1)[..]));
    });
}

#[test]
fn a_request_that_hangs_ends_the_attempt_and_not_the_devices() {
    let _alone = alone();
    let puppet = Puppet::default();
    let (device_loop, pauser) = start(vec![served("disk0", Box::new(puppet.clone()))]);
    puppet.is_busy.store(true, Relaxed);
    let hangs = pauser.pause(monotonic_ns() + 3_000_000).map(drop);
    assert_eq!(hangs, Err(NotPaused::Hangs(Some("disk0".to_owned()))));
    assert!(hangs.is_err_and(|error| error.to_string().contains("device 'disk0' does not stop")));
    let (before, until_ns) = (puppet.rounds.load(Relaxed), deadline());
    while puppet.rounds.load(Relaxed) == before {
        assert!(monotonic_ns() < until_ns, "it is served again");
    }
    puppet.is_busy.store(false, Relaxed);
    drop(pauser.pause(deadline()).expect("it can be paused now"));
    assert!(device_loop.notifier().fault().is_none());
}

#[test]
fn a_guest_that_breaks_the_contract_in_a_pause_ends() {
    let _alone = alone();
    signals::receive(60);
    let puppet = Puppet::default();
    let (device_loop, pauser) = start(vec![served("disk0", Box::new(puppet.clone()))]);
    puppet.is_broken.store(true, Relaxed);
    assert_eq!(pauser.pause(deadline()).map(drop), Err(NotPaused::Broken));
    assert!(device_loop.notifier().fault().is_some());
    // SAFETY: the byte is never freed.
    let halt = unsafe { Halt::new(NonNull::from(Box::leak(Box::new(0)))) };
    assert_ne!(halt.take(), 0, "the vCPU thread is interrupted");
}
