//! The driver of sockets, with a model of their owner: two machines on a cable, in a time of their own.

#![cfg(feature = "internet")]

mod losses;
mod neighbours;

use husk::abi::device::{Address, Network, source};
use husk::internet::Error;
use husk::internet::connection::{Connection, Observed};
use husk::internet::datagrams::Datagrams;
use husk::internet::driver::{Admission, Device, Owner, Transport};
use husk::internet::report::Report;
use husk::internet::stack::Stack;
use husk::internet::wire::{Sender, Wire};
use husk::wait::Source;
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

const MILLISECOND: u64 = 1_000_000;
/// Longer than any timeout of a connection.
const LONG: u64 = 1_000_000 * MILLISECOND;
/// Port of listeners, and of sockets for datagrams.
const PORT: u16 = 7;

/// Frames that are on their way in one direction.
type Frames = Arc<Mutex<VecDeque<Vec<u8>>>>;

/// One end of a cable.
#[derive(Debug)]
struct End {
    number: u8,
    incoming: Frames,
    output: Output,
}

#[derive(Debug)]
struct Output {
    frames: Frames,
    /// Most frames that may be on their way.
    room: usize,
}

impl Sender for Output {
    fn has_room(&mut self) -> bool {
        self.frames.lock().expect("one thread").len() < self.room
    }

    fn send(&mut self, length: usize, _: u16, fill: &mut dyn FnMut(&mut [u8])) {
        if self.has_room() {
            let mut frame = vec![0; length];
            fill(&mut frame);
            self.frames.lock().expect("one thread").push_back(frame);
        }
    }
}

impl Source for End {
    fn ready(&mut self) -> bool {
        self.is_ready()
    }

    fn sleep(&mut self) -> bool {
        true
    }
}

impl Wire for End {
    fn address(&self) -> [u8; 6] {
        [2, 0, 0, 0, 0, self.number]
    }

    fn longest(&self) -> usize {
        1514
    }

    fn receive(&mut self, take: &mut dyn FnMut(&[u8], &mut dyn Sender)) -> bool {
        let Some(frame) = self.incoming.lock().expect("one thread").pop_front() else { return false };
        take(&frame, &mut self.output);
        true
    }

    fn sender(&mut self) -> &mut dyn Sender {
        &mut self.output
    }

    fn flush(&mut self) {}

    fn is_done(&mut self) -> bool {
        self.output.frames.lock().expect("one thread").is_empty()
    }

    fn is_ready(&mut self) -> bool {
        !self.incoming.lock().expect("one thread").is_empty()
    }

    fn source(&mut self) -> &mut dyn Source {
        self
    }
}

#[derive(Debug)]
enum Socket {
    Stream(Connection),
    Datagrams(Datagrams),
}

/// An owner that records what the driver reports.
#[derive(Debug, Default)]
struct Model {
    sockets: Vec<Option<Socket>>,
    /// Room for pending connections of the listener at [`PORT`], if there is one.
    backlog: Option<usize>,
    pending: VecDeque<u32>,
    /// Bytes of a buffer.
    buffer: usize,
    changes: Vec<(u32, Observed)>,
    has_room: Vec<u32>,
    removed: Vec<u32>,
    received: Vec<Vec<u8>>,
    refused: Vec<(SocketAddr, SocketAddr)>,
}

impl Model {
    fn insert(&mut self, socket: Socket) -> u32 {
        self.sockets.push(Some(socket));
        self.sockets.len() as u32 - 1
    }

    fn stream(&mut self, slot: u32) -> &mut Connection {
        match self.socket(slot) {
            Some(Transport::Tcp(connection)) => connection,
            _ => panic!("no connection in slot {slot}"),
        }
    }

    fn datagrams(&mut self, slot: u32) -> &mut Datagrams {
        match self.socket(slot) {
            Some(Transport::Udp(datagrams)) => datagrams,
            _ => panic!("no datagrams in slot {slot}"),
        }
    }

    fn end(&self, slot: u32) -> Option<Result<(), Error>> {
        self.changes.iter().find_map(|(at, observed)| observed.ended.filter(|_| *at == slot))
    }
}

impl Owner for Model {
    fn opening_maximum(&self) -> usize {
        4
    }

    fn socket(&mut self, slot: u32) -> Option<Transport<'_>> {
        Some(match self.sockets.get_mut(slot as usize)?.as_mut()? {
            Socket::Stream(connection) => Transport::Tcp(connection),
            Socket::Datagrams(datagrams) => Transport::Udp(datagrams),
        })
    }

    fn admission(&self, (to, _): (SocketAddr, SocketAddr)) -> Admission {
        match self.backlog.filter(|_| to.port() == PORT) {
            Some(backlog) if self.pending.len() < backlog => Admission::Open,
            Some(_) => Admission::Drop,
            None => Admission::Refuse,
        }
    }

    fn open(&mut self, ends: (SocketAddr, SocketAddr), _: usize) -> Option<u32> {
        Some(self.insert(Socket::Stream(Connection::new(ends, vec![0; self.buffer], vec![0; self.buffer]))))
    }

    fn accept(&mut self, slot: u32) -> bool {
        if self.backlog.is_some() {
            self.pending.push_back(slot);
        }
        self.backlog.is_some()
    }

    fn changed(&mut self, slot: u32, observed: &Observed) {
        self.changes.push((slot, *observed));
    }

    fn has_room(&mut self, slot: u32) {
        self.has_room.push(slot);
    }

    fn receive(
        &mut self,
        stack: &mut Stack,
        sender: &mut dyn Sender,
        frame: &[u8],
        (to, _): (SocketAddr, SocketAddr),
        now: u64,
    ) {
        let socket = self.sockets.iter_mut().flatten().find_map(|socket| match socket {
            Socket::Datagrams(datagrams) if to.port() == PORT => Some(datagrams),
            _ => None,
        });
        let Some(datagrams) = socket else { return stack.take(frame, sender, None, now) };
        datagrams.take(stack, frame, sender, now);
        while let Ok((bytes, _)) = datagrams.udp().recv() {
            self.received.push(bytes.to_vec());
        }
    }

    fn reported(&mut self, report: &Report, _: &[u8]) {
        self.refused.push((report.here, report.there));
    }

    fn remove(&mut self, slot: u32) {
        assert!(self.sockets[slot as usize].take().is_some(), "slot {slot} is released once");
        self.removed.push(slot);
    }
}

struct Machine {
    device: Device,
    incoming: Frames,
    outgoing: Frames,
    owner: Model,
    address: [u8; 4],
}

impl Machine {
    fn new(number: u8, incoming: &Frames, outgoing: &Frames) -> Self {
        let address = [10, 0, 0, number];
        let mut v4 = Address { prefix: 24, source: source::GIVEN, ..Address::default() };
        v4.address[..4].copy_from_slice(&address);
        let output = Output { frames: Arc::clone(outgoing), room: 1024 };
        let wire = End { number, incoming: Arc::clone(incoming), output };
        let mut v6 = Address { prefix: 64, source: source::GIVEN, ..Address::default() };
        (v6.address[0], v6.address[15]) = (0xfd, number);
        let network = Network { mac: wire.address(), mtu: 1500, v4, v6 };
        let device = Device::new(Box::new(wire), &network, number.into(), 0);
        let (incoming, outgoing) = (Arc::clone(incoming), Arc::clone(outgoing));
        Self { device, incoming, outgoing, owner: Model { buffer: 4096, ..Model::default() }, address }
    }

    fn poll(&mut self, now: u64) {
        if self.device.is_due(now) {
            self.device.poll(&mut self.owner, now);
        }
    }

    /// Starts to connect from a port to [`PORT`] of another machine.
    fn connect(&mut self, port: u16, to: [u8; 4], now: u64) -> u32 {
        let ends = ((self.address, port).into(), (to, PORT).into());
        let buffer = || vec![0; self.owner.buffer];
        let connection = Connection::new(ends, buffer(), buffer());
        let slot = self.owner.insert(Socket::Stream(connection));
        self.owner.stream(slot).connect(&mut self.device.stack, slot).expect("a free port");
        self.device.poll_socket(&mut self.owner, slot, now);
        slot
    }

    fn write(&mut self, slot: u32, bytes: &[u8], now: u64) {
        assert_eq!(self.owner.stream(slot).tcp().send_slice(bytes), Ok(bytes.len()));
        self.device.poll_socket(&mut self.owner, slot, now);
    }

    fn read(&mut self, slot: u32) -> Vec<u8> {
        let mut bytes = vec![0; 4096];
        let length = self.owner.stream(slot).tcp().recv_slice(&mut bytes).expect("open");
        bytes[..length].to_vec()
    }

    fn orphan(&mut self, slot: u32, by_reset: bool, now: u64) {
        self.device.orphan(&mut self.owner, slot, by_reset, now);
    }

    fn bind(&mut self) -> u32 {
        let datagrams = Datagrams::new(PORT, (4, 4096), (4, 4096)).expect("memory");
        self.owner.insert(Socket::Datagrams(datagrams))
    }

    fn send(&mut self, slot: u32, bytes: &[u8], to: [u8; 4], now: u64) -> Result<(), Error> {
        let ends = (self.address.into(), (to, PORT).into());
        let fill = |room: &mut [u8]| room.copy_from_slice(bytes);
        self.owner.datagrams(slot).send(1514, to.into(), ends, bytes.len(), fill)?;
        self.device.poll_socket(&mut self.owner, slot, now);
        Ok(())
    }
}

/// A client and a server on a cable.
struct Cable {
    client: Machine,
    server: Machine,
    now: u64,
}

impl Cable {
    fn new() -> Self {
        let (there, back) = (Frames::default(), Frames::default());
        Self { client: Machine::new(1, &back, &there), server: Machine::new(2, &there, &back), now: 0 }
    }

    /// Lets both machines work for a time, in steps of a millisecond at first and of a second later.
    fn run(&mut self, duration: u64) {
        let end = self.now + duration;
        while self.now < end {
            self.now += if end - self.now > 2000 * MILLISECOND { 1000 * MILLISECOND } else { MILLISECOND };
            self.client.poll(self.now);
            self.server.poll(self.now);
        }
    }

    /// Connects. Returns the connection's slots at the client and at the server.
    fn connected(&mut self) -> (u32, u32) {
        self.server.owner.backlog = Some(4);
        let slot = self.client.connect(50_000, self.server.address, self.now);
        self.run(20 * MILLISECOND);
        (slot, self.server.owner.pending.pop_front().expect("a connection"))
    }
}

#[test]
fn a_connection_carries_bytes_and_is_released_after_both_sides_have_closed_it() {
    let mut cable = Cable::new();
    let (client, server) = cable.connected();
    assert!(cable.client.owner.changes.iter().any(|(slot, observed)| *slot == client && observed.opened));
    cable.client.write(client, b"question", cable.now);
    cable.run(20 * MILLISECOND);
    assert_eq!(cable.server.read(server), b"question");
    cable.server.write(server, b"answer", cable.now);
    cable.server.orphan(server, false, cable.now);
    cable.run(20 * MILLISECOND);
    assert_eq!(cable.client.read(client), b"answer");
    assert!(cable.client.owner.changes.iter().any(|(_, observed)| observed.finished));
    assert!(cable.server.owner.removed.is_empty(), "the peer has not closed it");
    cable.client.orphan(client, false, cable.now);
    cable.run(LONG);
    assert_eq!((&cable.client.owner.removed[..], &cable.server.owner.removed[..]), (&[client][..], &[server][..]));
    assert!(cable.client.device.stack.connections.is_empty() && cable.server.device.stack.connections.is_empty());
}

#[test]
fn a_syn_without_a_listener_is_refused_and_one_without_room_is_tried_again() {
    let mut cable = Cable::new();
    let refused = cable.client.connect(50_000, cable.server.address, cable.now);
    cable.run(20 * MILLISECOND);
    assert_eq!(cable.client.owner.end(refused), Some(Err(Error::Refused)));

    cable.server.owner.backlog = Some(0);
    let patient = cable.client.connect(50_001, cable.server.address, cable.now);
    cable.run(500 * MILLISECOND);
    assert!(cable.client.owner.stream(patient).is_opening() && cable.server.owner.sockets.is_empty());
    cable.server.owner.backlog = Some(1);
    cable.run(10_000 * MILLISECOND);
    assert_eq!(cable.server.owner.pending.len(), 1);
    assert!(!cable.client.owner.stream(patient).is_opening());
}

#[test]
fn the_oldest_of_too_many_connections_that_peers_open_is_dropped_once_it_takes_too_long() {
    let mut cable = Cable::new();
    let (first, _) = cable.connected();
    cable.client.orphan(first, true, cable.now);
    cable.run(20 * MILLISECOND);
    let before = cable.server.owner.sockets.len() as u32;
    let syn = |cable: &mut Cable, port| {
        cable.client.connect(port, cable.server.address, cable.now);
        cable.server.poll(cable.now);
    };
    (50_001..50_006).for_each(|port| syn(&mut cable, port));
    assert_eq!((cable.server.owner.removed.len(), cable.server.device.stack.connections.len()), (0, 4));
    // The client gets no answers.
    cable.client.incoming.lock().expect("one thread").clear();
    cable.now += 600 * MILLISECOND;
    syn(&mut cable, 50_006);
    assert_eq!(cable.server.owner.removed, [before]);
    assert_eq!(cable.server.device.stack.connections.len(), 4);
}

#[test]
fn a_burst_of_connections_resets_none() {
    let mut cable = Cable::new();
    cable.server.owner.backlog = Some(12);
    let slots: Vec<u32> = (0..12).map(|n| cable.client.connect(50_000 + n, cable.server.address, cable.now)).collect();
    cable.run(900 * MILLISECOND);
    assert!(cable.server.owner.sockets.len() < slots.len(), "some have to wait");
    // Those repeat their SYN after one, two and four seconds.
    (0..10).for_each(|_| cable.run(1_000 * MILLISECOND));
    assert_eq!(cable.server.owner.pending.len(), slots.len());
    assert!(slots.iter().all(|slot| cable.client.owner.end(*slot).is_none()));
}

#[test]
fn a_connection_whose_listener_has_gone_is_reset() {
    let mut cable = Cable::new();
    cable.server.owner.backlog = Some(1);
    let slot = cable.client.connect(50_000, cable.server.address, cable.now);
    while cable.server.owner.sockets.is_empty() {
        cable.now += MILLISECOND;
        cable.client.poll(cable.now);
        cable.server.poll(cable.now);
    }
    cable.server.owner.backlog = None;
    cable.run(20 * MILLISECOND);
    assert_eq!(cable.client.owner.end(slot), Some(Err(Error::Reset)));
    assert_eq!((&cable.server.owner.removed[..], cable.server.owner.changes.len()), (&[0][..], 0));
}

#[test]
fn a_peer_that_falls_silent_ends_a_connection_by_a_timeout() {
    let mut cable = Cable::new();
    let (client, _) = cable.connected();
    cable.client.write(client, b"lost", cable.now);
    while cable.client.owner.end(client).is_none() {
        assert!(cable.now < LONG, "a timer ends it");
        cable.now += 1000 * MILLISECOND;
        cable.client.poll(cable.now);
    }
    assert_eq!(cable.client.owner.end(client), Some(Err(Error::TimedOut)));
    cable.client.orphan(client, false, cable.now);
    assert_eq!(cable.client.owner.removed, [client]);
}

#[test]
fn datagrams_wait_for_the_hardware_address_and_are_lost_beyond_the_queue() {
    let mut cable = Cable::new();
    let (from, _) = (cable.client.bind(), cable.server.bind());
    let to = cable.server.address;
    (0..9).for_each(|byte| assert_eq!(cable.client.send(from, &[byte], to, cable.now), Ok(())));
    cable.run(20 * MILLISECOND);
    assert_eq!(cable.server.owner.received, [[0], [1], [2], [3]], "none has left without the address");
    assert!(!cable.client.owner.datagrams(from).is_full());
    let long = cable.client.send(from, &[0; 1473], to, cable.now);
    assert_eq!(long, Err(Error::TooLong));
}

#[test]
fn the_refusal_of_a_datagram_is_reported_to_its_sender() {
    let mut cable = Cable::new();
    let from = cable.client.bind();
    cable.client.send(from, b"anybody?", cable.server.address, cable.now).expect("room");
    cable.run(20 * MILLISECOND);
    let ends = ((cable.client.address, PORT).into(), (cable.server.address, PORT).into());
    assert_eq!(cable.client.owner.refused, [ends]);
}
