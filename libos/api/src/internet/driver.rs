//! Driver of the sockets on a network device: passes arrived frames to them, runs their timers, and retries what could not be
//! sent.
//!
//! The sockets belong to an [`Owner`], which knows them by number: [`Internet`](super::Internet) for a native program, the
//! libos for an ordinary one. The driver knows when a connection is opened, polled and released; the owner, which sockets
//! exist, and what an event means to its program.

use super::connection::{Connection, Observed};
use super::datagrams::Datagrams;
use super::frame::{self, Carried};
use super::report::Report;
use super::stack::Stack;
use super::wire::{Sender, Wire};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use husk_abi::device::Network;

/// Most frames that are taken per poll.
const BATCH: usize = 256;
/// Time that a peer has to complete the handshake while there are more than enough others, in nanoseconds. Without a limit, peers
/// that do not exist would keep all others out (SYN flood); without a least time, a burst of clients would reset the first of them.
const HANDSHAKE: u64 = 500_000_000;

/// Part of a socket that the driver works with.
#[derive(Debug)]
pub enum Transport<'a> {
    /// A stream's connection.
    Tcp(&'a mut Connection),
    /// Queues of a socket for datagrams.
    Udp(&'a mut Datagrams),
}

/// Answer to a SYN.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Admission {
    /// A socket is made for the connection.
    Open,
    /// The listener has no room: the SYN is dropped, and the peer retransmits it.
    Drop,
    /// No socket listens: the peer gets a RST.
    Refuse,
}

/// Owner of the sockets on a device. Each socket has a number below `u32::MAX`, its slot.
pub trait Owner {
    /// Most connections that peers are opening at once. A SYN beyond that is dropped, and the peer retransmits it, unless the oldest
    /// of them takes longer than a handshake should.
    fn opening_maximum(&self) -> usize;

    /// Returns the socket in a slot, if there is one with a part for the driver.
    fn socket(&mut self, slot: u32) -> Option<Transport<'_>>;

    /// Returns the answer to a SYN between `ends`, the local one first.
    fn admission(&self, ends: (SocketAddr, SocketAddr)) -> Admission;

    /// Makes a socket for a connection that the peer opens, the driver having `count` already. Returns its slot; `None` without
    /// memory.
    fn open(&mut self, ends: (SocketAddr, SocketAddr), count: usize) -> Option<u32>;

    /// Queues an opened connection at its listener. Returns false if no socket listens any more.
    fn accept(&mut self, slot: u32) -> bool;

    /// Handles changes of a connection.
    fn changed(&mut self, slot: u32, observed: &Observed);

    /// Handles that there is room again to send datagrams, after an attempt that found none.
    fn has_room(&mut self, slot: u32);

    /// Takes a frame with a datagram to and from these addresses, or passes it to the stack.
    fn receive(
        &mut self,
        stack: &mut Stack,
        sender: &mut dyn Sender,
        frame: &[u8],
        ends: (SocketAddr, SocketAddr),
        now: u64,
    );

    /// Handles an ICMP error about a datagram, which is quoted from `payload` on.
    fn reported(&mut self, _report: &Report, _payload: &[u8]) {}

    /// Releases a socket.
    fn remove(&mut self, slot: u32);
}

/// A network device and the stack on it.
pub struct Device {
    /// The device.
    pub wire: Box<dyn Wire>,
    /// The stack.
    pub stack: Stack,
}

impl fmt::Debug for Device {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Device").field("stack", &self.stack).finish_non_exhaustive()
    }
}

impl Device {
    /// Returns a stack on a device with the properties `network`. `seed` is random, and serves no other purpose.
    pub fn new(mut wire: Box<dyn Wire>, network: &Network, seed: u64, now: u64) -> Self {
        let stack = Stack::new(&mut *wire, network, seed, now);
        Self { wire, stack }
    }

    /// Returns true if a frame has arrived, or a timer has expired.
    pub fn is_due(&mut self, now: u64) -> bool {
        self.wire.is_ready() || self.stack.deadline().is_some_and(|at| at <= now)
    }

    /// Takes arrived frames, runs expired timers, and retries what could not be sent. The owner must then flush the wire.
    pub fn poll(&mut self, owner: &mut impl Owner, now: u64) {
        let Self { wire, stack } = self;
        let mut touched = None;
        for _ in 0..BATCH {
            let mut next = None;
            let more = wire.receive(&mut |frame, sender| next = stack.arrive(owner, sender, frame, now));
            // A connection answers once the next frame is not for it, so that a run of segments gets one answer.
            if let Some(slot) = touched.filter(|slot| Some(*slot) != next) {
                stack.poll_socket(owner, wire.sender(), slot, now, false);
            }
            touched = next;
            if !more {
                break;
            }
        }
        if let Some(slot) = touched {
            stack.poll_socket(owner, wire.sender(), slot, now, false);
        }
        stack.run_timers(owner, wire.sender(), now);
        if !stack.stalled.is_empty() {
            let mut slots = stack.stalled.take_overdue(stack.connections.len());
            if wire.sender().has_room() {
                slots.extend(stack.stalled.take_room());
            }
            stack.unstall(owner, wire.sender(), slots, now);
        }
    }

    /// Sends a socket's pending output, because of a call, and reports changes. The owner must then flush the wire.
    pub fn poll_socket(&mut self, owner: &mut impl Owner, slot: u32, now: u64) {
        self.stack.poll_socket(owner, self.wire.sender(), slot, now, false);
    }

    /// Ends a connection that the program has closed: in order (FIN), or by a reset. It is released once the peer has
    /// acknowledged that. The owner must then flush the wire.
    pub fn orphan(&mut self, owner: &mut impl Owner, slot: u32, by_reset: bool, now: u64) {
        self.stack.orphan(owner, self.wire.sender(), slot, by_reset, now);
    }
}

impl Stack {
    /// Takes a frame. Returns the connection that it was for.
    fn arrive(&mut self, owner: &mut impl Owner, sender: &mut dyn Sender, frame: &[u8], now: u64) -> Option<u32> {
        match frame::look(frame) {
            Carried::Segment { to, from, opens } => {
                let slot = match self.connections.get(&(to, from)).copied() {
                    None if opens => match owner.admission((to, from)) {
                        Admission::Open => Some(self.open(owner, (to, from), now)?),
                        Admission::Drop => return None,
                        Admission::Refuse => None,
                    },
                    known => known,
                };
                match slot.and_then(|slot| owner.socket(slot)) {
                    Some(Transport::Tcp(connection)) => connection.take(self, frame, sender, now),
                    _ => self.take(frame, sender, None, now),
                }
                return slot;
            }
            Carried::Datagram { to, .. } if self.is_for_interface(to) => self.take_for_interface(frame, sender, now),
            Carried::Datagram { to, from } => owner.receive(self, sender, frame, (to, from), now),
            Carried::Report(report) if report.segment.is_some() => self.report(owner, &report),
            Carried::Report(report) => owner.reported(&report, frame.get(report.payload..).unwrap_or_default()),
            Carried::Neighbour { from } => {
                self.take(frame, sender, None, now);
                self.answer_held(owner, sender, from, now);
                for neighbour in [from, IpAddr::V4(Ipv4Addr::UNSPECIFIED)] {
                    let slots = self.stalled.take_neighbour(neighbour);
                    self.unstall(owner, sender, slots, now);
                }
            }
            Carried::Other => self.take(frame, sender, None, now),
        }
        None
    }

    /// Handles an ICMP error about a segment of a connection.
    fn report(&mut self, owner: &mut impl Owner, report: &Report) {
        let Some(slot) = self.connections.get(&(report.here, report.there)).copied() else { return };
        let Some(Transport::Tcp(connection)) = owner.socket(slot) else { return };
        if let Some(observed) = connection.report(self, report) {
            owner.changed(slot, &observed);
        }
    }

    /// Makes a socket for a connection that the peer opens to an address of the interface. Returns `None` without memory, or with
    /// too many others that are being opened: the peer retransmits its SYN.
    fn open(&mut self, owner: &mut impl Owner, ends: (SocketAddr, SocketAddr), now: u64) -> Option<u32> {
        if !self.interface.has_ip_addr(ends.0.ip()) {
            return None;
        }
        if self.opening.len() >= owner.opening_maximum() {
            self.drop_oldest(owner, now)?;
        }
        let count = self.connections.len();
        // The memory may be with connections that nobody completes.
        let slot = owner.open(ends, count).or_else(|| {
            self.drop_oldest(owner, now)?;
            owner.open(ends, count)
        })?;
        let Some(Transport::Tcp(connection)) = owner.socket(slot) else { return None };
        if connection.listen(self, slot, now).is_err() {
            owner.remove(slot);
            return None;
        }
        Some(slot)
    }

    /// Drops the connection that a peer has been opening for longest, if that is too long: most likely the peer does not exist.
    /// Returns `None` without one.
    fn drop_oldest(&mut self, owner: &mut impl Owner, now: u64) -> Option<()> {
        let (oldest, _) = self.opening.pop_front_if(|(_, since)| now - *since >= HANDSHAKE)?;
        if let Some(Transport::Tcp(connection)) = owner.socket(oldest) {
            self.connections.remove(&connection.ends());
        }
        owner.remove(oldest);
        Some(())
    }

    /// Handles the expired timers of sockets.
    fn run_timers(&mut self, owner: &mut impl Owner, sender: &mut dyn Sender, now: u64) {
        while let Some((at, slot)) = self.due(sender, now) {
            let is_current = match owner.socket(slot) {
                Some(Transport::Tcp(connection)) => connection.is_woken(at),
                Some(Transport::Udp(_)) => true,
                None => false,
            };
            if is_current {
                self.poll_socket(owner, sender, slot, now, true);
            }
        }
    }

    /// Retries sockets that could not send.
    fn unstall(&mut self, owner: &mut impl Owner, sender: &mut dyn Sender, slots: Vec<u32>, now: u64) {
        for slot in slots {
            match owner.socket(slot) {
                Some(Transport::Tcp(connection)) => connection.unstall(),
                Some(Transport::Udp(datagrams)) => datagrams.unstall(),
                None => continue,
            }
            self.poll_socket(owner, sender, slot, now, false);
        }
    }

    /// Sends a socket's pending output, sets its timer, and reports changes. `late` if its timer has expired.
    fn poll_socket(&mut self, owner: &mut impl Owner, sender: &mut dyn Sender, slot: u32, now: u64, late: bool) {
        let connection = match owner.socket(slot) {
            Some(Transport::Tcp(connection)) => connection,
            Some(Transport::Udp(datagrams)) => {
                if datagrams.poll(self, sender, slot, now) {
                    owner.has_room(slot);
                }
                return;
            }
            None => return,
        };
        connection.send(self, sender, slot, now);
        let observed = connection.observe(self, late);
        let (over, orphaned) = (connection.is_over(), connection.is_orphaned());
        let opened_by_peer = observed.opened && connection.is_passive();
        if opened_by_peer {
            let place = self.opening.iter().position(|(opening, _)| *opening == slot);
            place.map(|place| self.opening.remove(place));
        }
        if over && (orphaned || opened_by_peer) {
            owner.remove(slot);
        } else if opened_by_peer && !owner.accept(slot) {
            self.orphan(owner, sender, slot, true, now);
        } else if !orphaned && observed.is_news() {
            owner.changed(slot, &observed);
        }
    }

    fn orphan(&mut self, owner: &mut impl Owner, sender: &mut dyn Sender, slot: u32, by_reset: bool, now: u64) {
        let Some(Transport::Tcp(connection)) = owner.socket(slot) else { return };
        connection.orphan(by_reset);
        if connection.is_over() {
            owner.remove(slot);
        } else {
            self.poll_socket(owner, sender, slot, now, false);
        }
    }
}
