//! Connections through the network device; see [`husk::internet`]. A connection outlives its closed socket until the peer knows.

use super::owner::{Owner, connection};
use super::{Net, Socket, SocketKey, State};
use crate::errno::Errno;
use crate::fs::Files;
use crate::fs::device::Devices;
use crate::fs::ready::Ready;
use core::net::SocketAddr;
use husk::internet::Error;
use husk::internet::connection::Connection;

impl Socket {
    /// The connection through the device.
    pub(super) fn connection(&self) -> Option<&Connection> {
        if let State::Remote { connection, .. } = &self.state { Some(connection) } else { None }
    }

    pub(super) fn connection_mut(&mut self) -> Option<&mut Connection> {
        if let State::Remote { connection, .. } = &mut self.state { Some(connection) } else { None }
    }
}

impl Net {
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
        let started = self.with_device(|net, device| {
            let socket = &mut net.sockets[key];
            let mut connection = connection((from, to), &socket.options, device.stack.connections.len())?;
            connection.connect(&mut device.stack, key.index()).map_err(|error| match error {
                Error::NoMemory => Errno::ENOMEM,
                _ => Errno::EADDRNOTAVAIL,
            })?;
            (socket.local, socket.remote) = (Some(from), Some(to));
            socket.state = State::Remote { connection, reported: false };
            device.poll_socket(&mut Owner { net, files }, key.index(), now);
            net.report_ready(files, key, Ready::empty());
            Ok(())
        });
        started.unwrap_or(Err(Errno::ENETUNREACH))
    }

    /// Lets a connection send, after a call on it.
    pub(super) fn flush_socket(&mut self, files: &mut Files, key: SocketKey) {
        let now = husk::clock::monotonic_ns();
        self.with_device(|net, device| device.poll_socket(&mut Owner { net, files }, key.index(), now));
        self.report_ready(files, key, Ready::empty());
    }

    /// Ends a connection after its socket has been closed: in order (FIN), or by a reset.
    pub(super) fn orphan(&mut self, files: &mut Files, key: SocketKey, by_reset: bool) {
        let now = husk::clock::monotonic_ns();
        self.with_device(|net, device| device.orphan(&mut Owner { net, files }, key.index(), by_reset, now));
    }

    /// Aborts a connection by a reset, and keeps the socket.
    pub(super) fn abort_remote(&mut self, files: &mut Files, key: SocketKey) {
        if let Some(connection) = self.sockets[key].connection_mut() {
            connection.tcp().abort();
        }
        self.flush_socket(files, key);
        self.sockets[key].state = State::Closed;
    }
}
