//! Connections through the network device; see [`husk::internet`].
//!
//! Whatever happens to such a socket, [`Net::look_after`] follows ([`super::follow`]). A connection whose socket has been
//! closed stays until the other side knows.

use super::device::{Device, Stack, buffer};
use super::options::Options;
use super::{Net, Protocol, Socket, SocketKey, State};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::device::Devices;
use crate::fs::poll::Ready;
use crate::memory::MEMORY;
use alloc::boxed::Box;
use core::net::SocketAddr;
use core::ops::{Deref, DerefMut};
use husk::internet::wire::Sender;
use smoltcp::time::Duration;

/// Most connections that are being opened by others at once.
const OPENING_MAXIMUM: usize = 1024;

/// A connection of a socket's.
#[derive(Debug)]
pub(super) struct Connection {
    shared: husk::internet::connection::Connection,
    /// The listener that it will belong to, while it is being opened by the other side.
    pub(super) listener: Option<SocketKey>,
    /// connect(2) has said that it is there.
    pub(super) told: bool,
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
        let mut connection = Box::new(Self { shared, listener: None, told: false });
        connection.set_options(options);
        Ok(connection)
    }

    /// Whether it is there, and connect(2) has not said so.
    pub(super) fn is_news(&self) -> bool {
        !self.is_over() && !self.told
    }

    /// connect(2) says that it is there.
    pub(super) fn tell(&mut self) {
        self.told = true;
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
        let Device { wire, stack, .. } = &mut *device;
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
            if !connection.connect(stack) {
                return Err(Errno::EADDRNOTAVAIL);
            }
            stack.connections.insert((from, to), key);
            let socket = &mut net.sockets[key];
            (socket.local, socket.remote, socket.state) = (Some(from), Some(to), State::Far(connection));
            net.look_after(files, stack, sender, key, now, false);
            net.tell(files, key, Ready::empty());
            Ok(())
        });
        started.unwrap_or(Err(Errno::ENETUNREACH))
    }

    /// A socket for a connection that the other side opens, if somebody listens and there is room.
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
        connection.told = true;
        if !connection.listen() {
            return Err(Errno::EINVAL);
        }
        stack.connections.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        stack.opening.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        let socket = Socket {
            local: Some(to),
            remote: Some(from),
            state: State::Far(connection),
            options,
            ..Socket::new(Protocol::Tcp, family)
        };
        let key = self.sockets.insert(socket)?;
        stack.connections.insert((to, from), key);
        stack.opening.push_back(key);
        Ok(key)
    }

    /// Makes room for another that opens a connection: whoever has been at it longest is forgotten, for most likely nobody
    /// is there.
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
