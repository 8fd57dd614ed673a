//! Network devices: frames between a guest's queues and a wire, of which there are several kinds.

pub mod options;
pub mod tap;
pub mod user;

use super::limit::{Bucket, Rate};
use super::ring::{Broken, Parts, Queue, Request, Violation};
use super::{Device, Progress};
use crate::clock::monotonic_ns;
use crate::error::Error;
use crate::memory::Memory;
use husk_abi::device::{FRAME_HEADER, Network, RECEIVE, TRANSMIT};
use husk_abi::memory::Rights;
use husk_abi::ring::status;
pub use options::{Backend, Options};
use std::os::fd::RawFd;
use std::sync::Arc;

/// Frames of one kind that are moved before other things have their turn.
const BATCH: usize = 64;

/// A network device that is open.
#[derive(Debug)]
pub struct Card {
    /// What the guest is told.
    pub properties: Network,
    wire: Box<dyn Wire>,
    rate: Option<Rate>,
}

/// Guest memory could not be reached, as the guest has protected it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Unreachable;

/// Where a network device's frames go to and come from.
pub trait Wire: std::fmt::Debug + Send {
    /// Sends a frame, or drops it, as a wire may.
    fn send(&mut self, frame: &Parts) -> Result<(), Unreachable>;

    /// Receives a frame, of which only a part may fit, and tells its length; nothing if there is none.
    fn receive(&mut self, into: &Parts) -> Result<Option<usize>, Unreachable>;

    /// Does what else there is to do. Whether something was done.
    fn work(&mut self) -> bool {
        false
    }

    /// The file that is readable when there may be a frame, or other work.
    fn file(&self) -> RawFd;

    /// Whether that matters, given whether the guest has a buffer for a frame.
    fn is_watched(&self, has_buffer: bool) -> bool {
        has_buffer
    }

    /// Monotonic time at which there is work in any case, in nanoseconds.
    fn deadline_ns(&self) -> u64 {
        u64::MAX
    }
}

impl Card {
    /// Opens what `options` say, for the device `name`.
    pub fn open(name: &str, options: &Options) -> Result<Self, Error> {
        let opened = match &options.backend {
            Backend::Tap(interface) => tap::by_name(interface).map(|tap| Self::on_tap(tap, options)),
            Backend::Descriptor(descriptor) => tap::by_descriptor(*descriptor).map(|tap| Self::on_tap(tap, options)),
            Backend::User(user) => {
                let mac = options.mac.unwrap_or(user::addresses::GUEST_MAC);
                let [v4, v6] = user::addresses::told();
                let properties = Network { mac, mtu: user::MTU, v4, v6 };
                user::Network::open(user, mac).map(|network| Self {
                    properties,
                    wire: Box::new(network),
                    rate: options.rate,
                })
            }
        };
        opened.map_err(|reason| Error::Device { name: name.to_owned(), reason })
    }

    fn on_tap((tap, mac, mtu): tap::Opened, options: &Options) -> Self {
        let properties = Network { mac: options.mac.unwrap_or(mac), mtu, v4: options.v4, v6: options.v6 };
        Self { properties, wire: Box::new(tap), rate: options.rate }
    }
}

/// A network device with its queues.
#[derive(Debug)]
pub struct Served {
    memory: Arc<Memory>,
    transmit: Queue,
    receive: Queue,
    /// A buffer that waits for a frame.
    buffer: Option<Request>,
    longest: usize,
    wire: Box<dyn Wire>,
    /// What may be sent, and received.
    limits: [Bucket; 2],
    /// Monotonic time at which a limit lets more through that was met, in nanoseconds.
    limited_until_ns: [u64; 2],
}

impl Served {
    /// Connects `card` with its queues.
    pub fn new(card: Card, memory: &Arc<Memory>, queues: [husk_abi::device::Queue; 2]) -> Self {
        Self {
            transmit: Queue::new("transmit", Rights::READ, memory, queues[TRANSMIT]),
            receive: Queue::new("receive", Rights::READ | Rights::WRITE, memory, queues[RECEIVE]),
            memory: Arc::clone(memory),
            buffer: None,
            longest: FRAME_HEADER + usize::from(card.properties.mtu),
            wire: card.wire,
            limits: [TRANSMIT, RECEIVE].map(|_| Bucket::new(card.rate, monotonic_ns())),
            limited_until_ns: [0; 2],
        }
    }

    /// Sends what the guest has to be sent. How many frames that was.
    fn send(&mut self) -> Result<usize, Broken> {
        for count in 0..BATCH {
            if self.is_limited(TRANSMIT) {
                return Ok(count);
            }
            let Some(request) = self.transmit.next(&self.memory)? else { return Ok(count) };
            check(&self.transmit, &request)?;
            let length = request.parts.length();
            let status = match (FRAME_HEADER..=self.longest).contains(&length) {
                true => {
                    let sent = self.wire.send(&request.parts);
                    sent.map_err(|_| unreachable(&self.transmit, &request))?;
                    status::DONE
                }
                false => status::REFUSED,
            };
            self.transmit.complete(request.token, length, status);
            self.limits[TRANSMIT].take(length);
        }
        Ok(BATCH)
    }

    /// Fills the guest's buffers with what has arrived. How many frames that was.
    fn receive(&mut self) -> Result<usize, Broken> {
        let mut count = 0;
        while count < BATCH && !self.is_limited(RECEIVE) {
            let Some(buffer) = self.next_buffer()? else { break };
            let received = self.wire.receive(&buffer.parts).map_err(|_| unreachable(&self.receive, &buffer))?;
            match received {
                Some(length) if length <= buffer.parts.length() => {
                    self.receive.complete(buffer.token, length, status::DONE);
                    self.limits[RECEIVE].take(length);
                    count += 1;
                }
                // Dropped: it does not fit.
                Some(_) => self.buffer = Some(buffer),
                None => {
                    self.buffer = Some(buffer);
                    break;
                }
            }
        }
        Ok(count)
    }

    /// Whether the limit of a queue lets nothing through at the moment.
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
        if let Some(buffer) = self.buffer.take() {
            return Ok(Some(buffer));
        }
        let buffer = self.receive.next(&self.memory)?;
        if let Some(buffer) = &buffer {
            check(&self.receive, buffer)?;
        }
        Ok(buffer)
    }
}

/// There is nothing more to say about the one operation of either queue.
fn check(queue: &Queue, request: &Request) -> Result<(), Broken> {
    match request.detail {
        0 => Ok(()),
        detail => Err(queue.broken(Violation::Detail(detail))),
    }
}

fn unreachable(queue: &Queue, request: &Request) -> Broken {
    queue.broken(Violation::Unreachable { address: request.address })
}

impl Device for Served {
    fn serve(&mut self) -> Result<Progress, Broken> {
        let sent = self.send()?;
        let worked = self.wire.work();
        let received = self.receive()?;
        let wake = (sent > 0 && self.transmit.publish()) | (received > 0 && self.receive.publish());
        let full = sent == BATCH || received == BATCH;
        Ok(Progress { done: sent > 0 || received > 0 || worked, wake, full, left: false })
    }

    fn sleep(&mut self) -> Result<bool, Broken> {
        let [sending, receiving] = self.limited_until_ns.map(|until_ns| until_ns > 0);
        // With a buffer at hand, it is the wire that is waited for.
        Ok((sending || self.transmit.sleep()?) && (receiving || self.buffer.is_some() || self.receive.sleep()?))
    }

    fn file(&self) -> (RawFd, i16) {
        let may_receive = self.buffer.is_some() && self.limited_until_ns[RECEIVE] == 0;
        match self.wire.is_watched(may_receive) {
            true => (self.wire.file(), libc::POLLIN),
            false => (-1, 0),
        }
    }

    fn deadline_ns(&self) -> u64 {
        let limited = self.limited_until_ns.into_iter().filter(|until_ns| *until_ns > 0);
        limited.min().unwrap_or(u64::MAX).min(self.wire.deadline_ns())
    }
}
