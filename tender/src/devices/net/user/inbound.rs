//! Data from clients of published ports.

use super::budget::{Admission, Party};
use super::flows::{Account, Flow};
use super::listen::Datagram;
use super::packet::{Pair, Protocol};
use super::tcp::Next;
use super::{CLIENT_NS, Network, addresses, stack, tcp};
use crate::host::time::monotonic_ns;
use socket2::Socket;
use std::net::SocketAddr;
use std::time::Duration;

/// Clients accepted from one published port before other flows get their turn.
const ACCEPTED: usize = 64;
/// Delay after which clients without a place are tried again, in nanoseconds.
const AGAIN_NS: u64 = 100_000_000;
/// Longest datagram.
const DATAGRAM: usize = 1 << 16;

impl Network {
    /// Accepts clients of a published port, and takes their datagrams.
    pub(super) fn welcome(&mut self, slot: usize) -> Next {
        let Some(Flow::Listener(listener)) = self.flows.get(slot) else { return Next::Wait };
        let (is_udp, guest_port) = (listener.publish.udp, listener.publish.guest);
        let mut payload = std::mem::take(&mut self.payload);
        payload.resize(DATAGRAM, 0);
        let mut next = Next::More;
        for _ in 0..ACCEPTED {
            next = match (self.rx_queue.has_room(), is_udp) {
                (true, true) => self.take_datagram(slot, guest_port, &mut payload),
                (true, false) => self.take_connection(slot, guest_port),
                // The host queues clients until there is room.
                (false, _) if self.held_back.contains(&slot) => self.hold_back(slot),
                (false, _) => Next::Wait,
            };
            if next != Next::More {
                break;
            }
        }
        self.payload = payload;
        next
    }

    fn take_datagram(&mut self, slot: usize, guest_port: u16, payload: &mut [u8]) -> Next {
        let Some(Flow::Listener(listener)) = self.flows.get(slot) else { return Next::Wait };
        let Some(datagram) = listener.receive(payload) else { return Next::Wait };
        if let Some(pair) = self.client(slot, &datagram, guest_port) {
            self.rx_queue.push_datagram(pair.far, pair.guest, &payload[..datagram.length]);
        }
        Next::More
    }

    fn take_connection(&mut self, slot: usize, guest_port: u16) -> Next {
        // No flow ends unless a client waits for its place.
        if self.flows.admit(Account::InboundTcp, None) == Admission::Refused {
            return self.hold_back(slot);
        }
        let Some(Flow::Listener(listener)) = self.flows.get(slot) else { return Next::Wait };
        let accepted = listener.accept();
        if accepted.is_ok() && self.held_back.remove(&slot) {
            self.flows.listen(slot, true);
        }
        match accepted {
            Ok(Some((socket, peer))) => self.let_in(socket, peer, guest_port),
            Ok(None) => return Next::Wait,
            // The host has no descriptor, or no memory.
            Err(_) => return self.hold_back(slot),
        }
        Next::More
    }

    /// Leaves clients in the host's queue until another flow ends, or some time has passed.
    fn hold_back(&mut self, slot: usize) -> Next {
        if self.held_back.insert(slot) {
            self.flows.listen(slot, false);
        }
        self.flows.set_deadline(slot, monotonic_ns() + AGAIN_NS);
        Next::Wait
    }

    /// Accepts the client at `peer`, unless its party has all the places that it may have, and uses them.
    fn let_in(&mut self, socket: Socket, peer: SocketAddr, guest_port: u16) {
        let (account, party) = (Account::InboundTcp, Party::of(peer.ip()));
        if !self.make_room(account, party) {
            let _ = socket.set_linger(Some(Duration::ZERO));
            return;
        }
        let pair = self.free_pair(Protocol::Stream, peer, guest_port);
        let room = stack::buffer(self.flows.connections());
        if let Some(flow) = tcp::Flow::publish(pair, room, socket, &mut self.rx_queue)
            && let Some(slot) = self.flows.add((Protocol::Stream, pair), account, party, Flow::Stream(Box::new(flow)))
        {
            self.busy.insert(slot);
        }
    }

    /// Returns the ends of a new flow from the client at `peer`, as the guest sees them. No other flow has them: a client with
    /// an address that the guest cannot answer, or that is taken, appears as a port of the gateway.
    fn free_pair(&self, protocol: Protocol, peer: SocketAddr, guest_port: u16) -> Pair {
        let mut far = addresses::client(peer);
        loop {
            let pair = Pair { guest: SocketAddr::new(addresses::guest(far.ip()), guest_port), far };
            // There are fewer flows than ports.
            if self.flows.find(&(protocol, pair)).is_none() {
                return pair;
            }
            far = SocketAddr::new(addresses::v4(2).into(), far.port().wrapping_add(1).max(1024));
        }
    }

    /// Remembers the client that sent a `datagram` to the published port in slot `listener`, and returns its ends as the guest
    /// sees them; `None` if there is no room for it.
    fn client(&mut self, listener: usize, datagram: &Datagram, guest_port: u16) -> Option<Pair> {
        let (peer, now_ns) = (datagram.peer, monotonic_ns());
        let (slot, pair) = self.flows.find_client(listener, peer).or_else(|| {
            let (account, party) = (Account::InboundUdp, Party::of(peer.ip()));
            self.make_room(account, party).then_some(())?;
            let pair = self.free_pair(Protocol::Datagrams, peer, guest_port);
            let flow = Flow::Client { listener, peer, local: None, used_ns: now_ns };
            Some((self.flows.add((Protocol::Datagrams, pair), account, party, flow)?, pair))
        })?;
        if let Some(Flow::Client { used_ns, local, .. }) = self.flows.get(slot) {
            (*used_ns, *local) = (now_ns, datagram.local);
        }
        self.flows.set_deadline(slot, now_ns + CLIENT_NS);
        Some(pair)
    }
}
