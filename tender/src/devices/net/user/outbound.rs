//! Packets of the guest: passed to existing flows, and to new ones where the rules let it connect.

use super::addresses::{self, Place, place};
use super::budget::Party;
use super::flows::{Account, Flow};
use super::packet::{Echo, Pair, Protocol};
use super::tcp::Next;
use super::{CLIENT_NS, Network, datagrams, dns, stack, tcp};
use crate::host::time::monotonic_ns;
use std::net::SocketAddr;

/// Account that pays for a flow to `far`.
fn account(far: SocketAddr) -> Account {
    if addresses::is_dns(far) { Account::Dns } else { Account::Outbound }
}

impl Network {
    /// Returns the host's target for a connection to `far`; `None` if the guest may not connect.
    fn target(&mut self, far: SocketAddr) -> Option<SocketAddr> {
        let resolver = self.servers.address(monotonic_ns());
        let routes = &mut self.routes;
        // Without a routing table, every address counts as the host's own.
        self.policy.target(far, resolver, |address| routes.as_mut().is_none_or(|routes| routes.is_local(address)))
    }

    /// Takes a segment of a TCP connection.
    pub(super) fn segment(&mut self, pair: Pair, opens: bool, resets: bool, packet: &[u8]) {
        let key = (Protocol::Stream, pair);
        if let Some(slot) = self.flows.find(&key) {
            if let Some(Flow::Stream(flow)) = self.flows.get(slot) {
                let next = flow.take(packet, resets, &mut self.rx_queue);
                self.reschedule(slot, next);
            }
            return;
        }
        let (account, party) = (account(pair.far), Party::Protocol(Protocol::Stream));
        let opened = match self.target(pair.far) {
            // No RST: the guest retransmits its SYN, and another flow may have ended by then.
            Some(_) if opens && !self.make_room(account, party) => return,
            Some(target) if opens => {
                let room = stack::buffer(self.flows.connections());
                tcp::Flow::open(pair, room, packet, target, self.keepalive.as_ref()).ok()
            }
            _ => None,
        };
        match opened {
            Some(flow) => {
                if let Some(slot) = self.flows.add(key, account, party, Flow::Stream(Box::new(flow))) {
                    self.busy.insert(slot);
                }
            }
            // The address belongs to no machine, or to several.
            None if resets || place(pair.far.ip()) == Place::Nowhere => {}
            None => stack::refuse(pair, packet, &mut self.rx_queue),
        }
    }

    /// Takes a datagram.
    pub(super) fn datagram(&mut self, pair: Pair, payload: &[u8]) {
        let key = (Protocol::Datagrams, pair);
        let is_dns = addresses::is_dns(pair.far);
        let query = if is_dns { dns::Query::parse(payload) } else { None };
        if is_dns && query.is_none() {
            return datagrams::refuse(pair, &mut self.rx_queue);
        }
        let slot = match self.flows.find(&key) {
            Some(slot) => Some(slot),
            None => {
                let target = self.target(pair.far);
                let (account, party) = (account(pair.far), Party::Protocol(Protocol::Datagrams));
                let servers = &self.servers;
                let open = |target| match is_dns {
                    true => datagrams::Flow::queries(pair, servers.queries(monotonic_ns()), target),
                    false => datagrams::Flow::datagrams(pair, target),
                };
                match target.and_then(|target| open(target).ok()) {
                    // The datagram is lost, as datagrams may be.
                    Some(_) if !self.make_room(account, party) => None,
                    Some(flow) => self.flows.add(key, account, party, Flow::Datagrams(flow)),
                    None if place(pair.far.ip()) == Place::Nowhere => None,
                    None => return datagrams::refuse(pair, &mut self.rx_queue),
                }
            }
        };
        let Some(slot) = slot else { return };
        match self.flows.get(slot) {
            Some(Flow::Datagrams(flow)) => {
                match query {
                    Some(query) => flow.query(query, payload, &mut self.rx_queue),
                    None => flow.send(payload, &mut self.rx_queue),
                }
                self.reschedule(slot, Next::Wait);
            }
            Some(Flow::Client { listener, peer, local, used_ns }) => {
                *used_ns = monotonic_ns();
                let (listener, peer, local, until_ns) = (*listener, *peer, *local, *used_ns + CLIENT_NS);
                self.flows.set_deadline(slot, until_ns);
                if let Some(Flow::Listener(listener)) = self.flows.get(listener) {
                    listener.send(payload, peer, local.as_ref());
                }
            }
            _ => {}
        }
    }

    /// Takes an echo request.
    pub(super) fn echo(&mut self, echo: &Echo<'_>) {
        if matches!(place(echo.far), Place::Gateway | Place::NameServer | Place::Host) {
            return datagrams::give_echo(echo, &mut self.rx_queue);
        }
        let pair = Pair { guest: SocketAddr::new(echo.guest, echo.identifier), far: SocketAddr::new(echo.far, 0) };
        let key = (Protocol::Echoes, pair);
        let slot = self.flows.find(&key).or_else(|| {
            let target = self.target(pair.far)?.ip();
            let (account, party) = (Account::Outbound, Party::Protocol(Protocol::Echoes));
            let flow = datagrams::Flow::echoes(pair, echo.identifier, target).ok()?;
            self.make_room(account, party).then(|| self.flows.add(key, account, party, Flow::Datagrams(flow)))?
        });
        if let Some(slot) = slot
            && let Some(Flow::Datagrams(flow)) = self.flows.get(slot)
        {
            flow.ask(echo, &mut self.rx_queue);
            let deadline_ns = flow.deadline_ns();
            self.flows.set_deadline(slot, deadline_ns);
        }
    }
}
