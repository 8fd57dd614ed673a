//! Connections through the network device: one smoltcp socket each, in a set of its own; see [`super::device`].
//!
//! Whatever happens to such a socket, [`Net::look_after`] follows ([`super::follow`]). A connection whose socket has been
//! closed stays until the other side knows.

use super::device::{Device, Stack, buffer};
use super::options::Options;
use super::wire::Sender;
use super::{Net, Protocol, Socket, SocketKey, State};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::device::Devices;
use crate::fs::poll::Ready;
use crate::memory::MEMORY;
use alloc::boxed::Box;
use alloc::vec;
use core::fmt;
use core::net::SocketAddr;
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp;
use smoltcp::time::Duration;

/// How long the other side may be silent while it has something to answer; about what Linux waits for an answer to its
/// first segment.
pub(super) const PATIENCE: Duration = Duration::from_secs(130);
/// How long it may be silent when nobody here wants to hear of it any more; Linux's default.
pub(super) const FAREWELL: Duration = Duration::from_secs(60);
/// Most connections that are being opened by others at once.
const OPENING_MAXIMUM: usize = 1024;

/// A connection.
pub(super) struct Connection {
    pub(super) set: SocketSet<'static>,
    pub(super) handle: SocketHandle,
    /// Its own address and that of the other end.
    pub(super) ends: (SocketAddr, SocketAddr),
    /// What it was when somebody last looked.
    pub(super) seen: tcp::State,
    /// Bytes that there were to read then, and whether it could be written to.
    pub(super) unread: usize,
    pub(super) writable: bool,
    /// When it will be looked after, in nanoseconds; never at the end of time.
    pub(super) alarm: u64,
    /// The listener that it will belong to, while it is being opened by the other side.
    pub(super) listener: Option<SocketKey>,
    /// connect(2) has said that it is there.
    pub(super) told: bool,
    /// When a segment came last, in nanoseconds.
    pub(super) heard: u64,
    /// How long the other side may be silent, once nobody wants to hear of it any more.
    pub(super) farewell: Option<Duration>,
    /// It is in the list of those that are stalled.
    pub(super) stalled: bool,
    /// There is nothing more to come of it.
    pub(super) over: bool,
}

impl fmt::Debug for Connection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Connection").field("ends", &self.ends).field("seen", &self.seen).finish_non_exhaustive()
    }
}

impl Connection {
    fn new(ends: (SocketAddr, SocketAddr), options: &Options, count: usize) -> Result<Box<Self>, Errno> {
        let free = MEMORY.lock().size().1;
        let (receive, send) = (buffer(free, count)?, buffer(free, count)?);
        let socket = tcp::Socket::new(tcp::SocketBuffer::new(receive), tcp::SocketBuffer::new(send));
        let mut set = SocketSet::new(vec![]);
        let handle = set.add(socket);
        let seen = tcp::State::Closed;
        let mut connection = Box::new(Self {
            set,
            handle,
            ends,
            seen,
            unread: 0,
            writable: false,
            alarm: u64::MAX,
            listener: None,
            told: false,
            heard: 0,
            farewell: None,
            stalled: false,
            over: false,
        });
        connection.set_options(options);
        Ok(connection)
    }

    pub(super) fn tcp(&mut self) -> &mut tcp::Socket<'static> {
        self.set.get_mut(self.handle)
    }

    fn tcp_ref(&self) -> &tcp::Socket<'static> {
        self.set.get(self.handle)
    }

    /// Whether it is still being opened.
    pub(super) fn is_opening(&self) -> bool {
        matches!(self.seen, tcp::State::SynSent | tcp::State::SynReceived)
    }

    /// Whether there is nothing more to come of it.
    pub(super) fn is_over(&self) -> bool {
        self.over
    }

    /// Whether it is there, and connect(2) has not said so.
    pub(super) fn is_news(&self) -> bool {
        !self.over && !self.told
    }

    /// connect(2) says that it is there.
    pub(super) fn tell(&mut self) {
        self.told = true;
    }

    /// Whether the other side has got everything, and knows that there is no more.
    pub(super) fn has_said_all(&self) -> bool {
        matches!(self.tcp_ref().state(), tcp::State::Closed | tcp::State::FinWait2 | tcp::State::TimeWait)
    }

    /// Bytes that a read would find.
    pub(super) fn unread(&self) -> usize {
        self.tcp_ref().recv_queue()
    }

    /// Whether there is room that makes it worth while to send.
    pub(super) fn is_writable(&self) -> bool {
        let tcp = self.tcp_ref();
        !self.is_opening() && tcp.send_queue() * 3 <= tcp.send_capacity() * 2
    }

    /// Says how long the other side may be silent now. The stack counts every silence, but there is nothing wrong with two
    /// sides that have nothing to say.
    pub(super) fn set_patience(&mut self, orphaned: bool, now: u64) {
        if orphaned && self.farewell.is_none() {
            // It may have been silent for long, and with reason.
            let silent = Duration::from_micros(now.saturating_sub(self.heard) / 1000);
            self.farewell = Some(silent + FAREWELL);
        }
        let (opening, farewell) = (self.is_opening(), self.farewell);
        let tcp = self.tcp();
        let patience = match (farewell, tcp.keep_alive()) {
            (Some(farewell), _) => Some(farewell),
            _ if opening || tcp.send_queue() > 0 => Some(PATIENCE),
            (None, Some(interval)) => Some(interval + PATIENCE),
            (None, None) => None,
        };
        tcp.set_timeout(patience);
    }

    /// Lets the options that say something about packets say it.
    pub(super) fn set_options(&mut self, options: &Options) {
        let (delays, interval, hops) = (options.delays_small(), options.keep_alive_interval(), options.hop_limit());
        let tcp = self.tcp();
        tcp.set_nagle_enabled(delays);
        tcp.set_keep_alive(interval.map(|seconds| Duration::from_secs(seconds.into())));
        tcp.set_hop_limit(hops);
    }
}

impl Socket {
    pub(super) fn connection(&self) -> Option<&Connection> {
        if let State::Far(connection) = &self.state { Some(connection) } else { None }
    }

    pub(super) fn connection_mut(&mut self) -> Option<&mut Connection> {
        if let State::Far(connection) = &mut self.state { Some(connection) } else { None }
    }
}

impl Net {
    /// Lets `work` use the device, and lets go out what it has sent.
    pub(super) fn with_device<T>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut Stack, &mut dyn Sender) -> T,
    ) -> Option<T> {
        let mut device = self.device.take()?;
        let Device { wire, stack } = &mut *device;
        let result = work(self, stack, wire.sender());
        wire.flush();
        self.device = Some(device);
        Some(result)
    }

    /// Starts to connect a stream through the device: `from` here, `to` there.
    pub(super) fn connect_far(
        &mut self,
        files: &mut Files,
        devices: &mut dyn Devices,
        key: SocketKey,
        from: SocketAddr,
        to: SocketAddr,
    ) -> Result<(), Errno> {
        let now = devices.monotonic_ns();
        let count = self.device.as_ref().map_or(0, |device| device.stack.connections.len());
        let mut connection = Connection::new((from, to), &self.sockets[key].options, count)?;
        let started = self.with_device(|net, stack, sender| {
            if stack.connections.contains_key(&(from, to)) {
                return Err(Errno::EADDRNOTAVAIL);
            }
            stack.connections.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            let tcp = connection.tcp();
            tcp.set_timeout(Some(PATIENCE));
            tcp.connect(stack.interface.context(), to, from).map_err(|_| Errno::EADDRNOTAVAIL)?;
            stack.connections.insert((from, to), key);
            connection.seen = tcp::State::SynSent;
            let socket = &mut net.sockets[key];
            (socket.local, socket.remote, socket.state) = (Some(from), Some(to), State::Far(connection));
            net.look_after(files, stack, sender, key, now, false);
            net.tell(files, key, Ready::empty());
            Ok(())
        });
        started.unwrap_or(Err(Errno::ENETUNREACH))
    }

    /// A socket for a connection that the other side opens, if somebody listens and there is room.
    pub(super) fn open_for(&mut self, stack: &mut Stack, to: SocketAddr, from: SocketAddr) -> Result<SocketKey, Errno> {
        let listener = self.listener_at(to, from).ok_or(Errno::ECONNREFUSED)?;
        let behind = &self.sockets[listener];
        if stack.opening >= OPENING_MAXIMUM || behind.listener().is_none_or(super::Listener::is_full) {
            return Err(Errno::EAGAIN);
        }
        let options = behind.options.try_clone()?;
        let mut connection = Connection::new((to, from), &options, stack.connections.len())?;
        connection.listener = Some(listener);
        connection.told = true;
        connection.seen = tcp::State::SynReceived;
        let tcp = connection.tcp();
        tcp.set_timeout(Some(FAREWELL));
        tcp.listen(to).map_err(|_| Errno::EINVAL)?;
        stack.connections.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let socket = Socket {
            local: Some(to),
            remote: Some(from),
            state: State::Far(connection),
            options,
            ..Socket::new(Protocol::Tcp, behind.family)
        };
        let key = self.sockets.insert(socket)?;
        stack.connections.insert((to, from), key);
        stack.opening += 1;
        Ok(key)
    }
}
