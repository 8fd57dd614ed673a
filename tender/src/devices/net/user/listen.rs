//! Published ports of the host.

#![expect(unsafe_code, reason = "the socket takes room that need not be initialized")]

use super::publish::Publish;
use socket2::{Domain, Protocol, Socket, TcpKeepalive, Type};
use std::io;
use std::net::SocketAddr;

/// Connections that wait for us, as far as the host lets them.
const BACKLOG: i32 = 4096;

/// One published port.
#[derive(Debug)]
pub struct Listener {
    /// The host's socket.
    pub socket: Socket,
    /// What it is for.
    pub publish: Publish,
}

impl Listener {
    /// Listens; connections are kept alive as said.
    pub fn open(publish: Publish, keepalive: Option<&TcpKeepalive>) -> Result<Self, String> {
        match listen(publish.host, publish.udp, keepalive) {
            Ok(socket) => Ok(Self { socket, publish }),
            Err(error) => {
                Err(format!("{} {} of the host cannot be published: {error}", publish.protocol(), publish.host))
            }
        }
    }

    /// The next connection, if there is one; an error if it cannot be had.
    pub fn accept(&self) -> io::Result<Option<(Socket, SocketAddr)>> {
        loop {
            match self.socket.accept() {
                Ok((socket, peer)) => return Ok(peer.as_socket().map(|peer| (socket, peer))),
                // That client has gone again.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// The next datagram, if there is one: its length and who sent it.
    pub fn receive(&self, into: &mut [u8]) -> Option<(usize, SocketAddr)> {
        // SAFETY: bytes that may stay as they are can be written as if they held nothing yet.
        let room = unsafe { &mut *(std::ptr::from_mut(into) as *mut [std::mem::MaybeUninit<u8>]) };
        let (length, peer) = self.socket.recv_from(room).ok()?;
        Some((length, peer.as_socket()?))
    }

    /// Sends a datagram to a client; one that the host does not take is lost.
    pub fn send(&self, payload: &[u8], to: SocketAddr) {
        let _ = self.socket.send_to(payload, &to.into());
    }
}

fn listen(address: SocketAddr, udp: bool, keepalive: Option<&TcpKeepalive>) -> io::Result<Socket> {
    let (kind, protocol) = if udp { (Type::DGRAM, Protocol::UDP) } else { (Type::STREAM, Protocol::TCP) };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(!udp)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    if !udp {
        if let Some(keepalive) = keepalive {
            // Connections inherit it.
            socket.set_tcp_keepalive(keepalive)?;
        }
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}
