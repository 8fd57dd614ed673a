//! A TCP connection of the guest's, and the host's socket that carries its data.
//!
//! Both have buffers of a fixed size. Data that one side cannot take waits in the other's buffer, and that side's window
//! closes: so a fast sender is throttled at the source.

use super::packet::Pair;
use super::rx_queue::RxQueue;
use super::stack::{self, Stack};
use super::{addresses, dns};
use crate::host::time::monotonic_ns;
use smoltcp::socket::tcp::State;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io::{self, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

/// Rounds of moving data before other flows get their turn.
const ROUNDS: usize = 8;
/// Longest time for a connection to open on the guest's side, in nanoseconds.
const OPENING_NS: u64 = 60_000_000_000;
/// Idle deadlines are rounded to this part of the limit, so that a deadline does not change with each use.
const GRAIN: u64 = 16;

/// A connection.
#[derive(Debug)]
pub struct Flow {
    /// Ends of the connection, as the guest sees them.
    pub pair: Pair,
    host: Socket,
    far: Far,
    /// Size of each buffer in bytes.
    room: usize,
    /// True if the host's socket may have data to read, and room to write to.
    readable: bool,
    writable: bool,
    /// True if each side has sent its FIN, and the other side has got it.
    host_ended: bool,
    guest_ended: bool,
    /// Monotonic time at which data was moved last, in nanoseconds.
    used_ns: u64,
    /// Parser of DNS messages, if the connection leads to a name server.
    dns: Option<Box<dns::stream::Stream>>,
}

/// Far end of the connection, as the guest sees it.
#[derive(Debug)]
enum Far {
    /// The host's socket is not connected yet: the guest waits for an answer to this packet (its SYN).
    Connecting(Vec<u8>),
    Open(Box<Stack>),
}

/// State of a flow after a round.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Next {
    /// No work until an event.
    Wait,
    /// More work is left.
    More,
    /// The connection is over.
    Over,
}

impl Flow {
    /// Starts to connect to `target` for a guest that sent the SYN `packet`; with buffers of `room` bytes. A connection to
    /// the name server carries only DNS messages.
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
        // No Nagle on the host's side: small segments of the guest are sent as they are.
        let _ = host.set_tcp_nodelay(true);
        if let Some(keepalive) = keepalive {
            let _ = host.set_tcp_keepalive(keepalive);
        }
        let dns = addresses::is_dns(pair.far).then(Box::default);
        Ok(Self { dns, ..Self::new(pair, room, host, Far::Connecting(packet.to_vec())) })
    }

    /// Opens a connection to the guest for a connection accepted by the host; with buffers of `room` bytes.
    pub fn publish(pair: Pair, room: usize, host: Socket, rx_queue: &mut RxQueue) -> Option<Self> {
        host.set_nonblocking(true).ok()?;
        let _ = host.set_tcp_nodelay(true);
        let stack = Stack::connect(pair, room, rx_queue)?;
        Some(Self::new(pair, room, host, Far::Open(Box::new(stack))))
    }

    fn new(pair: Pair, room: usize, host: Socket, far: Far) -> Self {
        let (readable, writable, host_ended, guest_ended) = (true, true, false, false);
        let used_ns = monotonic_ns();
        Self { pair, room, host, far, readable, writable, host_ended, guest_ended, used_ns, dns: None }
    }

    /// Socket of the host.
    pub fn socket(&self) -> &Socket {
        &self.host
    }

    /// Monotonic time at which data was moved last, in nanoseconds.
    pub fn used_ns(&self) -> u64 {
        self.used_ns
    }

    /// Takes a packet of the guest's.
    pub fn take(&mut self, packet: &[u8], resets: bool, rx_queue: &mut RxQueue) -> Next {
        match &mut self.far {
            Far::Open(stack) => {
                stack.take(packet, rx_queue);
                Next::More
            }
            Far::Connecting(_) if resets => Next::Over,
            // A retransmitted SYN.
            Far::Connecting(_) => Next::Wait,
        }
    }

    /// Marks the host's socket as readable and writable, after an event of it.
    pub fn mark_ready(&mut self) {
        (self.readable, self.writable) = (true, true);
    }

    /// Moves pending data both ways.
    pub fn serve(&mut self, rx_queue: &mut RxQueue) -> Next {
        if let Far::Connecting(packet) = &self.far {
            match self.host.take_error() {
                Ok(None) if self.host.peer_addr().is_err() => return Next::Wait,
                Ok(None) => match Stack::accept(self.pair, self.room, packet, rx_queue) {
                    Some(stack) => self.far = Far::Open(Box::new(stack)),
                    None => return Next::Over,
                },
                _ => {
                    stack::refuse(self.pair, packet, rx_queue);
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
            stack.give(rx_queue);
            let socket = stack.socket();
            // Data that the guest sent before its end still has to reach the host.
            if matches!(socket.state(), State::Closed | State::TimeWait) && socket.recv_queue() == 0 {
                self.pass_to_host();
                self.end();
                return Next::Over;
            }
            if !moved {
                // Packets that did not fit in the rx_queue are sent later.
                return if rx_queue.has_room() { Next::Wait } else { Next::More };
            }
        }
        Next::More
    }

    /// Moves data to the guest. Returns true if there was some, or the state changed.
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

    /// Moves data to the host. Returns true if there was some, or the socket failed.
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

    /// Ends the guest's side: unless both sides sent a FIN, the host's peer gets a RST (SO_LINGER of zero).
    fn end(&mut self) {
        if !(self.guest_ended && self.host_ended) {
            let _ = self.host.set_linger(Some(Duration::ZERO));
        }
    }

    /// Aborts the connection on both sides.
    pub fn abort(&mut self, rx_queue: &mut RxQueue) {
        match &mut self.far {
            Far::Open(stack) => {
                stack.socket().abort();
                stack.give(rx_queue);
            }
            Far::Connecting(packet) => stack::refuse(self.pair, packet, rx_queue),
        }
        let _ = self.host.set_linger(Some(Duration::ZERO));
    }

    /// Monotonic time at which the connection has been idle for `idle_ns` nanoseconds, rounded up; in nanoseconds.
    pub fn idle_until_ns(&mut self, idle_ns: u64) -> u64 {
        let is_opening = match &mut self.far {
            Far::Open(stack) => matches!(stack.socket().state(), State::SynSent | State::SynReceived),
            // The host's own time limit for connecting applies.
            Far::Connecting(_) => false,
        };
        let idle_ns = if is_opening { idle_ns.min(OPENING_NS) } else { idle_ns };
        let grain = (idle_ns / GRAIN).max(1);
        (self.used_ns / grain * grain).saturating_add(idle_ns).saturating_add(grain)
    }

    /// Monotonic time at which the connection must be served in any case, in nanoseconds.
    pub fn deadline_ns(&mut self) -> u64 {
        match &mut self.far {
            Far::Open(stack) => stack.deadline_ns(),
            Far::Connecting(_) => u64::MAX,
        }
    }
}
