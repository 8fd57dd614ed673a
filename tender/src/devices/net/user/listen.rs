//! Published ports of the host.

#![expect(unsafe_code, reason = "the socket takes room that need not be initialized")]

use super::pktinfo::{CONTROL, PacketInfo};
use super::publish::Publish;
use socket2::{Domain, MaybeUninitSlice, MsgHdr, MsgHdrMut, Protocol, SockAddr, Socket, TcpKeepalive, Type};
use std::io::{self, IoSlice};
use std::mem::MaybeUninit;
use std::net::SocketAddr;

/// Accept backlog, as far as the host allows it.
const BACKLOG: i32 = 4096;

/// A published port.
#[derive(Debug)]
pub struct Listener {
    /// Socket of the host.
    pub socket: Socket,
    /// Port that the socket publishes.
    pub publish: Publish,
}

impl Listener {
    /// Opens the socket; connections use `keepalive`.
    pub fn open(publish: Publish, keepalive: Option<&TcpKeepalive>) -> Result<Self, String> {
        match listen(publish.host, publish.udp, keepalive) {
            Ok(socket) => Ok(Self { socket, publish }),
            Err(error) => {
                Err(format!("{} {} of the host cannot be published: {error}", publish.protocol(), publish.host))
            }
        }
    }

    /// Returns the next connection, if there is one; an error if accept(2) fails.
    pub fn accept(&self) -> io::Result<Option<(Socket, SocketAddr)>> {
        loop {
            match self.socket.accept() {
                Ok((socket, peer)) => return Ok(peer.as_socket().map(|peer| (socket, peer))),
                // The client has already closed its connection.
                Err(error) if error.kind() == io::ErrorKind::ConnectionAborted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(None),
                Err(error) => return Err(error),
            }
        }
    }

    /// Returns the next datagram, if there is one.
    pub fn receive(&self, into: &mut [u8]) -> Option<Datagram> {
        // SAFETY: `MaybeUninit<u8>` has the layout of `u8`, and recv only writes initialized bytes to it.
        let room = unsafe { &mut *(std::ptr::from_mut(into) as *mut [MaybeUninit<u8>]) };
        if !self.publish.host.ip().is_unspecified() {
            let (length, peer) = self.socket.recv_from(room).ok()?;
            return Some(Datagram { length, peer: peer.as_socket()?, local: None });
        }
        // An address of the socket's family, which the kernel overwrites with the peer's.
        let mut peer = SockAddr::from(self.publish.host);
        let mut control = [const { MaybeUninit::new(0) }; CONTROL];
        let mut parts = [MaybeUninitSlice::new(room)];
        let mut message = MsgHdrMut::new().with_addr(&mut peer).with_buffers(&mut parts).with_control(&mut control);
        let length = self.socket.recvmsg(&mut message, 0).ok()?;
        let control_length = message.control_len().min(CONTROL);
        // SAFETY: every byte was initialized above, and the kernel only writes to them.
        let control = control.map(|byte| unsafe { byte.assume_init() });
        Some(Datagram { length, peer: peer.as_socket()?, local: PacketInfo::parse(&control[..control_length]) })
    }

    /// Sends a datagram to a client, from the address that the client used; lost if the host does not take it.
    pub fn send(&self, payload: &[u8], to: SocketAddr, local: Option<&PacketInfo>) {
        let to = SockAddr::from(to);
        let _ = match local {
            None => self.socket.send_to(payload, &to),
            Some(local) => {
                let parts = [IoSlice::new(payload)];
                let message = MsgHdr::new().with_addr(&to).with_buffers(&parts).with_control(local.control());
                self.socket.sendmsg(&message, 0)
            }
        };
    }
}

/// A datagram of a client.
#[derive(Clone, Copy, Debug)]
pub struct Datagram {
    /// Length in bytes.
    pub length: usize,
    /// Address of the client.
    pub peer: SocketAddr,
    /// Address of the host that the datagram came to, if the socket has several.
    pub local: Option<PacketInfo>,
}

fn listen(address: SocketAddr, udp: bool, keepalive: Option<&TcpKeepalive>) -> io::Result<Socket> {
    let (kind, protocol) = if udp { (Type::DGRAM, Protocol::UDP) } else { (Type::STREAM, Protocol::TCP) };
    let socket = Socket::new(Domain::for_address(address), kind, Some(protocol))?;
    if address.is_ipv6() {
        socket.set_only_v6(false)?;
    }
    socket.set_reuse_address(!udp)?;
    socket.set_nonblocking(true)?;
    if udp && address.ip().is_unspecified() {
        PacketInfo::listen(&socket, address.is_ipv6())?;
    }
    socket.bind(&address.into())?;
    if !udp {
        if let Some(keepalive) = keepalive {
            // Connections inherit the option.
            socket.set_tcp_keepalive(keepalive)?;
        }
        socket.listen(BACKLOG)?;
    }
    Ok(socket)
}
