//! Connections through the network device; see [`husk::internet`].
//!
//! [`Net::poll_socket`] ([`super::tcp_events`]) runs after each event of such a socket. A connection outlives its closed socket
//! until the peer knows.

use super::device::{Device, Stack, buffer};
use super::options::Options;
use super::{Net, Protocol, Socket, SocketKey, State};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::device::Devices;
use crate::fs::ready::Ready;
use crate::memory::MEMORY;
use alloc::boxed::Box;
use core::net::SocketAddr;
use core::ops::{Deref, DerefMut};
use husk::internet::wire::Sender;
use smoltcp::time::Duration;

/// Most connections that peers are opening at once.
const OPENING_MAXIMUM: usize = 1024;

/// Connection of a socket.
#[derive(Debug)]
pub(super) struct Connection {
    shared: husk::internet::connection::Connection,
    /// The listener that the connection will belong to, while the peer is opening it.
    pub(super) listener: Option<SocketKey>,
    /// connect(2) has reported success.
    pub(super) reported: bool,
}

impl Deref for Connection {
    type Target = husk::internet::connection::Connection;

    fn deref(&self) -> &Self::Target {
        &self.shared
    }
}

impl DerefMut for Connection {
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut self.shared
    }
}

impl Connection {
    fn new(ends: (SocketAddr, SocketAddr), options: &Options, count: usize) -> Result<Box<Self>, Errno> {
        let free = MEMORY.lock().size().1;
        let (receive, send) = (buffer(free, count)?, buffer(free, count)?);
        let shared = husk::internet::connection::Connection::new(ends, receive, send);
        let mut connection = Box::new(Self { shared, listener: None, reported: false });
        connection.set_options(options);
        Ok(connection)
    }

    /// Returns true if the connection is not over and connect(2) has not reported it yet.
    pub(super) fn is_unreported(&self) -> bool {
        !self.is_over() && !self.reported
    }

    /// Marks the connection as reported by connect(2).
    pub(super) fn mark_reported(&mut self) {
        self.reported = true;
    }

    /// Applies the options that concern packets.
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
        if let State::Remote(connection) = &self.state { Some(connection) } else { None }
    }

    pub(super) fn connection_mut(&mut self) -> Option<&mut Connection> {
        if let State::Remote(connection) = &mut self.state { Some(connection) } else { None }
    }
}

impl Net {
    /// Runs `work` with the device, then flushes the frames that it has sent.
    pub(super) fn with_device<T>(
        &mut self,
        work: impl FnOnce(&mut Self, &mut Stack, &mut dyn Sender) -> T,
    ) -> Option<T> {
        let mut device = self.device.take()?;
        let Device { wire, stack, .. } = &mut *device;
        let result = work(self, stack, wire.sender());
        wire.flush();
        self.device = Some(device);
        Some(result)
    }

    /// Starts to connect a stream through the device: `from` here, `to` there.
    pub(super) fn connect_remote(
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
            if !connection.connect(stack) {
                return Err(Errno::EADDRNOTAVAIL);
            }
            stack.connections.insert((from, to), key);
            let socket = &mut net.sockets[key];
            (socket.local, socket.remote, socket.state) = (Some(from), Some(to), State::Remote(connection));
            net.poll_socket(files, stack, sender, key, now, false);
            net.report_ready(files, key, Ready::empty());
            Ok(())
        });
        started.unwrap_or(Err(Errno::ENETUNREACH))
    }

    /// Makes a socket for a connection that a peer opens, if a listener exists and has room.
    pub(super) fn open_for(
        &mut self,
        files: &mut Files,
        stack: &mut Stack,
        to: SocketAddr,
        from: SocketAddr,
    ) -> Result<SocketKey, Errno> {
        let listener = self.listener_at(to, from).ok_or(Errno::ECONNREFUSED)?;
        let behind = &self.sockets[listener];
        if behind.listener().is_none_or(super::Listener::is_full) {
            return Err(Errno::EAGAIN);
        }
        let (options, family) = (behind.options.try_clone()?, behind.family);
        self.make_room(files, stack);
        let mut connection = Connection::new((to, from), &options, stack.connections.len())?;
        connection.listener = Some(listener);
        connection.reported = true;
        if !connection.listen() {
            return Err(Errno::EINVAL);
        }
        stack.connections.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        stack.opening.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let socket = Socket {
            local: Some(to),
            remote: Some(from),
            state: State::Remote(connection),
            options,
            ..Socket::new(Protocol::Tcp, family)
        };
        let key = self.sockets.insert(socket)?;
        stack.connections.insert((to, from), key);
        stack.opening.push_back(key);
        Ok(key)
    }

    /// Makes room for another connection that a peer opens, by dropping the oldest of them: most likely its peer is not there.
    fn make_room(&mut self, files: &mut Files, stack: &mut Stack) {
        if stack.opening.len() >= OPENING_MAXIMUM
            && let Some(oldest) = stack.opening.pop_front()
        {
            if let Some(connection) = self.sockets.get(oldest).and_then(Socket::connection) {
                stack.connections.remove(&connection.ends());
            }
            self.free(files, oldest);
        }
    }
}
