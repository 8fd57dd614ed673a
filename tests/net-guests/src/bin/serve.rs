//! Answers ping, and sends back all that port 7 of TCP and UDP receives, until a client sends `quit`. With the argument
//! `dhcp` it asks for its address.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec;
use guests::word;
use net_guests::host::Host;
use smoltcp::socket::{tcp, udp};

husk::entry!(main);

const PORT: u16 = 7;
/// Connections that can wait or be served at a time.
const CONNECTIONS: usize = 64;

fn main() {
    let mut host = Host::new(word(1) == "dhcp");
    let buffer = || tcp::SocketBuffer::new(vec![0; 128 << 10]);
    let handles: [_; CONNECTIONS] = core::array::from_fn(|_| host.sockets.add(tcp::Socket::new(buffer(), buffer())));
    let packets = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 64], vec![0; 256 << 10]);
    let mut socket = udp::Socket::new(packets(), packets());
    socket.bind(PORT).expect("the port is free");
    let datagrams = host.sockets.add(socket);
    husk::println!("ready");
    loop {
        host.work();
        let socket = host.sockets.get_mut::<udp::Socket<'_>>(datagrams);
        while socket.can_send()
            && let Ok((payload, from)) = socket.recv()
        {
            let payload = payload.to_vec();
            let _ = socket.send_slice(&payload, from.endpoint);
        }
        let mut last = false;
        for handle in handles {
            last |= serve(host.sockets.get_mut(handle));
        }
        // Frames that arrive while answers are sent are handled before a wait, because no other frame may follow them.
        let has_changed = host.work();
        if last {
            return;
        }
        if !has_changed {
            host.wait();
        }
    }
}

/// Serves a connection. Returns true if the client asks the guest to end.
fn serve(socket: &mut tcp::Socket<'_>) -> bool {
    if !socket.is_open() {
        let _ = socket.listen(PORT);
    }
    let mut bytes = [0; 16 << 10];
    while socket.can_recv() && socket.can_send() {
        let room = (socket.send_capacity() - socket.send_queue()).min(bytes.len());
        let Ok(length @ 1..) = socket.recv_slice(&mut bytes[..room]) else { break };
        if bytes[..length].starts_with(b"quit") {
            return true;
        }
        let _ = socket.send_slice(&bytes[..length]);
    }
    if !socket.may_recv() && socket.recv_queue() == 0 && socket.may_send() {
        socket.close();
    }
    false
}
