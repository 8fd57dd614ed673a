//! Network devices: frames between a guest's queues and a wire, of which there are several kinds.

pub mod address;
pub mod options;
pub mod passt;
pub mod tap;
pub mod user;
mod wire;

use super::device::{Device, NotSaved, Progress, State};
use super::limit::{Bucket, Rate};
use super::ring::{Broken, Parts, Queue, Request, Violation};
use crate::confine::Descriptors;
use crate::host::time::monotonic_ns;
use crate::memory::Memory;
use husk_abi::device::{
    DATA_VALID, FRAME_HEADER, GSO_FRAME_MAXIMUM, GUEST_OFFLOADS, Network, Offers, Offload, RECEIVE, TRANSMIT,
};
use husk_abi::memory::Rights;
use husk_abi::ring::status;
pub use options::{Backend, Options};
use std::os::fd::RawFd;
use std::sync::Arc;
pub use wire::{Received, Wire};

/// Frames moved in one direction before other work gets its turn.
const BATCH: usize = 64;
/// Completions are published every so many frames, so that a running guest sees them before the batch ends.
const SHOWN: usize = 8;

/// An open network device.
#[derive(Debug)]
pub struct Card {
    /// Properties that the guest reads.
    pub properties: Network,
    wire: Box<dyn Wire>,
    rate: Option<Rate>,
}

impl Card {
    /// Features that the device offers.
    pub fn offers(&self) -> Offers {
        self.wire.offers()
    }

    /// Opens the device that `options` describe.
    pub fn open(options: &Options) -> Result<Self, String> {
        match &options.backend {
            Backend::Tap(interface) => tap::by_name(interface).map(|opened| Self::on(opened, options)),
            Backend::Descriptor(descriptor) => tap::by_descriptor(*descriptor).map(|opened| Self::on(opened, options)),
            Backend::Passt(path) => passt::open(path).map(|opened| Self::on(opened, options)),
            Backend::User(user) => {
                let mac = options.mac.unwrap_or(user::addresses::GUEST_MAC);
                let [v4, v6] = user::addresses::announced();
                let properties = Network { mac, mtu: user::MTU, v4, v6 };
                user::Network::open(user, mac).map(|network| Self {
                    properties,
                    wire: Box::new(network),
                    rate: options.rate,
                })
            }
        }
    }

    /// Returns a card on an open wire, with its hardware address and MTU (longest frame without its header).
    pub(super) fn on((wire, mac, mtu): (impl Wire + 'static, [u8; 6], u16), options: &Options) -> Self {
        let properties = Network { mac: options.mac.unwrap_or(mac), mtu, v4: options.v4, v6: options.v6 };
        Self { properties, wire: Box::new(wire), rate: options.rate }
    }
}

/// A network device with its queues.
#[derive(Debug)]
pub struct Served {
    memory: Arc<Memory>,
    transmit: Queue,
    receive: Queue,
    /// Memory of the frame that is being sent.
    frame: Parts,
    /// Receive buffer that waits for a frame, still in its ring, and its memory.
    buffer: Option<Request>,
    room: Parts,
    longest: usize,
    wire: Box<dyn Wire>,
    /// Rate limits for sending and receiving.
    limits: [Bucket; 2],
    /// Monotonic time at which a limit that was reached lets more pass, in nanoseconds; else 0.
    limited_until_ns: [u64; 2],
}

impl Served {
    /// Connects `card` with its queues.
    pub fn new(card: Card, memory: &Arc<Memory>, queues: [husk_abi::device::Queue; 2]) -> Self {
        Self {
            transmit: Queue::new("transmit", Rights::READ, memory, queues[TRANSMIT]),
            receive: Queue::new("receive", Rights::READ | Rights::WRITE, memory, queues[RECEIVE]),
            memory: Arc::clone(memory),
            frame: Parts::default(),
            buffer: None,
            room: Parts::default(),
            longest: FRAME_HEADER + usize::from(card.properties.mtu),
            wire: card.wire,
            limits: [TRANSMIT, RECEIVE].map(|_| Bucket::new(card.rate, monotonic_ns())),
            limited_until_ns: [0; 2],
        }
    }

    /// Sends the guest's frames. Returns their number, and true if the guest must be woken.
    fn send(&mut self) -> Result<(usize, bool), Broken> {
        let (mut count, mut wake) = (0, false);
        while count < BATCH && !self.is_limited(TRANSMIT) && self.wire.has_room() {
            let Some(request) = self.transmit.next(&self.memory, &mut self.frame)? else { break };
            let length = self.frame.length();
            let offload = self.offload(&request)?;
            let longest = if offload.gso_size > 0 { FRAME_HEADER + GSO_FRAME_MAXIMUM } else { self.longest };
            let status = match (FRAME_HEADER..=longest).contains(&length) {
                true => {
                    let sent = self.wire.send(&self.frame, offload);
                    sent.map_err(|_| unreachable(&self.transmit, &request))?;
                    status::DONE
                }
                false => status::REFUSED,
            };
            self.transmit.complete(request.token, length, status);
            self.limits[TRANSMIT].take(length);
            count += 1;
            if count % SHOWN == 0 {
                wake |= self.transmit.publish();
            }
        }
        wake |= count > 0 && self.transmit.publish();
        Ok((count, wake))
    }

    /// Fills the guest's buffers with received frames. Returns their number, dropped ones included, and true if the guest must
    /// be woken.
    fn receive(&mut self) -> Result<(usize, bool), Broken> {
        let (mut count, mut wake) = (0, false);
        while count < BATCH && !self.is_limited(RECEIVE) {
            if self.buffer.is_none() {
                self.buffer = self.next_buffer()?;
            }
            let Some(buffer) = &self.buffer else { break };
            let received = self.wire.receive(&self.room, buffer.detail == GUEST_OFFLOADS);
            match received.map_err(|_| unreachable(&self.receive, buffer))? {
                Some(Received::Frame { length, checked }) => {
                    let flags = if checked { DATA_VALID } else { 0 };
                    self.receive.take(buffer);
                    self.receive.complete_with(buffer.token, length, status::DONE, flags);
                    self.buffer = None;
                    self.limits[RECEIVE].take(length);
                }
                // A dropped frame counts too, so that a flood of them cannot use up the whole turn.
                Some(Received::Dropped) => {}
                None => break,
            }
            count += 1;
            if count % SHOWN == 0 {
                wake |= self.receive.publish();
            }
        }
        wake |= count > 0 && self.receive.publish();
        Ok((count, wake))
    }

    /// Returns true if the limit of a queue lets nothing pass at the moment.
    fn is_limited(&mut self, queue: usize) -> bool {
        if !self.limits[queue].is_bounded() {
            return false;
        }
        let now_ns = monotonic_ns();
        let opens_ns = self.limits[queue].opens_ns(now_ns);
        let is_limited = opens_ns > now_ns;
        self.limited_until_ns[queue] = if is_limited { opens_ns } else { 0 };
        is_limited
    }

    fn next_buffer(&mut self) -> Result<Option<Request>, Broken> {
        let buffer = self.receive.peek(&self.memory, &mut self.room)?;
        match buffer.as_ref().map_or(0, |buffer| buffer.detail) {
            0 => Ok(buffer),
            GUEST_OFFLOADS if self.offers_offload() => Ok(buffer),
            detail => Err(self.receive.broken(Violation::Detail(detail))),
        }
    }

    /// Offload that the frame to be sent needs.
    fn offload(&self, request: &Request) -> Result<Offload, Broken> {
        let offload = match request.detail {
            0 => Some(Offload::default()),
            detail if self.offers_offload() => Offload::check(detail, self.frame.length()),
            _ => None,
        };
        offload.ok_or_else(|| self.transmit.broken(Violation::Detail(request.detail)))
    }

    fn offers_offload(&self) -> bool {
        self.wire.offers().contains(Offers::OFFLOAD)
    }
}

fn unreachable(queue: &Queue, request: &Request) -> Broken {
    queue.broken(Violation::Unreachable { address: request.address })
}

impl Device for Served {
    fn serve(&mut self) -> Result<Progress, Broken> {
        let (sent, wake_for_sent) = self.send()?;
        let worked = self.wire.work();
        let (received, wake_for_received) = self.receive()?;
        let wake = wake_for_sent | wake_for_received;
        let full = sent == BATCH || received == BATCH;
        Ok(Progress { done: sent > 0 || received > 0 || worked, wake, full, blocks: false })
    }

    fn sleep(&mut self) -> Result<bool, Broken> {
        let [sending, receiving] = self.limited_until_ns.map(|until_ns| until_ns > 0);
        // With a buffer at hand, or a wire without room, the device waits for the wire.
        let sending = sending || !self.wire.has_room();
        Ok((sending || self.transmit.sleep()?) && (receiving || self.buffer.is_some() || self.receive.sleep()?))
    }

    fn beat(&mut self) {
        self.transmit.beat();
    }

    fn file(&self) -> (RawFd, i16) {
        let may_receive = self.buffer.is_some() && self.limited_until_ns[RECEIVE] == 0;
        match self.wire.events(may_receive) {
            0 => (-1, 0),
            events => (self.wire.file(), events),
        }
    }

    fn deadline_ns(&self) -> u64 {
        let limited = self.limited_until_ns.into_iter().filter(|until_ns| *until_ns > 0);
        limited.min().unwrap_or(u64::MAX).min(self.wire.deadline_ns())
    }

    fn list(&self, descriptors: &mut Descriptors) {
        self.wire.list(descriptors);
    }

    fn state(&self) -> Result<State, NotSaved> {
        match self.wire.not_saved() {
            Some(why) => Err(why),
            None => Ok(State {
                queues: [self.transmit.cursors(), self.receive.cursors()],
                levels: self.limits.each_ref().map(Bucket::level),
            }),
        }
    }

    fn restore(&mut self, state: &State) -> Result<(), Broken> {
        self.transmit.restore(state.queues[TRANSMIT])?;
        self.receive.restore(state.queues[RECEIVE])?;
        self.buffer = None;
        let now_ns = monotonic_ns();
        self.limits.iter_mut().zip(state.levels).for_each(|(limit, level)| limit.restore(level, now_ns));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![expect(unsafe_code, reason = "a buffer is submitted by pointer, as a guest does")]

    use super::*;
    use crate::devices::copy::Unreachable;
    use crate::devices::table;
    use crate::fuzz::sample;
    use crate::image::Kind;
    use husk_abi::ring::{Descriptor, ENTRIES, PRODUCER};

    /// A wire that always has another frame, which never fits.
    #[derive(Debug)]
    struct Flood(usize);

    impl Wire for Flood {
        fn send(&mut self, _: &Parts, _: Offload) -> Result<(), Unreachable> {
            Ok(())
        }

        fn receive(&mut self, _: &Parts, _: bool) -> Result<Option<Received>, Unreachable> {
            self.0 += 1;
            assert!(self.0 <= BATCH, "others have their turn, too");
            Ok(Some(Received::Dropped))
        }

        fn file(&self) -> RawFd {
            -1
        }

        fn list(&self, _: &mut Descriptors) {}
    }

    #[test]
    fn a_flood_of_frames_that_do_not_fit_ends_for_the_moment() {
        let memory = Arc::new(sample::memory());
        let layout = *memory.layout();
        let queues = table::queues(layout.rings.start, 0, Kind::Network);
        let submission = queues[RECEIVE].submission;
        let buffer = Descriptor { address: layout.heap.start, length: 1, ..Descriptor::default() };
        // SAFETY: the address is that of the ring's first entry, and no other thread uses it.
        unsafe { memory.ring(submission + ENTRIES, 32).cast::<Descriptor>().write_volatile(buffer) };
        // SAFETY: the address is that of a word of the ring.
        unsafe { memory.ring(submission + PRODUCER, 4).cast::<u32>().write_volatile(1) };
        let card = Card::on((Flood(0), [2; 6], 1500), &Options::default());
        let mut served = Served::new(card, &memory, queues);
        let progress = served.serve().expect("nothing is broken");
        assert!(progress.done && progress.full && !progress.wake, "{progress:?}");
    }
}
