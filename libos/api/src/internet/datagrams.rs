//! Datagrams of one port: smoltcp sockets in a set of their own. Most datagrams leave at once; the others wait for the hardware
//! address of their receiver, or for room in the device.
//!
//! smoltcp sends the datagrams of a socket in order, so that one for a machine that does not answer would hold up those behind it.
//! Therefore datagrams that wait for different receivers are in different sockets, and are dropped after the time of three requests
//! for the hardware address, as by Linux.

use super::stack::{AGAIN, Stack};
use super::wire::Sender;
use super::{Error, buffer};
use alloc::vec;
use alloc::vec::Vec;
use core::fmt;
use core::net::{IpAddr, Ipv4Addr, SocketAddr};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::phy::PacketMeta;
use smoltcp::socket::udp;

/// Most datagrams that wait in a queue, and most bytes of them.
pub const QUEUE: (usize, usize) = (64, 128 << 10);
/// Most receivers for whose hardware addresses a socket's datagrams wait.
const LANES: usize = 8;
/// Longest wait for a hardware address, in nanoseconds: three requests, one a second.
const RESOLUTION: u64 = 3_000_000_000;
/// Bytes of the headers of a datagram: Ethernet, IPv4 or IPv6, UDP.
const HEADERS: usize = 14 + 20 + 8;
const HEADERS_V6: usize = 14 + 40 + 8;

/// Queues of a socket for datagrams.
pub struct Datagrams {
    set: SocketSet<'static>,
    /// Socket that receives.
    handle: SocketHandle,
    port: u16,
    /// Most datagrams, and bytes of them, that wait to be sent to one receiver.
    room: (usize, usize),
    /// Sockets that send: none before the first datagram, several while datagrams wait for several receivers.
    lanes: Vec<Lane>,
    marks: Marks,
    /// Time of the timer, in nanoseconds; `u64::MAX` for none.
    alarm: u64,
    /// True if the program has found the send queue full.
    full: bool,
    /// True if the device had no room at the last attempt to send.
    lacks_room: bool,
    /// True if the socket is in the stack's list `stalled`.
    stalled: bool,
}

/// Fields of the IP header that a sender chooses.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Marks {
    /// Hop limit (IPv4: time to live); `None` for the stack's default.
    pub hops: Option<u8>,
    /// Traffic class (IPv4: type of service).
    pub class: u8,
}

/// Socket that sends the datagrams for one neighbour, with one hop limit.
struct Lane {
    handle: SocketHandle,
    /// Neighbour that the datagrams in the queue are sent to.
    to: IpAddr,
    /// Their hop limit.
    hops: Option<u8>,
    /// Bytes that would be in the queue if none had left since the last attempt, and the time in nanoseconds since which none has;
    /// zeros if it is empty.
    left: (usize, u64),
}

impl fmt::Debug for Datagrams {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Datagrams").field("full", &self.full).finish_non_exhaustive()
    }
}

/// Returns a queue for this number of datagrams, and this number of bytes of them.
fn queue((count, length): (usize, usize)) -> Result<udp::PacketBuffer<'static>, Error> {
    let mut entries = Vec::new();
    entries.try_reserve_exact(count).map_err(|_| Error::NoMemory)?;
    entries.resize(count, udp::PacketMetadata::EMPTY);
    Ok(udp::PacketBuffer::new(entries, buffer(length)?))
}

/// Returns a socket at a port, with these queues for receiving and sending.
fn socket(port: u16, receive: (usize, usize), send: (usize, usize)) -> Result<udp::Socket<'static>, Error> {
    let mut socket = udp::Socket::new(queue(receive)?, queue(send)?);
    socket.bind(port).map_err(|_| Error::PortTaken)?;
    Ok(socket)
}

impl Datagrams {
    /// Returns a socket at a port, with queues of this number of datagrams and bytes.
    pub fn new(port: u16, receive: (usize, usize), send: (usize, usize)) -> Result<Self, Error> {
        let mut set = SocketSet::new(vec![]);
        let handle = set.add(socket(port, receive, (0, 0))?);
        let (lanes, marks, alarm) = (Vec::new(), Marks::default(), u64::MAX);
        let (full, lacks_room, stalled) = (false, false, false);
        Ok(Self { set, handle, port, room: send, lanes, marks, alarm, full, lacks_room, stalled })
    }

    /// Returns the stack's socket that receives.
    pub fn udp(&mut self) -> &mut udp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    /// Sets what the headers of the datagrams that are sent next contain.
    pub const fn set_marks(&mut self, marks: Marks) {
        self.marks = marks;
    }

    /// Returns true if the program has found the send queue full, and there has been no room since.
    pub const fn is_full(&self) -> bool {
        self.full
    }

    /// Returns true if all datagrams have left.
    pub fn is_sent(&self) -> bool {
        self.lanes.iter().all(|lane| self.is_empty(lane))
    }

    fn is_empty(&self, lane: &Lane) -> bool {
        self.set.get::<udp::Socket<'_>>(lane.handle).is_send_queue_empty()
    }

    /// Returns the lane for a datagram to the neighbour `to`: the one with others for it, else an empty one, else the one in which
    /// nothing has moved for longest, whose datagrams are dropped.
    fn lane(&mut self, to: IpAddr) -> Result<&mut Lane, Error> {
        let hops = self.marks.hops;
        let same = self.lanes.iter().position(|lane| (lane.to, lane.hops) == (to, hops) && !self.is_empty(lane));
        if let Some(at) = same.or_else(|| self.lanes.iter().position(|lane| self.is_empty(lane))) {
            (self.lanes[at].to, self.lanes[at].hops) = (to, hops);
            return Ok(&mut self.lanes[at]);
        }
        if self.lanes.len() == LANES
            && let Some(stuck) = (0..LANES).min_by_key(|at| self.lanes[*at].left.1)
        {
            self.set.remove(self.lanes.swap_remove(stuck).handle);
        }
        self.lanes.try_reserve(1).map_err(|_| Error::NoMemory)?;
        let handle = self.set.add(socket(self.port, (0, 0), self.room)?);
        let at = self.lanes.len();
        self.lanes.push(Lane { handle, to, hops, left: (0, 0) });
        Ok(&mut self.lanes[at])
    }

    /// Queues a datagram of `length` bytes that `fill` writes, in a frame of at most `longest` bytes, for the `neighbour` that it is
    /// sent to. Returns the result of `fill`; [`Error::NotYet`] without room in the device. A datagram for a neighbour that has to
    /// answer first is lost if there are too many others.
    pub fn send<T>(
        &mut self,
        longest: usize,
        neighbour: IpAddr,
        (from, to): (IpAddr, SocketAddr),
        length: usize,
        fill: impl FnOnce(&mut [u8]) -> T,
    ) -> Result<T, Error> {
        if length + if to.is_ipv4() { HEADERS } else { HEADERS_V6 } > longest {
            return Err(Error::TooLong);
        }
        let local_address = Some(from.into());
        let mut meta = udp::UdpMetadata { endpoint: to.into(), local_address, meta: PacketMeta::default() };
        let Marks { hops, class } = self.marks;
        meta.meta.traffic_class = class;
        let handle = self.lane(neighbour)?.handle;
        let socket = self.set.get_mut::<udp::Socket<'_>>(handle);
        socket.set_hop_limit(hops);
        match socket.send(length, meta) {
            Ok(room) => {
                let filled = fill(room);
                self.lanes.iter_mut().filter(|lane| lane.handle == handle).for_each(|lane| lane.left.0 += length);
                Ok(filled)
            }
            Err(udp::SendError::Unaddressable) => Err(Error::Unreachable),
            Err(udp::SendError::BufferFull) if self.lacks_room || length > self.room.1 => {
                self.full = true;
                Err(Error::NotYet)
            }
            Err(udp::SendError::BufferFull) => {
                let mut lost = Vec::new();
                lost.try_reserve_exact(length).map_err(|_| Error::NoMemory)?;
                lost.resize(length, 0);
                Ok(fill(&mut lost))
            }
        }
    }

    /// Returns true if datagrams wait for room in the device, so that a run of others would not find room all together.
    pub fn is_backed_up(&mut self) -> bool {
        self.full |= self.lacks_room && !self.is_sent();
        self.full
    }

    /// Processes a frame for this port.
    pub fn take(&mut self, stack: &mut Stack, frame: &[u8], sender: &mut dyn Sender, now: u64) {
        stack.take(frame, sender, Some(&mut self.set), now);
    }

    /// Sends the datagrams that can leave, and schedules a retry as socket `slot` for the others. Returns true if there is room
    /// again after an attempt that found none.
    pub(super) fn poll(&mut self, stack: &mut Stack, sender: &mut dyn Sender, slot: u32, now: u64) -> bool {
        if self.alarm <= now {
            self.alarm = u64::MAX;
        }
        let at = stack.send(sender, &mut self.set, now).at;
        self.lacks_room = !sender.has_room();
        self.drop_overdue(now);
        if !self.is_sent() {
            self.alarm = stack.schedule(slot, self.alarm, at.map(|at| at.max(now + AGAIN)));
            stack.stall(slot, sender, IpAddr::V4(Ipv4Addr::UNSPECIFIED), &mut self.stalled);
        }
        !self.lacks_room && core::mem::take(&mut self.full)
    }

    /// Drops datagrams whose receiver has not answered in time, and the lanes that are not needed any more.
    fn drop_overdue(&mut self, now: u64) {
        let (mut empty, set, lacks_room) = (0, &mut self.set, self.lacks_room);
        self.lanes.retain_mut(|lane| {
            let socket = set.get::<udp::Socket<'_>>(lane.handle);
            let (waiting, is_empty) = (socket.send_queue(), socket.is_send_queue_empty());
            let (before, since) = lane.left;
            let is_stuck = waiting >= before && since > 0 && !lacks_room;
            lane.left = if is_empty { (0, 0) } else { (waiting, if is_stuck { since } else { now }) };
            empty += usize::from(is_empty);
            let stays = if is_empty { empty == 1 } else { now - lane.left.1 < RESOLUTION };
            if !stays {
                set.remove(lane.handle);
            }
            stays
        });
    }

    /// Records that the socket has left the list `stalled`.
    pub(super) const fn unstall(&mut self) {
        self.stalled = false;
    }
}
