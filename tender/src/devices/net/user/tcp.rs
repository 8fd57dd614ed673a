//! A TCP connection of the guest's and the socket of the host that it is passed on to.
//!
//! Both have buffers of a fixed size. What one side cannot take waits in the other's, whose window closes: so whoever
//! sends too fast is held up at the source.

use super::outbox::Outbox;
use super::packet::Pair;
use super::stack::{self, Stack};
use super::{addresses, dns};
use crate::time::monotonic_ns;
use smoltcp::socket::tcp::State;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

/// How often data is passed on before others have their turn.
const ROUNDS: usize = 8;
/// How long a connection may take to open on the guest's side, in nanoseconds.
const OPENING_NS: u64 = 60_000_000_000;
/// Deadlines for idle connections are this part of the limit apart: so that one does not change with each use.
const GRAIN: u64 = 16;

/// One connection.
#[derive(Debug)]
pub struct Flow {
    /// Its ends, as the guest sees them.
    pub pair: Pair,
    host: Socket,
    far: Far,
    /// Bytes of a buffer.
    room: usize,
    /// Whether the host's socket may have something to read, and room to write to.
    readable: bool,
    writable: bool,
    /// Whether each side has said all that it has to say, and the other has been told.
    host_ended: bool,
    guest_ended: bool,
    /// Monotonic time at which data was passed on last, in nanoseconds.
    used_ns: u64,
    /// The messages, if it leads to a name server.
    dns: Option<Box<dns::stream::Stream>>,
}

/// The far end, as the guest sees it.
#[derive(Debug)]
enum Far {
    /// The host's socket is not connected yet: the guest waits for an answer to this packet.
    Connecting(Vec<u8>),
    Open(Box<Stack>),
}

/// What is to become of a flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// It waits for somebody.
    Wait,
    /// There is more to do at once.
    More,
    /// It is over.
    Over,
}

impl Flow {
    /// Begins to connect to `target` for a guest that has asked for it with `packet`; with buffers of `room` bytes. Where it
    /// leads to decides what is passed on.
    pub fn open(
        pair: Pair,
        room: usize,
        packet: &[u8],
        target: SocketAddr,
        keepalive: Option<&TcpKeepalive>,
    ) -> io::Result<Self> {
        let host = Socket::new(Domain::for_address(target), Type::STREAM, Some(Protocol::TCP))?;
        host.set_nonblocking(true)?;
        match host.connect(&target.into()) {
            Err(error) if error.raw_os_error() != Some(libc::EINPROGRESS) => return Err(error),
            _ => {}
        }
        // What the guest sends in small pieces it means so.
        let _ = host.set_tcp_nodelay(true);
        if let Some(keepalive) = keepalive {
            let _ = host.set_tcp_keepalive(keepalive);
        }
        let dns = addresses::is_dns(pair.far).then(Box::default);
        Ok(Self { dns, ..Self::new(pair, room, host, Far::Connecting(packet.to_vec())) })
    }

    /// Passes a connection of the host's on to the guest; with buffers of `room` bytes.
    pub fn publish(pair: Pair, room: usize, host: Socket, outbox: &mut Outbox) -> Option<Self> {
        host.set_nonblocking(true).ok()?;
        let _ = host.set_tcp_nodelay(true);
        let stack = Stack::connect(pair, room, outbox)?;
        Some(Self::new(pair, room, host, Far::Open(Box::new(stack))))
    }

    fn new(pair: Pair, room: usize, host: Socket, far: Far) -> Self {
        let (readable, writable, host_ended, guest_ended) = (true, true, false, false);
        let used_ns = monotonic_ns();
        Self { pair, room, host, far, readable, writable, host_ended, guest_ended, used_ns, dns: None }
    }

    /// The host's socket.
    pub fn socket(&self) -> &Socket {
        &self.host
    }

    /// Monotonic time at which it was used last, in nanoseconds.
    pub fn used_ns(&self) -> u64 {
        self.used_ns
    }

    /// Takes a packet of the guest's.
    pub fn take(&mut self, packet: &[u8], resets: bool, outbox: &mut Outbox) -> Next {
        match &mut self.far {
            Far::Open(stack) => {
                stack.take(packet, outbox);
                Next::More
            }
            Far::Connecting(_) if resets => Next::Over,
            // It asks again.
            Far::Connecting(_) => Next::Wait,
        }
    }

    /// Something has happened to the host's socket.
    pub fn stir(&mut self) {
        (self.readable, self.writable) = (true, true);
    }

    /// Passes on what there is.
    pub fn serve(&mut self, outbox: &mut Outbox) -> Next {
        if let Far::Connecting(packet) = &self.far {
            match self.host.take_error() {
                Ok(None) if self.host.peer_addr().is_err() => return Next::Wait,
                Ok(None) => match Stack::accept(self.pair, self.room, packet, outbox) {
                    Some(stack) => self.far = Far::Open(Box::new(stack)),
                    None => return Next::Over,
                },
                _ => {
                    stack::refuse(self.pair, packet, outbox);
                    return Next::Over;
                }
            }
        }
        for _ in 0..ROUNDS {
            let moved = self.pass_to_guest() | self.pass_to_host();
            if moved {
                self.used_ns = monotonic_ns();
            }
            let Far::Open(stack) = &mut self.far else { return Next::Wait };
            stack.give(outbox);
            let socket = stack.socket();
            // What the guest has sent before is still to be passed on.
            if matches!(socket.state(), State::Closed | State::TimeWait) && socket.recv_queue() == 0 {
                self.pass_to_host();
                self.end();
                return Next::Over;
            }
            if !moved {
                // What the guest has not been sent for lack of room is to be sent later.
                return if outbox.has_room() { Next::Wait } else { Next::More };
            }
        }
        Next::More
    }

    /// Whether something was passed on.
    fn pass_to_guest(&mut self) -> bool {
        let Far::Open(stack) = &mut self.far else { return false };
        let socket = stack.socket();
        if !self.readable || self.host_ended || !socket.can_send() {
            return false;
        }
        let mut host = &self.host;
        let received = match &mut self.dns {
            Some(dns) => dns.receive(socket, &mut host),
            None => socket.send(|room| match host.read(room) {
                Ok(count) => (count, Ok(count)),
                Err(error) => (0, Err(error)),
            }),
        };
        match received {
            Ok(Ok(0)) => {
                self.host_ended = true;
                socket.close();
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.readable = false;
                return false;
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => socket.abort(),
        }
        true
    }

    /// Whether something was passed on.
    fn pass_to_host(&mut self) -> bool {
        let Far::Open(stack) = &mut self.far else { return false };
        let socket = stack.socket();
        if socket.recv_queue() == 0 && !self.dns.as_ref().is_some_and(|dns| dns.has_query()) {
            let has_ended =
                matches!(socket.state(), State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
            if has_ended && !self.guest_ended {
                self.guest_ended = true;
                let _ = self.host.shutdown(Shutdown::Write);
            }
            return false;
        }
        if !self.writable {
            return false;
        }
        let mut host = &self.host;
        let sent = match &mut self.dns {
            Some(dns) => dns.send(socket, &mut host),
            None => socket.recv(|data| match host.write(data) {
                Ok(count) => (count, Ok(())),
                Err(error) => (0, Err(error)),
            }),
        };
        match sent {
            Ok(Ok(())) => {}
            Ok(Err(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                self.writable = false;
                return false;
            }
            Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            _ => socket.abort(),
        }
        true
    }

    /// The guest's side is over: unless it was orderly, the host's peer is told so.
    fn end(&mut self) {
        if !(self.guest_ended && self.host_ended) {
            let _ = self.host.set_linger(Some(Duration::ZERO));
        }
    }

    /// Breaks it off, on both sides.
    pub fn abort(&mut self, outbox: &mut Outbox) {
        match &mut self.far {
            Far::Open(stack) => {
                stack.socket().abort();
                stack.give(outbox);
            }
            Far::Connecting(packet) => stack::refuse(self.pair, packet, outbox),
        }
        let _ = self.host.set_linger(Some(Duration::ZERO));
    }

    /// Monotonic time at which it has been idle for too long, if that is `idle_ns`; in nanoseconds.
    pub fn idle_until_ns(&mut self, idle_ns: u64) -> u64 {
        let is_opening = match &mut self.far {
            Far::Open(stack) => matches!(stack.socket().state(), State::SynSent | State::SynReceived),
            // The host knows how long that may take.
            Far::Connecting(_) => false,
        };
        let idle_ns = if is_opening { idle_ns.min(OPENING_NS) } else { idle_ns };
        let grain = (idle_ns / GRAIN).max(1);
        (self.used_ns / grain * grain).saturating_add(idle_ns).saturating_add(grain)
    }

    /// Monotonic time at which it must be served in any case, in nanoseconds.
    pub fn deadline_ns(&mut self) -> u64 {
        match &mut self.far {
            Far::Open(stack) => stack.deadline_ns(),
            Far::Connecting(_) => u64::MAX,
        }
    }
}
