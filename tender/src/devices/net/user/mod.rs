//! User-mode network: a guest reaches the world through ordinary sockets of the host, without any privilege.
//!
//! The tender plays every peer of the guest. It parses the guest's frames (`packet`), terminates its TCP connections in a stack
//! of its own (`stack`) and passes their data on to a socket of the host (`tcp`). Datagrams and echo requests go through
//! sockets too (`datagrams`), and so do DNS queries (`dns`); requests to the network itself are answered here (`local`).
//! Clients of published ports (`listen`) connect in the other direction. [`addresses`] lists the addresses; [`policy`] decides
//! where the guest may connect.
//!
//! Fragments are dropped: a guest that heeds the MTU, which is that of the longest packet, sends none.
//!
//! All resources are bounded: the number of flows (`budget`), the bytes buffered in each, and those that wait for the guest
//! (`rx_queue`).

pub mod addresses;
mod budget;
mod datagrams;
mod destination;
mod dns;
mod flows;
#[cfg(any(test, fuzzing))]
pub mod fuzz;
mod inbound;
mod listen;
mod local;
mod outbound;
mod packet;
mod pktinfo;
pub mod policy;
pub mod publish;
mod room;
mod routes;
mod rx_queue;
mod stack;
mod tcp;

use super::wire::{Received, Wire};
use crate::confine::Descriptors;
use crate::devices::copy::{self, Unreachable};
use crate::devices::device::NotSaved;
use crate::devices::ring::Parts;
use crate::host::resolver::Resolver;
use crate::host::time::monotonic_ns;
use crate::limits::rlimit;
use budget::{Admission, Party};
use dns::servers::Servers;
use flows::{Account, Flow, Flows};
use husk_abi::device::{Offers, Offload};
use listen::Listener;
use packet::{Packet, Pair};
use policy::Policy;
use publish::Publish;
use routes::Routes;
use rx_queue::RxQueue;
use socket2::TcpKeepalive;
use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};
use std::ops::RangeInclusive;
use std::os::fd::RawFd;
use std::time::Duration;
use tcp::Next;

/// Most bytes of a frame without its header: enough for the longest datagram.
pub const MTU: u16 = 65_520;
/// Idle time after which a client of a published UDP port is forgotten, in nanoseconds.
const CLIENT_NS: u64 = 120_000_000_000;
/// Default of `--net-keepalive`.
const KEEPALIVE: Duration = Duration::from_secs(60);
/// Values of `--net-keepalive` that the kernel takes (TCP_KEEPIDLE).
pub const KEEPALIVES: RangeInclusive<Duration> = Duration::from_secs(1)..=Duration::from_secs(9 * 3600);
/// Default of `--net-idle`: the least that RFC 5382 allows a NAT (REQ-5).
const IDLE: Duration = Duration::from_secs(124 * 60);
/// Number of keep-alive probes; the interval between them is the time before the first divided by it.
const PROBES: u32 = 4;

/// Options of a user-mode network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Ports of the host that lead to the guest.
    pub publish: Vec<Publish>,
    /// Rules on where the guest may connect.
    pub policy: Policy,
    /// Name servers in place of the host's.
    pub name_servers: Vec<IpAddr>,
    /// Time of silence after which a peer is probed (TCP keepalive); `None` for never.
    pub keepalive: Option<Duration>,
    /// Longest idle time of a connection, if there is a limit.
    pub idle: Option<Duration>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            publish: vec![],
            policy: Policy::default(),
            name_servers: vec![],
            keepalive: Some(KEEPALIVE),
            idle: Some(IDLE),
        }
    }
}

impl Options {
    /// Name servers: the user's, else the host's.
    fn servers(&self) -> Servers {
        let host = Resolver::of_host();
        let addresses = if self.name_servers.is_empty() { host.servers() } else { self.name_servers.clone() };
        Servers::new(addresses, host.timeout())
    }

    /// Keepalive options of TCP sockets, by which the host detects that a peer has vanished.
    fn probes(&self) -> Option<TcpKeepalive> {
        let silent = self.keepalive?;
        let interval = (silent / PROBES).max(Duration::from_secs(1));
        Some(TcpKeepalive::new().with_time(silent).with_interval(interval).with_retries(PROBES))
    }
}

/// Network of one guest.
#[derive(Debug)]
pub struct Network {
    flows: Flows,
    rx_queue: RxQueue,
    policy: Policy,
    /// Routing table of the host, to find its own addresses; absent only if the rules allow the host.
    routes: Option<Routes>,
    /// Name servers of the host.
    servers: Servers,
    /// Flows that have work to do.
    busy: BTreeSet<usize>,
    /// Published ports with clients that wait for a place.
    held_back: BTreeSet<usize>,
    keepalive: Option<TcpKeepalive>,
    /// Longest idle time of a connection, in nanoseconds.
    idle_ns: u64,
    frame: Vec<u8>,
    /// Buffer for received datagrams.
    payload: Vec<u8>,
}

impl Network {
    /// Creates the network, and publishes its ports.
    pub fn open(options: &Options, guest_mac: [u8; 6]) -> Result<Self, String> {
        copy::prepare();
        let descriptors = allow_descriptors().saturating_sub(options.publish.len());
        let mut flows = Flows::new(descriptors).map_err(|error| format!("the host gives no descriptor: {error}"))?;
        let keepalive = options.probes();
        for publish in &options.publish {
            let listener = Listener::open(*publish, keepalive.as_ref())?;
            flows.add_listener(listener).ok_or("too many ports are published")?;
        }
        let routes = match Routes::open() {
            Ok(routes) => Some(routes),
            Err(_) if options.policy.allows_host() => None,
            Err(error) => {
                return Err(format!(
                    "the host does not give its own addresses, which the guest is kept from (AF_NETLINK: {error}); \
                     --allow host lets it connect to them"
                ));
            }
        };
        Ok(Self {
            flows,
            rx_queue: RxQueue::new(guest_mac),
            routes,
            policy: options.policy.clone(),
            servers: options.servers(),
            busy: BTreeSet::new(),
            held_back: BTreeSet::new(),
            keepalive,
            idle_ns: options.idle.map_or(u64::MAX, |idle| idle.as_nanos().try_into().unwrap_or(u64::MAX)),
            frame: Vec::new(),
            payload: Vec::new(),
        })
    }

    /// Takes any frame of the guest's.
    fn take(&mut self, frame: &[u8]) {
        let Some((packet, mac)) = Packet::parse(frame) else { return };
        self.rx_queue.guest_mac = mac;
        match packet {
            Packet::WhoHas4 { from, wanted } => local::who_has_v4(from, wanted, &mut self.rx_queue),
            Packet::WhoHas6 { from, wanted } => local::who_has_v6(from, wanted, &mut self.rx_queue),
            Packet::WhoRoutes { from } => local::who_routes(from, &mut self.rx_queue),
            Packet::Udp { pair, payload } if is_dhcp(&pair) => local::dhcp(payload, &mut self.rx_queue),
            Packet::Tcp { pair, opens, resets, packet } if addresses::is_guest(pair.guest.ip()) => {
                self.segment(pair, opens, resets, packet);
            }
            Packet::Udp { pair, payload } if addresses::is_guest(pair.guest.ip()) => self.datagram(pair, payload),
            Packet::Echo(echo) if addresses::is_guest(echo.guest) => self.echo(&echo),
            _ => {}
        }
    }

    /// Makes room in `account` for a flow of `party`; returns true if there is room.
    fn make_room(&mut self, account: Account, party: Party) -> bool {
        match self.flows.admit(account, Some(party)) {
            Admission::Room => true,
            Admission::Refused => false,
            Admission::InsteadOf(slot) => {
                self.break_off(slot);
                true
            }
        }
    }

    /// Ends a flow for a reason of the tender's: neither side has asked for it.
    fn break_off(&mut self, slot: usize) {
        if let Some(Flow::Stream(flow)) = self.flows.get(slot) {
            flow.abort(&mut self.rx_queue);
        }
        self.end(slot);
    }

    fn end(&mut self, slot: usize) {
        self.busy.remove(&slot);
        if self.flows.account(slot) == Some(Account::InboundTcp) {
            // A place is free for a waiting client.
            self.busy.extend(&self.held_back);
        }
        self.flows.remove(slot);
    }

    /// Serves the flow in `slot`.
    fn serve(&mut self, slot: usize) {
        let now_ns = monotonic_ns();
        let next = match self.flows.get(slot) {
            Some(Flow::Stream(flow)) => match flow.serve(&mut self.rx_queue) {
                Next::Wait if flow.idle_until_ns(self.idle_ns) <= now_ns => return self.break_off(slot),
                next => next,
            },
            Some(Flow::Datagrams(flow)) => {
                let more = flow.serve(&mut self.rx_queue);
                if let Some(index) = flow.answered_by() {
                    self.servers.answered(index, now_ns);
                }
                match flow.deadline_ns() <= now_ns {
                    true => Next::Over,
                    false if more => Next::More,
                    false => Next::Wait,
                }
            }
            Some(Flow::Client { used_ns, .. }) if *used_ns + CLIENT_NS <= now_ns => Next::Over,
            Some(Flow::Client { .. }) | None => Next::Wait,
            Some(Flow::Listener(_)) => self.welcome(slot),
        };
        self.reschedule(slot, next);
    }

    fn reschedule(&mut self, slot: usize, next: Next) {
        if let Some(Flow::Datagrams(flow)) = self.flows.get(slot)
            && flow.has_moved()
            && !self.flows.watch_again(slot)
        {
            return self.end(slot);
        }
        match next {
            Next::More => drop(self.busy.insert(slot)),
            Next::Over => return self.end(slot),
            Next::Wait => {}
        }
        let deadline_ns = match self.flows.get(slot) {
            Some(Flow::Stream(flow)) => flow.deadline_ns().min(flow.idle_until_ns(self.idle_ns)),
            Some(Flow::Datagrams(flow)) => flow.alarm_ns(),
            Some(Flow::Client { used_ns, .. }) => *used_ns + CLIENT_NS,
            // A listener sets its own deadline.
            Some(Flow::Listener(_)) | None => return,
        };
        self.flows.set_deadline(slot, deadline_ns);
    }
}

/// Raises the soft limit of descriptors to the hard limit, and returns the limit: most flows take one.
fn allow_descriptors() -> usize {
    const RESOURCE: i32 = libc::RLIMIT_NOFILE as i32;
    let Ok(limit) = rlimit::get(RESOURCE) else { return 0 };
    let most = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    let raised = rlimit::set(RESOURCE, most).is_ok();
    usize::try_from(if raised { most } else { limit }.rlim_cur).unwrap_or(usize::MAX)
}

fn is_dhcp(pair: &Pair) -> bool {
    let to_server = matches!(pair.far.ip(), IpAddr::V4(to) if to == Ipv4Addr::BROADCAST || to == addresses::v4(2));
    to_server && pair.far.port() == local::DHCP_PORT
}

impl Wire for Network {
    fn offers(&self) -> Offers {
        Offers::PUBLISHED
    }

    fn send(&mut self, frame: &Parts, _: Offload) -> Result<(), Unreachable> {
        let mut bytes = std::mem::take(&mut self.frame);
        bytes.clear();
        copy::from_guest(frame, &mut bytes)?;
        self.take(&bytes);
        self.frame = bytes;
        Ok(())
    }

    fn receive(&mut self, into: &Parts, _: bool) -> Result<Option<Received>, Unreachable> {
        let Some(frame) = self.rx_queue.first() else { return Ok(None) };
        let length = frame.len();
        let fits = length <= into.length();
        if fits {
            copy::to_guest(into, frame)?;
        }
        self.rx_queue.pop();
        Ok(Some(if fits { Received::Frame { length, checked: false } } else { Received::Dropped }))
    }

    fn work(&mut self) -> bool {
        if !self.rx_queue.has_room() {
            return false;
        }
        let ready = self.flows.ready();
        let mut done = !ready.is_empty();
        for slot in ready {
            if let Some(Flow::Stream(flow)) = self.flows.get(slot) {
                flow.mark_ready();
            }
            self.busy.insert(slot);
        }
        let now_ns = monotonic_ns();
        while let Some(slot) = self.flows.due(now_ns) {
            self.flows.set_deadline(slot, u64::MAX);
            self.busy.insert(slot);
        }
        for slot in std::mem::take(&mut self.busy) {
            done = true;
            match self.rx_queue.has_room() {
                true => self.serve(slot),
                false => drop(self.busy.insert(slot)),
            }
        }
        done
    }

    fn file(&self) -> RawFd {
        self.flows.file()
    }

    fn list(&self, descriptors: &mut Descriptors) {
        self.flows.list(descriptors);
        self.routes.iter().for_each(|routes| routes.list(descriptors));
    }

    fn not_saved(&self) -> Option<NotSaved> {
        Some(NotSaved::UserNetwork)
    }

    fn events(&self, _: bool) -> i16 {
        if self.rx_queue.has_room() { libc::POLLIN } else { 0 }
    }

    fn deadline_ns(&self) -> u64 {
        match (self.rx_queue.has_room(), self.busy.is_empty()) {
            // The guest has to take frames first.
            (false, _) => u64::MAX,
            (true, true) => self.flows.deadline_ns(),
            (true, false) => 0,
        }
    }
}

#[cfg(test)]
mod tests;
