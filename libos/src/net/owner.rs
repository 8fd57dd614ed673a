//! What events of the network device mean to the sockets here: see [`husk::internet::driver`].

use super::options::Options;
use super::{Net, Protocol, Socket, SocketKey, State};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::buffers::Buffers;
use crate::fs::ready::Ready;
use crate::fs::socket::address::Arrival;
use crate::memory::{MEMORY, heap};
use crate::notices::{self, notice};
use alloc::boxed::Box;
use core::net::SocketAddr;
use core::ops::RangeInclusive;
use husk::internet::Error;
use husk::internet::connection::{Connection, Observed, buffer_length};
use husk::internet::datagrams::Datagrams;
use husk::internet::driver::{Admission, Transport};
use husk::internet::frame;
use husk::internet::report::Report;
use husk::internet::stack::Stack;
use husk::internet::wire::Sender;

/// The largest buffer of a connection, in bytes.
const BUFFER_MAXIMUM: u64 = 1 << 20;
/// Connections assumed in addition to the existing ones, when half of the free memory is divided among them.
const SHARES: u64 = 32;

/// Bytes of memory for each connection that a peer may be opening, and the bounds of their number. The upper one is that of
/// connections that wait to be accepted: `listen` allows no longer queue.
const OPENING_SHARE: u64 = 64 << 10;
const OPENING: RangeInclusive<u64> = 1024..=4096;

/// The sockets, and the files to which they report their readiness. The device is with the driver meanwhile.
pub(super) struct Owner<'a> {
    pub(super) net: &'a mut Net,
    pub(super) files: &'a mut Files,
}

impl husk::internet::driver::Owner for Owner<'_> {
    fn opening_maximum(&self) -> usize {
        let memory = MEMORY.lock().size().1;
        (memory / OPENING_SHARE).clamp(*OPENING.start(), *OPENING.end()) as usize
    }

    fn socket(&mut self, slot: u32) -> Option<Transport<'_>> {
        let key = self.net.sockets.key_at(slot)?;
        let socket = &mut self.net.sockets[key];
        match &mut socket.state {
            State::Remote { connection, .. } => Some(Transport::Tcp(connection)),
            _ => socket.tx_queue.as_deref_mut().map(Transport::Udp),
        }
    }

    fn admission(&self, (to, from): (SocketAddr, SocketAddr)) -> Admission {
        match self.net.listener_at(to, from).and_then(|listener| self.net.sockets[listener].listener()) {
            Some(listener) if listener.is_full() => Admission::Drop,
            Some(_) => Admission::Open,
            None => {
                if self.net.listens_on_loopback(to.port()) {
                    notices::give_once(notice::LOOPBACK_ONLY, to.port().into());
                }
                Admission::Refuse
            }
        }
    }

    fn open(&mut self, (to, from): (SocketAddr, SocketAddr), count: usize) -> Option<u32> {
        let listener = &self.net.sockets[self.net.listener_at(to, from)?];
        let (options, family) = (listener.options.try_clone().ok()?, listener.family);
        let connection = connection((to, from), &options, count).ok()?;
        let socket = Socket {
            local: Some(to),
            remote: Some(from),
            state: State::Remote { connection, reported: true },
            options,
            ..Socket::new(Protocol::Tcp, family)
        };
        self.net.sockets.insert(socket).ok().map(SocketKey::index)
    }

    fn accept(&mut self, slot: u32) -> bool {
        let Some(key) = self.net.sockets.key_at(slot) else { return false };
        let ends = self.net.sockets[key].connection().map(|connection| connection.ends());
        let Some(listener) = ends.and_then(|(to, from)| self.net.listener_at(to, from)) else { return false };
        let Some(behind) = self.net.sockets[listener].listener_mut() else { return false };
        if behind.pending.try_reserve(1).is_err() {
            return false;
        }
        behind.pending.push_back(key);
        self.net.report_ready(self.files, listener, Ready::IN);
        true
    }

    fn changed(&mut self, slot: u32, observed: &Observed) {
        let Some(key) = self.net.sockets.key_at(slot) else { return };
        let socket = &mut self.net.sockets[key];
        let mut news = Ready::empty();
        news.set(Ready::IN, observed.readable);
        news.set(Ready::OUT, observed.writable);
        if observed.finished {
            (socket.finished, socket.read_shut) = (true, true);
            news |= Ready::IN | Ready::READ_HANG_UP | Ready::HANG_UP;
        }
        if let Some(ended) = observed.ended {
            if let Err(error) = ended {
                let error = match error {
                    Error::TimedOut => Errno::ETIMEDOUT,
                    Error::Refused => Errno::ECONNREFUSED,
                    Error::Unreachable => socket.unreached(),
                    _ if socket.finished => Errno::EPIPE,
                    _ => Errno::ECONNRESET,
                };
                (socket.read_shut, socket.write_shut, socket.error) = (true, true, Some(error));
            }
            if observed.opened {
                (socket.remote, socket.state) = (None, State::Closed);
            }
            news = Ready::all();
        }
        if !news.is_empty() {
            self.net.report_ready(self.files, key, news);
        }
    }

    fn has_room(&mut self, slot: u32) {
        if let Some(key) = self.net.sockets.key_at(slot) {
            self.net.report_ready(self.files, key, Ready::OUT);
        }
    }

    fn receive(
        &mut self,
        stack: &mut Stack,
        sender: &mut dyn Sender,
        frame: &[u8],
        (to, from): (SocketAddr, SocketAddr),
        now: u64,
    ) {
        let Some(receiver) = self.net.receiver_at(to, from) else { return stack.take(frame, sender, None, now) };
        // The stack checks the datagram, and its bytes go into the queue of the socket. Without memory it is dropped.
        let Ok(mut checked) = Datagrams::new(to.port(), (1, frame.len()), (0, 0)) else { return };
        checked.take(stack, frame, sender, now);
        let Ok((bytes, meta)) = checked.udp().recv() else { return };
        let (from, datagram) = (meta.endpoint.into(), (Buffers::own(bytes), bytes.len()));
        let arrival = Arrival::new(to.ip(), frame::class(frame), frame::hops(frame));
        let _ = match to.ip().is_multicast() {
            true => self.net.deliver_to_group(self.files, (datagram.0, None), (from, to), arrival),
            false => match self.net.join_datagram(self.files, receiver, datagram, from, arrival) {
                Ok(false) => self.net.deliver(self.files, receiver, datagram, from, arrival),
                joined => joined.map(drop),
            },
        };
    }

    fn reported(&mut self, report: &Report, payload: &[u8]) {
        if let Some(key) = self.net.receiver_at(report.here, report.there) {
            self.net.fail_datagram(self.files, key, report.there, (report.from, report.reason), Buffers::own(payload));
        }
    }

    fn remove(&mut self, slot: u32) {
        if let Some(key) = self.net.sockets.key_at(slot) {
            self.net.free(self.files, key);
        }
    }
}

/// Returns a connection with these options between `ends`, the local one first, when there are `count`.
pub(super) fn connection(
    ends: (SocketAddr, SocketAddr),
    options: &Options,
    count: usize,
) -> Result<Box<Connection>, Errno> {
    let length = buffer_length(MEMORY.lock().size().1, count, SHARES, BUFFER_MAXIMUM);
    let mut connection = Box::new(Connection::new(ends, heap::zeros(length)?, heap::zeros(length)?));
    options.apply(&mut connection, husk::clock::monotonic_ns());
    Ok(connection)
}
