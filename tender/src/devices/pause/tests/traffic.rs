//! Traffic over a network and a disk that are paused meanwhile.

use super::super::*;
use super::rig::*;
use crate::devices::device_loop::DeviceLoop;
use crate::devices::net;
use crate::fuzz::sample;
use crate::host::signals::{self, Halt};
use crate::memory::Memory;
use husk_abi::block as operation;
use husk_abi::device::{Queue, RECEIVE, TRANSMIT};
use husk_abi::ring::{Completion, status};
use std::ptr::NonNull;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering::*};
use std::thread;

/// Pauses of a test with traffic.
const PAUSES: u32 = 1000;

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
pub fn traffic(
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
