//! Far end of one TCP connection of the guest's: a TCP/IP stack with one socket, which answers the guest's packets in the name
//! of the peer.
//!
//! Each connection has a stack of its own. So the cost of a packet does not depend on the number of connections, and no
//! connection can take another's packets.

#![expect(unsafe_code, reason = "the buffers are lent by the room that is dropped after them")]

use super::packet::Pair;
use super::room::Room;
use super::rx_queue::RxQueue;
use crate::host::time::monotonic_ns;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Checksum, ChecksumCapabilities, Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::tcp;
use smoltcp::time::Instant;
use smoltcp::wire::{HardwareAddress, IpAddress, IpCidr};
use std::net::IpAddr;

/// Bytes of the buffer for each direction of a connection that is opened beside `others`: less, the more there are, so that all
/// together stay below half a gigabyte, however much a guest or its peers leave unread.
pub const fn buffer(others: usize) -> usize {
    match others {
        ..64 => 256 << 10,
        64..1024 => 64 << 10,
        _ => 16 << 10,
    }
}

/// Longest TCP packet to the guest in bytes: long enough that packets are few, short enough that several are under way.
const PACKET: usize = 32 << 10;

/// Monotonic time in smoltcp's type.
pub fn now() -> Instant {
    Instant::from_micros((monotonic_ns() / 1000) as i64)
}

/// Stack of one connection.
pub struct Stack {
    interface: Interface,
    /// Declared before `_room`, which owns the buffers: fields are dropped in this order.
    sockets: SocketSet<'static>,
    handle: SocketHandle,
    _room: Room,
}

impl std::fmt::Debug for Stack {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Stack").finish_non_exhaustive()
    }
}

fn interface(address: IpAddr, rx_queue: &mut RxQueue) -> Interface {
    let mut config = Config::new(HardwareAddress::Ip);
    // Initial sequence numbers must not be predictable from outside; without random bytes, only the guest can predict them.
    let mut seed = [0; 8];
    let _ = getrandom::fill(&mut seed);
    config.random_seed = u64::from_ne_bytes(seed);
    let mut interface = Interface::new(config, &mut Port { packet: None, rx_queue }, now());
    interface.update_ip_addrs(|addresses| {
        // A prefix of 0 makes every address a neighbour. There is room for one address.
        let _ = addresses.push(IpCidr::new(IpAddress::from(address), 0));
    });
    interface
}

/// Answers a packet that belongs to no connection with a RST, like a machine without a listener.
pub fn refuse(pair: Pair, packet: &[u8], rx_queue: &mut RxQueue) {
    let mut interface = interface(pair.far.ip(), rx_queue);
    let mut none = SocketSet::new(Vec::new());
    interface.poll_ingress_single(now(), &mut Port { packet: Some(packet), rx_queue }, &mut none);
}

impl Stack {
    fn new(pair: Pair, room: usize, rx_queue: &mut RxQueue) -> Option<Self> {
        let room = Room::new(room)?;
        // SAFETY: the room is new, so this is the first call; the stack drops it after the socket, which never leaves the
        // stack.
        let [incoming, outgoing] = unsafe { room.buffers() };
        let mut socket = tcp::Socket::new(tcp::SocketBuffer::new(incoming), tcp::SocketBuffer::new(outgoing));
        // No Nagle: data of the host is sent at once. No delayed ACK: the guest's data is acknowledged as soon as a batch of it
        // has been processed.
        socket.set_nagle_enabled(false);
        socket.set_ack_delay(None);
        let mut sockets = SocketSet::new(Vec::new());
        let handle = sockets.add(socket);
        Some(Self { interface: interface(pair.far.ip(), rx_queue), sockets, handle, _room: room })
    }

    /// Creates the far end of a connection that the guest opens with `packet`, with buffers of `room` bytes; `None` if the
    /// packet does not open one.
    pub fn accept(pair: Pair, room: usize, packet: &[u8], rx_queue: &mut RxQueue) -> Option<Self> {
        let mut stack = Self::new(pair, room, rx_queue)?;
        stack.socket().listen(pair.far).ok()?;
        stack.take(packet, rx_queue);
        (stack.socket().state() == tcp::State::SynReceived).then_some(stack)
    }

    /// Creates the far end of a connection that is opened to the guest, with buffers of `room` bytes.
    pub fn connect(pair: Pair, room: usize, rx_queue: &mut RxQueue) -> Option<Self> {
        let mut stack = Self::new(pair, room, rx_queue)?;
        let context = stack.interface.context();
        let socket = stack.sockets.get_mut::<tcp::Socket<'_>>(stack.handle);
        socket.connect(context, pair.guest, pair.far).ok()?;
        Some(stack)
    }

    /// Socket of the connection.
    pub fn socket(&mut self) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(self.handle)
    }

    /// Takes a packet of the guest's.
    pub fn take(&mut self, packet: &[u8], rx_queue: &mut RxQueue) {
        self.interface.poll_ingress_single(now(), &mut Port { packet: Some(packet), rx_queue }, &mut self.sockets);
    }

    /// Sends the packets that are due, as far as the rx_queue has room.
    pub fn give(&mut self, rx_queue: &mut RxQueue) {
        while rx_queue.has_room() {
            let port = &mut Port { packet: None, rx_queue };
            if self.interface.poll_egress(now(), port, &mut self.sockets) == smoltcp::iface::PollResult::None {
                break;
            }
        }
    }

    /// Monotonic time at which a timer of the stack expires, in nanoseconds.
    pub fn deadline_ns(&mut self) -> u64 {
        let at = self.interface.poll_at(now(), &self.sockets);
        at.map_or(u64::MAX, |at| (at.total_micros().max(0) as u64).saturating_mul(1000))
    }
}

/// Network device between a stack and the rx_queue.
struct Port<'a> {
    packet: Option<&'a [u8]>,
    rx_queue: &'a mut RxQueue,
}

struct Taken<'a>(&'a [u8]);
struct Populated<'a>(&'a mut RxQueue);

impl Device for Port<'_> {
    type RxToken<'a>
        = Taken<'a>
    where
        Self: 'a;
    type TxToken<'a>
        = Populated<'a>
    where
        Self: 'a;

    fn receive(&mut self, _: Instant) -> Option<(Taken<'_>, Populated<'_>)> {
        self.packet.take().map(|packet| (Taken(packet), Populated(self.rx_queue)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Populated<'_>> {
        self.rx_queue.has_room().then_some(Populated(self.rx_queue))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut checksum = ChecksumCapabilities::default();
        // Only transmit checksums: memory does not corrupt packets, so received ones are not verified.
        (checksum.ipv4, checksum.tcp) = (Checksum::Tx, Checksum::Tx);
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = (Medium::Ip, PACKET);
        capabilities.checksum = checksum;
        capabilities
    }
}

impl RxToken for Taken<'_> {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(self.0)
    }
}

impl TxToken for Populated<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        self.0.push_packet(length, fill)
    }
}
