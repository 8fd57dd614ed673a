//! Opening of connections: listen(2), connect(2) and accept(2).

use super::address::{Family, concrete, loopback};
use super::{Listener, Net, Protocol, Socket, SocketKey, State};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::device::Devices;
use crate::fs::inode::Time;
use crate::fs::ready::Ready;
use crate::fs::watch::wait;
use crate::syscall_result::Stop;
use alloc::boxed::Box;
use alloc::collections::VecDeque;
use core::net::SocketAddr;

/// Longest queue of connections to accept; Linux's default.
const BACKLOG_MAXIMUM: i32 = 4096;

impl Net {
    /// listen(2).
    pub fn listen(
        &mut self,
        files: &mut Files,
        devices: &mut dyn Devices,
        key: SocketKey,
        backlog: i32,
    ) -> Result<(), Errno> {
        let socket = &self.sockets[key];
        if socket.protocol == Protocol::Udp {
            return Err(Errno::EOPNOTSUPP);
        }
        let backlog = if backlog < 0 { BACKLOG_MAXIMUM } else { backlog.min(BACKLOG_MAXIMUM) } as usize;
        match socket.state {
            State::Closed => {}
            State::Listening(_) => {
                if let Some(listener) = self.sockets[key].listener_mut() {
                    listener.backlog = backlog;
                }
                self.admit(files, key);
                return Ok(());
            }
            _ => return Err(Errno::EINVAL),
        }
        match socket.local {
            Some(local) if self.is_taken(key, local) => return Err(Errno::EADDRINUSE),
            Some(_) => {}
            None => self.bind_anywhere(devices, key, SocketAddr::new(socket.family.any(), 0))?,
        }
        let listener = Listener { backlog, pending: VecDeque::new(), waiting: VecDeque::new() };
        self.sockets[key].state = State::Listening(Box::new(listener));
        self.report_ready(files, key, Ready::empty());
        Ok(())
    }

    /// connect(2). Disconnects the socket if there is no address.
    pub fn connect(
        &mut self,
        files: &mut Files,
        devices: &mut dyn Devices,
        key: SocketKey,
        to: Option<SocketAddr>,
        nonblocking: bool,
    ) -> Result<(), Stop> {
        match (self.sockets[key].protocol, to) {
            (Protocol::Udp, to) => Ok(self.connect_datagrams(files, devices, key, to)?),
            (Protocol::Tcp, None) => {
                self.disconnect(files, key);
                Ok(())
            }
            (Protocol::Tcp, Some(to)) => self.connect_stream(files, devices, key, to, nonblocking),
        }
    }

    fn connect_stream(
        &mut self,
        files: &mut Files,
        devices: &mut dyn Devices,
        key: SocketKey,
        to: SocketAddr,
        nonblocking: bool,
    ) -> Result<(), Stop> {
        let socket = &mut self.sockets[key];
        let node = socket.node()?;
        match &mut socket.state {
            State::Connecting(_) if nonblocking => return Err(Errno::EALREADY.into()),
            State::Connecting(_) => return Err(wait(node)),
            State::Connected { reported, .. } if !*reported => {
                *reported = true;
                return Ok(());
            }
            State::Remote { connection, .. } if connection.is_opening() && nonblocking => {
                return Err(Errno::EALREADY.into());
            }
            State::Remote { connection, .. } if connection.is_opening() => return Err(wait(node)),
            State::Remote { connection, reported } if !connection.is_over() && !*reported => {
                *reported = true;
                return Ok(());
            }
            State::Closed if socket.remote.is_none() => {}
            _ => return Err(Errno::EISCONN.into()),
        }
        if socket.read_shut {
            // An earlier attempt has failed: its error is the answer now, and the next call starts a new attempt.
            (socket.read_shut, socket.write_shut) = (false, false);
            let error = socket.error.take().unwrap_or(Errno::ECONNABORTED);
            self.report_ready(files, key, Ready::empty());
            return Err(error.into());
        }
        let to = concrete(to);
        let from = self.source(devices, key, to)?;
        if !self.is_local(to.ip()) {
            self.connect_remote(files, devices, key, from, to)?;
            return Err(if nonblocking { Errno::EINPROGRESS.into() } else { wait(node) });
        }
        let Some(listener) = self.listener_at(to, from) else {
            return Err(match nonblocking {
                true => {
                    self.fail(files, key, Errno::ECONNREFUSED);
                    Errno::EINPROGRESS.into()
                }
                false => Errno::ECONNREFUSED.into(),
            });
        };
        self.sockets[key].remote = Some(to);
        if self.sockets[listener].listener().is_some_and(Listener::is_full) {
            self.queue_up(key, listener)?;
            self.report_ready(files, key, Ready::empty());
            return Err(if nonblocking { Errno::EINPROGRESS.into() } else { wait(node) });
        }
        if let Err(errno) = self.join(files, key, listener) {
            self.sockets[key].remote = None;
            return Err(errno.into());
        }
        match &mut self.sockets[key].state {
            State::Connected { reported, .. } if !nonblocking => {
                *reported = true;
                Ok(())
            }
            _ => Err(Errno::EINPROGRESS.into()),
        }
    }

    /// Source address of a socket for packets to `to`; binds the socket first if need be.
    pub(super) fn source(
        &mut self,
        devices: &mut dyn Devices,
        key: SocketKey,
        to: SocketAddr,
    ) -> Result<SocketAddr, Errno> {
        let socket = &self.sockets[key];
        if to.is_ipv4() && socket.options.is_only_v6() {
            return Err(Errno::ENETUNREACH);
        }
        if !self.is_through(socket, to.ip()) {
            return Err(Errno::ENETUNREACH);
        }
        let ip = match &self.device {
            _ if self.is_local(to.ip()) => loopback(to.ip()),
            Some(device) => device.stack.source(to.ip()).ok_or(Errno::ENETUNREACH)?,
            // Other sockets of the program may have joined the group.
            None if to.ip().is_multicast() => loopback(Family::of(to.ip()).any()),
            None => return Err(Errno::ENETUNREACH),
        };
        match socket.local {
            None => self.bind_anywhere(devices, key, SocketAddr::new(socket.family.any(), 0))?,
            Some(local) if local.ip().is_unspecified() || local.is_ipv4() == to.is_ipv4() => {}
            Some(_) => return Err(Errno::ENETUNREACH),
        }
        let local = self.sockets[key].local.ok_or(Errno::EADDRNOTAVAIL)?;
        Ok(if local.ip().is_unspecified() { SocketAddr::new(ip, local.port()) } else { local })
    }

    /// Queues a socket that waits for a place in a listener's queue.
    fn queue_up(&mut self, key: SocketKey, listener: SocketKey) -> Result<(), Errno> {
        if let Some(listener) = self.sockets[listener].listener_mut() {
            listener.waiting.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
            listener.waiting.push_back(key);
        }
        self.sockets[key].state = State::Connecting(listener);
        Ok(())
    }

    /// Connects a socket, with `remote` set, to a new socket in a listener's queue.
    fn join(&mut self, files: &mut Files, key: SocketKey, listener: SocketKey) -> Result<(), Errno> {
        let (client, behind) = (&self.sockets[key], &self.sockets[listener]);
        let to = client.remote.ok_or(Errno::ENOTCONN)?;
        let local = client.local.ok_or(Errno::ENOTCONN)?;
        let from =
            SocketAddr::new(if local.ip().is_unspecified() { loopback(to.ip()) } else { local.ip() }, local.port());
        let server = Socket {
            local: Some(to),
            remote: Some(from),
            state: State::Connected { peer: Some(key), reported: true },
            options: behind.options.try_clone()?,
            ..Socket::new(Protocol::Tcp, behind.family)
        };
        if let Some(listener) = self.sockets[listener].listener_mut() {
            listener.pending.try_reserve(1).map_err(|_| Errno::ENOMEM)?;
        }
        let server = self.sockets.insert(server)?;
        if let Some(listener) = self.sockets[listener].listener_mut() {
            listener.pending.push_back(server);
        }
        let client = &mut self.sockets[key];
        client.local = Some(from);
        client.state = State::Connected { peer: Some(server), reported: false };
        self.report_ready(files, key, Ready::OUT);
        self.report_ready(files, listener, Ready::IN);
        Ok(())
    }

    /// Joins the sockets that wait for a place in a listener's queue, as far as there are places.
    fn admit(&mut self, files: &mut Files, listener: SocketKey) {
        while let Some(behind) = self.sockets[listener].listener_mut()
            && !behind.is_full()
            && let Some(client) = behind.waiting.pop_front()
        {
            if self.join(files, client, listener).is_err() {
                self.reset(files, client);
            }
        }
    }

    /// accept4(2), with the flags of open(2): returns the descriptor, and the address of the peer.
    pub fn accept(
        &mut self,
        files: &mut Files,
        key: SocketKey,
        flags: u32,
        nonblocking: bool,
        now: Time,
    ) -> Result<(i32, SocketAddr), Stop> {
        let socket = &mut self.sockets[key];
        let node = socket.node()?;
        if socket.protocol == Protocol::Udp {
            return Err(Errno::EOPNOTSUPP.into());
        }
        let listener = socket.listener_mut().ok_or(Errno::EINVAL)?;
        if listener.pending.is_empty() {
            return Err(if nonblocking { Errno::EAGAIN.into() } else { wait(node) });
        }
        files.check_descriptor_free()?;
        let accepted = listener.pending.pop_front().ok_or(Errno::EAGAIN)?;
        self.admit(files, key);
        self.report_ready(files, key, Ready::empty());
        let socket = &self.sockets[accepted];
        let name = socket.shown(socket.remote);
        Ok((self.give_descriptor(files, accepted, flags, now)?, name))
    }
}
